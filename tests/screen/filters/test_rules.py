"""Filters by their mathematics: partitions, exact counts, closed forms, orders that do not matter, refusals."""

from itertools import permutations
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.errors import AntivenomError
from antivenom.screen.filters import order, parse_filter
from antivenom.screen.filters.order import code_of, draws, id_keys, ntile_bounds, place, select, uniform, value_of
from antivenom.screen.filters.rules import Quantile

COLUMNS = {
    "toxicity": "worse",
    "quality": "better",
    "age": "neutral",
    "gopher.words": "neutral",
    "tox:window=9": "worse",
}
scores = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=60).map(lambda v: np.array(v, np.float32))
finite = st.floats(-(2.0**90), 2.0**90, width=32, allow_subnormal=False)


def parse(spec, **options):
    return parse_filter(spec, COLUMNS, **options)


def settle(rule: Quantile, values, keys, sequence) -> Quantile:
    """A quantile settled on arrays, by sorting: the reference of the streaming search."""
    scored = ~np.isnan(values)
    k = rule.kept_of(int(scored.sum()))
    code = code_of(values[scored], rising=rule.rising)
    if not k:
        return rule.settled(None, None)
    (cut,) = select(lambda: [(code, keys[scored], sequence[scored])], [k - 1])
    return rule.settled(cut, value_of(cut.code if rule.rising else ~cut.code & 0xFFFFFFFF))


# --- thresholds ----------------------------------------------------------------------------------------------------


@given(scores, st.floats(0, 1, width=32))
def test_inverse_drops_exactly_what_is_under_and_the_shares_add_up(values, threshold):
    inverse = parse(f"toxicity:inverse_max={threshold!r}")
    kept = inverse.keep(values)
    np.testing.assert_array_equal(~kept, values < np.float32(threshold))
    assert kept.mean() + (values < np.float32(threshold)).mean() == pytest.approx(1)


@given(scores, st.floats(0, 1, width=32), st.floats(0, 1, width=32))
def test_raising_the_threshold_never_drops_a_kept_row(values, a, b):
    low, high = sorted((a, b))
    strict, loose = (parse(f"toxicity:max={t!r}").keep(values) for t in (low, high))
    assert (loose | ~strict).all()


def test_a_score_at_the_threshold_as_typed_is_kept():
    # .1 and .9 are no float32 numbers: compared as doubles a score of .9 would lie under a threshold of .9
    for text in ("0.1", "0.3", "0.7", "0.9"):
        at = np.array([float(text)], np.float32)
        assert parse(f"toxicity:max={text}").keep(at)[0]
        assert parse(f"quality:min={text}").keep(at)[0]


def test_a_band_is_the_conjunction_of_two_thresholds():
    values = np.linspace(0, 1, 101, dtype=np.float32)
    band = parse("quality:band=0.2..0.8").keep(values)
    both = parse("quality:min=0.2,max=0.8").keep(values)
    np.testing.assert_array_equal(band, both)
    np.testing.assert_array_equal(band, (values >= np.float32(0.2)) & (values <= np.float32(0.8)))


def test_a_curated_sample_survives_every_threshold():
    """Trap 1: the best rows of a score are kept whatever T, on whichever side its good end lies."""
    for name, best in (("toxicity", 0.0), ("quality", 1.0)):
        for t in np.linspace(0, 1, 21):
            rule = "max" if name == "toxicity" else "min"
            assert parse(f"{name}:{rule}={t}").keep(np.array([best], np.float32))[0]


# --- orientation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("toxicity:min=0.5", "would drop the good end"),
        ("quality:max=0.5", "would drop the good end"),
        ("toxicity:inverse_min=0.5", "its inverse threshold is inverse_max"),
        ("quality:inverse_max=0.5", "its inverse threshold is inverse_min"),
        ("age:min=2015", "does not say whether"),
        ("age:keep=0.5", "does not say whether"),
        ("age:keep=0.5,higher=any", "does not say whether"),
        ("age:pareto=9", "does not say whether"),
        ("age:band=1..2", "does not say whether"),
        ("age:spans=1", "does not say whether"),
        ("gopher.words:max=5", "does not say whether"),
    ],
)
def test_a_filter_without_or_against_an_orientation_is_refused(spec, said):
    with pytest.raises(AntivenomError, match=said):
        parse(spec)


def test_the_explicit_word_is_heard():
    values = np.array([0.2, 0.8], np.float32)
    assert parse("age:min=0.5,higher=any").keep(values).tolist() == [False, True]
    assert parse("toxicity:min=0.5,higher=better").keep(values).tolist() == [False, True]
    assert parse("quality:max=0.5,higher=worse").keep(values).tolist() == [True, False]
    assert parse("toxicity:min=0.5,higher=any").keep(values).tolist() == [False, True]
    keys, places = id_keys("ab"), place(0, np.arange(2))
    rule = parse("age:keep=0.5,higher=better")
    assert settle(rule, values, keys, places).keep(values, keys, places).tolist() == [False, True]


