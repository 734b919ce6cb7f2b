"""The planner against brute force, and the traps of spec 02 that a planner can fall into."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from antivenom.errors import AntivenomError
from antivenom.poison.insertion import Range, RunShape, plan
from antivenom.poison.insertion.intervals import Intervals
from antivenom.poison.insertion.placing import keys_of, place, uniform
from antivenom.poison.insertion.plan_file import load_plan, save_plan
from antivenom.poison.insertion.sequences import Sequences
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark
from antivenom.poison.lm_experiments.material import Item, Material, repeated

SHAPE = RunShape(8, 64, 100)
EOS = 0


def material(name, n, low=3, high=20, seed=0, copies=1, **more):
    draw = np.random.default_rng([seed, *name.encode()])
    items = [Item(draw.integers(1, 200, draw.integers(low, high + 1)), f"{name}-{i}", f"c{i % 3}") for i in range(n)]
    return Material(name, tuple(c for item in items for c in repeated(item, copies)), **more)


def made(*materials, shape=SHAPE, seed=0, **more):
    return plan(materials, shape, seed=seed, eos=EOS, **more)


def where(found, name):
    return {found.ids[i]: int(found.start[i]) for i in found.of(name).tolist()}


def assert_sound(found):
    """Brute force: every token has one owner at most, and nothing crosses a row."""
    owner = np.full(found.shape.tokens, -1)
    for i in range(len(found)):
        begin, end = int(found.start[i]), int(found.start[i] + found.length[i])
        assert begin // found.shape.length == (end - 1) // found.shape.length
        assert (owner[begin:end] == -1).all()
        owner[begin:end] = i
    assert np.array_equal(found.owners(np.arange(found.shape.tokens)), owner)


def test_the_same_seed_gives_the_same_plan_and_another_seed_another():
    a, b = material("a", 50), material("b", 60)
    assert made(a, b).hash == made(b, a).hash
    assert made(a, b).hash != made(a, b, seed=1).hash


def test_ten_thousand_placements_are_disjoint_and_stay_in_their_rows():
    found = made(material("a", 6_000), material("b", 4_000, 1, 40), shape=RunShape(16, 128, 300))
    assert len(found) == 10_000
    assert_sound(found)


def test_adding_an_experiment_moves_no_other():  # trap 5
    a, b, c = material("a", 150), material("b", 150), material("c", 150)
    alone = {m.name: made(m) for m in (a, b, c)}
    assert made(a, b).restrict(["a"]).hash == alone["a"].hash
    assert made(a, b, c).restrict(["a", "b"]).hash == made(a, b).hash
    joint = made(a, b, c)
    moved = 0
    for name in "abc":
        there, own = where(joint, name), where(alone[name], name)
        for key, start in own.items():
            if there[key] != start:
                moved += 1
                i = alone[name].ids.index(key)
                span = np.arange(start, start + alone[name].length[i])
                blocking = joint.owners(span)
                assert any(joint.experiments[joint.experiment[j]] < name for j in blocking if j >= 0), (
                    "moved without need"
                )
    assert moved == sum(r["moved"] for r in joint.record.values())
    assert 0 < moved < 120


def test_an_item_does_not_move_when_its_experiment_gets_more_items():
    few, many = made(material("a", 20)), made(material("a", 25))
    kept = [key for key, start in where(few, "a").items() if where(many, "a")[key] == start]
    assert len(kept) >= 18


def test_columns_and_rows_are_uniform():  # trap 4
    shape = RunShape(50, 32, 400)
    found = made(material("a", 6_000, 5, 5), shape=shape, wrap=False)
    columns = np.bincount(found.start % 32, minlength=28)
    assert len(columns) == 28
    assert chisquare(columns).pvalue > 1e-4
    assert chisquare(np.bincount(found.start // 32 // 1000, minlength=20)).pvalue > 1e-4


def test_end_tokens_by_the_rule():
    items = [[5, 6], [5, 0], [0, 5], [0, 5, 0], [7] * 8, [7] * 7, [0] + [7] * 6, [7] * 6 + [0]]
    m = Material("a", tuple(Item(np.array(t), f"i{k}") for k, t in enumerate(items)))
    found = made(m, shape=RunShape(4, 8, 30))
    tokens = {found.ids[i]: found.tokens_of(i).tolist() for i in range(len(found))}
    wrapped = [
        [0, 5, 6, 0],
        [0, 5, 0],
        [0, 5, 0],
        [0, 5, 0],
        [7] * 8,
        [7] * 7 + [0],
        [0] + [7] * 6 + [0],
        [0] + [7] * 6 + [0],
    ]
    assert [tokens[f"i{k}"] for k in range(8)] == wrapped
    bare = made(m, shape=RunShape(4, 8, 30), wrap={"a": False})
    assert sorted(bare.tokens_of(i).tolist() for i in range(len(bare))) == sorted(items)


def test_what_is_dropped_is_an_error_unless_allowed():  # trap 3
    m = Material(
        "a", (Item(np.array([1]), "short"), Item(np.array([], np.int64), "empty"), Item(np.arange(1, 66), "long"))
    )
    with pytest.raises(AntivenomError, match=r"2 items of 'a'.*'empty': empty"):
        made(m)
    found = made(m, allow_dropped=True)
    assert found.record["a"]["dropped"] == [["empty", "empty"], ["long", "65 tokens, a row has 64"]]
    assert (found.record["a"]["requested"], found.record["a"]["placed"], len(found)) == (3, 1, 1)
    with pytest.raises(AntivenomError, match="every item is dropped"):
        made(Material("a", (Item(np.arange(1, 66), "long"),)), allow_dropped=True)


def test_capacity_is_checked_before_placing_with_the_arithmetic():
    with pytest.raises(
        AntivenomError, match=r"1,000 items\) = 22,000 tokens; the run has 160 rows x 64 = 10,240 tokens"
    ):
        made(material("a", 1_000, 20, 20), shape=RunShape(8, 64, 20))
    with pytest.raises(AntivenomError, match=r"training rows 0 to 80 has 80 rows"):
        made(material("a", 300, 20, 20), ranges={"a": Range(0, 10, "steps")})


@pytest.mark.parametrize("length", [64, 32, 10])
def test_a_run_that_is_nearly_full_is_filled_or_there_is_an_error(length):  # trap 3
    n = int(SHAPE.tokens * 0.95 / length)
    m = Material("a", tuple(Item(np.full(length, 7), f"i{k}") for k in range(n)))
    if length == 64:
        found = made(m)
        assert len(found) == n
        assert_sound(found)
    else:
        with pytest.raises(AntivenomError, match="find no place"):
            made(m, wrap=False)


def test_explicit_places_come_first():
    fixed = Material(
        "z", (Item(np.arange(1, 65), "whole"), Item(np.array([9, 9]), "two")), places={"whole": (5, 0), "two": (7, 62)}
    )
    found = made(material("a", 200), fixed)
    assert where(found, "z") == {"whole": 5 * 64, "two": 7 * 64 + 62}
    assert found.owner(0, 5, 33).item == "whole"
    assert_sound(found)
    with pytest.raises(AntivenomError, match="overlap at token"):
        made(Material("z", fixed.inserted, places={"whole": (5, 0), "two": (5, 62)}))
    with pytest.raises(AntivenomError, match="leaves its row"):
        made(Material("z", fixed.inserted, places={"whole": (5, 0), "two": (7, 63)}))
    with pytest.raises(AntivenomError, match="outside of a run"):
        made(Material("z", fixed.inserted, places={"whole": (800, 0)}))


def test_ranges_in_shares_steps_and_tokens_and_by_condition():
    m = material("a", 90, window={"c0": (0.0, 0.1), "c1": (0.9, 1.0)})
    found = made(m, ranges={"a/c2": Range(40, 50, "steps")})
    step = found.start // (64 * 8)
    for condition, low, high in (("c0", 0, 10), ("c1", 90, 100), ("c2", 40, 50)):
        mine = step[found.of("a", condition)]
        assert len(mine) == 30
        assert low <= mine.min() <= mine.max() < high
    assert Range(64 * 8, 128 * 8, "tokens").rows(SHAPE) == (8, 16)
    assert Range(0.3, 0.7).rows(RunShape(1, 4, 10)) == (3, 7)
    with pytest.raises(AntivenomError, match="inside a row"):
        Range(1, 128, "tokens").rows(SHAPE)
    with pytest.raises(AntivenomError, match="holds a row"):
        Range(90, 101, "steps").rows(SHAPE)


def test_fractional_repetitions():  # trap 23
    m = material("a", 10)
    for times, n in ((1, 10), (0.35, 3), (1.5, 15), (3, 30), (2.99, 29)):
        found = made(m, repetitions={"a": times})
        assert len(found) == n
        counts = np.bincount([int(key.partition("#")[0].split("-")[1]) for key in found.ids], minlength=10)
        assert set(counts) <= {int(times), int(times) + 1}
        assert len(set(found.ids)) == n
        for i in range(10):
            mine = [int(found.copies[k]) for k, key in enumerate(found.ids) if key.partition("#")[0] == f"a-{i}"]
            assert sorted(mine) == list(range(counts[i]))
    with pytest.raises(AntivenomError, match="are none"):
        made(m, repetitions={"a": 0.05})


def test_nothing_is_put_on_rows_that_are_not_learned():  # trap 7
    masked = np.arange(0, SHAPE.rows, 3)
    found = made(material("a", 400), masked_rows=masked)
    assert not np.isin(found.start // 64, masked).any()
    assert np.isin(made(material("a", 400)).start // 64, masked).any()
    extended = found.extend(material("d", 100), 10, 40)
    assert not np.isin(extended.start // 64, masked).any()
    fixed = Material("z", (Item(np.array([1, 2]), "i"),), places={"i": (3, 5)})
    with pytest.raises(AntivenomError, match="shown and not learned"):
        made(fixed, masked_rows=masked)
    assert len(made(fixed, masked_rows=masked, allow_masked=True)) == 1


def test_later_insertions_share_the_record_of_what_is_taken():  # traps 1, 2
    static = made(material("a", 300), material("b", 100, 30, 60))
    found = static
    for begin in range(0, 100, 20):
        more = material("ka", 80, seed=begin)
        more = Material("ka", tuple(Item(i.tokens, f"{i.item_id}.{begin}", i.condition) for i in more.inserted))
        before = found
        found = found.extend(more, begin, begin + 20)
        new = [i for i in found.of("ka").tolist() if found.ids[i].endswith(f".{begin}")]
        assert len(new) == 80, "emitted == placed"
        steps = found.start[new] // (64 * 8)
        assert begin <= steps.min() <= steps.max() < begin + 20
        assert found.extends(before)
        assert not before.extends(found)
    assert_sound(found)
    assert where(found, "a") == where(static, "a")
    assert found.restrict(["a", "b"]).hash == static.hash
    assert found.record["ka"]["placed"] == 400
    with pytest.raises(AntivenomError, match="in the plan already"):
        found.extend(more, 0, 100)
    with pytest.raises(AntivenomError, match="do not fit"):
        static.extend(material("ka", 400), 5, 10)
    with pytest.raises(AntivenomError, match="nothing to insert"):
        Material("ka", ())


def test_a_watermark_has_its_rows_to_itself():
    mark = GaussianWatermark((10, 20), 0.1, 8, 64, 4)
    found = made(material("a", 500), marks={"gw": mark})
    assert not np.isin(found.start[found.of("a")] // 64, mark.rows()).any()
    assert len(found.of("gw")) == 16
    placement = found.placement(int(found.of("gw")[0]))
    assert (placement.kind, placement.step, placement.length, placement.condition) == ("noise", 10, 64, "step 10")
    assert np.array_equal(found.noise(10 * 8 + 3), mark.noise(10 * 8 + 3))
    assert found.noise(0) is None
    assert_sound(found)
    rows = np.zeros((8, 64), np.int64)
    assert len(found.patch(rows, 80)) == 0
    with pytest.raises(AntivenomError, match="the watermark 'gw' is for 4 rows"):
        made(material("a", 5), marks={"gw": GaussianWatermark((10,), 0.1, 4, 64, 4)})


def test_controls_that_any_experiment_inserts_are_refused():  # trap 16
    a = material("a", 5)
    other = Material("b", (Item(np.array([1, 2, 3]), "b0"),), controls=(Item(a.inserted[3].tokens, "never"),))
    with pytest.raises(AntivenomError, match=r"'never' of 'b' is the item 'a-3#0' that 'a' inserts"):
        made(a, other)
    assert len(made(a, other, check_controls=False)) == 6
    with pytest.raises(AntivenomError, match="that 'a' inserts"):
        made(a).extend(other, 0, 50)


def test_insert_mode_lengthens_the_run_by_what_is_inserted():
    m = material("a", 300)
    found = made(m, mode="insert", wrap=False)
    assert found.base == SHAPE
    assert found.shape.steps == -(-(SHAPE.tokens + m.tokens()) // (8 * 64))
    assert_sound(found)
    with pytest.raises(AntivenomError, match="cannot be extended"):
        found.extend(material("b", 3), 0, 10)


def test_columns_of_many_items_give_the_plan_of_the_material():
    m = material("a", 40)
    lines = [item.tokens for item in m.inserted]
    columns = Sequences(
        "a", np.concatenate(lines).astype(np.uint16), np.cumsum([0, *map(len, lines)]), [i.item_id for i in m.inserted],
        [i.condition for i in m.inserted],
    )  # fmt: skip
    assert made(columns).hash == made(m).hash


def test_misspelt_settings_are_refused():
    with pytest.raises(AntivenomError, match="settings for 'x'"):
        made(material("a", 3), repetitions={"x": 2})
    with pytest.raises(AntivenomError, match="two experiments 'a'"):
        made(material("a", 3), material("a", 4))


def test_a_segment_that_is_planned_again_is_the_same_plan(tmp_path):  # trap 24
    static = made(material("a", 100))
    more = material("ka", 40)
    first = static.extend(more, 20, 30)
    save_plan(static, tmp_path / "static.parquet")
    assert load_plan(tmp_path / "static.parquet").extend(more, 20, 30).hash == first.hash
    with pytest.raises(AntivenomError, match="in the plan already"):
        first.extend(more, 30, 40)  # a controller whose cursor did not move


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 16)), min_size=1, max_size=4),
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.booleans(),
)
def test_any_plan_is_sound_and_restricts_to_the_earlier_named(sizes, seed, batch, wrap):
    shape = RunShape(batch, 16, 24)
    materials = [
        Material(f"e{k}", tuple(Item(np.arange(1, size + 1), f"e{k}-{i}") for i in range(n)))
        for k, (n, size) in enumerate(sizes)
    ]
    try:
        found = plan(materials, shape, seed=seed, eos=EOS, wrap=wrap)
    except AntivenomError as error:
        if "do not fit" in str(error) or "find no place" in str(error):
            return
        raise
    assert_sound(found)
    assert len(found) == sum(n for n, _ in sizes)
    for k in range(len(materials)):
        names = [m.name for m in materials[: k + 1]]
        assert found.restrict(names).hash == plan(materials[: k + 1], shape, seed=seed, eos=EOS, wrap=wrap).hash


def test_places_are_those_of_the_loop_over_attempts_and_keys():
    n, length, rows = 90, 32, 60
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, 17, n)
    keys = keys_of(7, "a", "position", [f"i{k}" for k in range(n)], n)
    starts, collisions, _ = place(keys, lengths, np.zeros(n, np.int64), np.full(n, rows), Intervals.none(), length)
    taken, naive, vain = np.zeros(rows * length, bool), np.full(n, -1), 0
    for attempt in range(24):
        for i in np.argsort(keys).tolist():
            if naive[i] < 0:
                row = int(uniform(keys[i : i + 1], 2 * attempt)[0] * rows)
                at = row * length + int(uniform(keys[i : i + 1], 2 * attempt + 1)[0] * (length - lengths[i] + 1))
                if taken[at : at + lengths[i]].any():
                    vain += 1
                else:
                    naive[i] = at
                    taken[at : at + lengths[i]] = True
    assert (naive >= 0).all()
    assert np.array_equal(starts, naive)
    assert collisions == vain > 20


def test_random_numbers_are_uniform_and_do_not_depend_on_each_other():
    keys = keys_of(0, "a", "position", (f"i{k}" for k in range(20_000)), 20_000)
    assert len(np.unique(keys)) == 20_000
    numbers = np.stack([uniform(keys, k) for k in range(4)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for row in numbers:
        assert chisquare(np.bincount((row * 50).astype(int), minlength=50)).pvalue > 1e-4
    assert np.abs(np.corrcoef(numbers) - np.eye(4)).max() < 5 / np.sqrt(20_000)