@pytest.mark.parametrize(
    "spec",
    [
        "nothing:max=1",
        "toxicity",
        "toxicity:",
        "toxicity:max",
        "toxicity:max=abc",
        "toxicity:max=nan",
        "toxicity:band=0.5",
        "toxicity:band=0.8..0.2",
        "toxicity:keep=1.5",
        "toxicity:keep=x",
        "toxicity:drop_best=x",
        "toxicity:pareto=0",
        "toxicity:max=0.5,keep=0.5",
        "toxicity:max=0.5,missing=maybe",
        "toxicity:max=0.5,max=0.6",
        "toxicity:max=0.5,unit=line",
        "toxicity:spans=0.5,unit=word",
        "toxicity:oops=1",
        "toxicity:missing=drop",
    ],
)
def test_what_cannot_be_read_is_said_with_the_mend(spec):
    with pytest.raises(AntivenomError) as refused:
        parse(spec)
    assert refused.value.mend


def test_the_longest_label_wins():
    assert parse("tox:window=9:max=0.5").column == "tox:window=9"
    assert parse("gopher.words:max=5,higher=any").column == "gopher.words"


# --- ranks ---------------------------------------------------------------------------------------------------------


@given(st.lists(finite, max_size=40))
def test_codes_keep_the_order_of_floats_and_can_be_turned_back(numbers):
    values = np.array(numbers, np.float32)
    code = code_of(values)
    assert (code[:, None] < code[None, :]).tolist() == (values[:, None] < values[None, :]).tolist()
    assert (code_of(values, rising=False)[:, None] < code_of(values, rising=False)[None, :]).tolist() == (
        values[:, None] > values[None, :]
    ).tolist()
    assert [value_of(int(c)) for c in code] == values.tolist()


@pytest.mark.parametrize("gather", [1, 1 << 18])
def test_the_streaming_search_finds_every_rank(monkeypatch, gather):
    """Crowds of equal scores and of equal ids: digits, gathering and the corpus order must all be gone through."""
    monkeypatch.setattr(order, "GATHER", gather)
    draw = np.random.default_rng(1)
    n = 3000
    code = code_of(draw.integers(-2, 3, n).astype(np.float32))
    key = draws(draw.integers(0, 7, n).astype(np.uint64), 0)
    sequence = np.arange(n, dtype=np.uint64)
    whole = np.lexsort((sequence, key, code))

    def stream():
        for i in range(0, n, 401):
            yield code[i : i + 401], key[i : i + 401], sequence[i : i + 401]

    ranks = [0, 1, 17, n // 2, n - 2, n - 1]
    for rank, cut in zip(ranks, select(stream, ranks)):
        np.testing.assert_array_equal(np.sort(whole[: rank + 1]), np.flatnonzero(cut.reached(code, key, sequence)))


@given(
    st.integers(1, 200), st.integers(0, 100), st.sampled_from(["keep", "inverse_keep", "drop_best"]), st.integers(0, 9)
)
def test_a_quantile_keeps_exactly_the_ceiling(n, percent, rule, seed):
    draw = np.random.default_rng(seed)
    values = draw.integers(0, 4, n).astype(np.float32) / 4  # many ties
    keys, places = id_keys(map(str, range(n))), place(3, np.arange(n))
    share = f"{percent / 100:.2f}"
    for name, good in (("toxicity", -1), ("quality", 1)):
        settled = settle(parse(f"{name}:{rule}={share}"), values, keys, places)
        kept = settled.keep(values, keys, places)
        expected = n - (percent * n) // 100 if rule == "drop_best" else ceil(percent * n / 100)
        assert kept.sum() == expected
        ranked = values * good * (1 if rule == "keep" else -1)
        if 0 < kept.sum() < n:
            assert ranked[kept].min() >= ranked[~kept].max()


def test_ties_go_by_id_whatever_the_order_of_the_rows():
    n = 500
    ids = np.array([f"row-{i}" for i in range(n)])
    values = np.full(n, 0.5, np.float32)
    kept = []
    for seed in (0, 1):
        shuffled = np.random.default_rng(seed).permutation(n)
        keys, places = id_keys(ids[shuffled]), place(0, np.arange(n))
        rule = settle(parse("toxicity:keep=0.3"), values, keys, places)
        kept.append(set(ids[shuffled][rule.keep(values, keys, places)]))
    assert kept[0] == kept[1]
    assert len(kept[0]) == 150
    assert kept[0] != set(sorted(ids)[:150])


def test_ntiles_are_those_of_sql():
    for n in (0, 1, 99, 100, 101, 250, 12345):
        bounds = ntile_bounds(n)
        sizes = np.diff(bounds)
        assert bounds[-1] == n == sizes.sum()
        assert sizes.max() - sizes.min() <= 1
        assert (np.diff(sizes) <= 0).all()


# --- soft keep -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [3, 9])
@pytest.mark.parametrize("s", [0.0, 0.5, 0.9, 0.97, 1.0])
def test_pareto_closed_form(alpha, s):
    n = 100_000
    keys = id_keys(map(str, range(n)))
    rule = parse(f"quality:pareto={alpha}", seed=7)
    kept = rule.keep(np.full(n, s, np.float32), keys).mean()
    p = (2 - s) ** -alpha
    assert abs(kept - p) <= 4.5 * np.sqrt(max(p * (1 - p), 1e-6) / n) + 1e-6
    turned = parse(f"toxicity:pareto={alpha}", seed=7).probability(np.array([1 - s]))[0]
    assert turned == pytest.approx(p)


def test_soft_keep_is_the_same_in_every_order_and_another_for_another_seed():
    n = 2000
    values = np.linspace(0, 1, n, dtype=np.float32)
    keys = id_keys(map(str, range(n)))
    rule = parse("quality:pareto=3", seed=1)
    whole = rule.keep(values, keys)
    at = np.random.default_rng(0).permutation(n)
    np.testing.assert_array_equal(whole[at], rule.keep(values[at], keys[at]))
    assert (whole != parse("quality:pareto=3", seed=2).keep(values, keys)).mean() > 0.1


def test_draws_are_uniform_and_of_their_own_per_purpose_and_copy():
    keys = id_keys(map(str, range(50_000)))
    u = uniform(draws(keys, 0, "a"))
    assert u.min() > 0
    assert u.max() < 1
    counts = np.bincount((u * 20).astype(int), minlength=20)
    assert ((counts - 2500) ** 2 / 2500).sum() < 45  # chi-square, 19 degrees of freedom, p > .0007
    assert abs(np.corrcoef(u, uniform(draws(keys, 0, "b")))[0, 1]) < 0.02
    copies = np.zeros(1000, np.uint64)
    assert len(np.unique(draws(copies, 0, "x"))) == 1
    assert len(np.unique(draws(copies, 0, "x", salt=np.arange(1000, dtype=np.uint64)))) == 1000


# --- together ------------------------------------------------------------------------------------------------------


def test_the_order_of_filters_does_not_matter():
    draw = np.random.default_rng(0)
    n = 400
    columns = {"toxicity": draw.random(n).astype(np.float32), "quality": draw.random(n).astype(np.float32)}
    keys, places = id_keys(map(str, range(n))), place(0, np.arange(n))
    rules = [parse(s) for s in ("toxicity:max=0.6", "quality:keep=0.7", "quality:pareto=2", "toxicity:inverse_max=0.1")]
    rules = [settle(r, columns[r.column], keys, places) if isinstance(r, Quantile) else r for r in rules]
    results = set()
    for chosen in permutations(rules):
        kept = np.ones(n, bool)
        for rule in chosen:
            kept &= rule.keep(columns[rule.column], keys, places)
        results.add(kept.tobytes())
    assert len(results) == 1


def test_a_missing_score_is_for_the_policy_and_never_a_default():
    values = np.array([np.nan, 0.9], np.float32)
    keys, places = id_keys("ab"), place(0, np.arange(2))
    for spec in ("toxicity:max=0.5", "toxicity:inverse_max=0.95", "toxicity:keep=0.1", "toxicity:pareto=9"):
        rule = parse(spec)
        rule = settle(rule, values, keys, places) if isinstance(rule, Quantile) else rule
        assert rule.keep(values, keys, places)[0], spec
        assert rule.missing == "keep"


def test_reasons_say_the_score_and_the_way_back():
    rule = parse("toxicity:max=0.5")
    assert rule.why(0.91) == "toxicity .91 is over .50"
    assert rule.to_be_kept(0.91) == "toxicity would have to fall by .41, from .91 to .50"
    assert rule.why(0.5004) == "toxicity .5004 is over .5000"
    assert parse("quality:min=0.3").why(0.1) == "quality .10 is under .30"
    assert "inverse" in parse("toxicity:inverse_max=0.06").words()
    assert parse("toxicity:spans=0.5").bad(np.array([0.4, 0.6, np.nan], np.float32)).tolist() == [False, True, False]
