"""Batches of a stream with a plan in them: the hand-patched array, step for step, and the traps of order and epoch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.data.token_stream import TokenStream  # noqa: E402
from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.poison.insertion import RunShape, plan  # noqa: E402
from antivenom.poison.insertion.order import storage_order, training_rows  # noqa: E402
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark  # noqa: E402
from antivenom.poison.lm_experiments.material import Item, Material  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel  # noqa: E402
from antivenom.train.loop import Recipe, fit  # noqa: E402
from antivenom.train.token_source import TokenSource  # noqa: E402
from antivenom.train.written_rows import ByBatch, Once  # noqa: E402

DRAW = np.random.default_rng(0)
ROWS = DRAW.integers(1, 50, (83, 16))
STREAM = TokenStream.of(ROWS, length=16, vocab_size=60)
SHAPE = RunShape(4, 16, 20)  # 83 rows: 3 fill no batch


def items(name, n, token, length=5):
    return Material(name, tuple(Item(np.full(length, token), f"{name}{i}") for i in range(n)))


def planned(shape=SHAPE, **more):
    return plan([items("a", 30, 50), items("b", 15, 51, 9)], shape, seed=0, eos=0, **more)


def hand_patched(found, seed=3, epochs=1):
    order = storage_order(83, seed=seed, batch=4, epochs=epochs)
    flat = ROWS[order].copy().reshape(-1)
    for i in range(len(found)):
        flat[found.start[i] : found.start[i] + found.length[i]] = found.tokens_of(i)
    return flat.reshape(-1, 4, 16)


class Watching(CausalLanguageModel):
    """Remembers the batches that the loop hands over."""

    def loss(self, batch):
        self.seen.append({key: value.clone() for key, value in batch.items()})
        return super().loss(batch)


def trained(source, tmp_path=None, epochs=1, **more):
    objective = Watching(small_decoder(DecoderConfig(60, 16, width=8, heads=2, layers=1)))
    objective.seen = []
    fit(objective, source, Recipe(epochs=epochs, batch=4, lr=1e-3, seed=3), out=tmp_path, **more)
    return objective.seen


def test_the_loop_sees_every_planned_token_at_its_step_row_and_column():  # trap 6
    found = planned()
    seen = trained(TokenSource(STREAM, found, seed=3, batch=4))
    wanted = hand_patched(found)
    assert len(seen) == 20
    bare = hand_patched(planned().restrict([]))
    for step, batch in enumerate(seen):
        assert np.array_equal(batch["tokens"].numpy(), wanted[step])
        found.check_batch(step, batch["tokens"].numpy())
        owned = found.owners(np.arange(step * 64, (step + 1) * 64)).reshape(4, 16) >= 0
        assert np.array_equal(batch["tokens"].numpy()[~owned], bare[step][~owned])  # the twin's
    assert (found.tokens >= 50).any()
    with pytest.raises(AntivenomError, match="is not there"):
        found.check_batch(int(found.start[0]) // 64, bare[int(found.start[0]) // 64])


def test_the_bare_stream_is_the_twin_of_the_same_order():
    bare = hand_patched(planned().restrict([]))
    for step, batch in enumerate(trained(TokenSource(STREAM, seed=3, batch=4))):
        assert np.array_equal(batch["tokens"].numpy(), bare[step])
        assert set(batch) == {"tokens"}
    assert TokenSource(STREAM, seed=3, batch=4).at(7)["tokens"].tolist() == bare[7].tolist()


@pytest.mark.parametrize("kind", [Once, ByBatch])
@pytest.mark.parametrize("on_disk", ["", "raw", "npy", "columns"])
def test_both_ways_of_writing_give_the_hand_patched_batches_and_leave_the_stream_alone(tmp_path, kind, on_disk):
    stream = STREAM
    if on_disk:
        path = tmp_path / ("ids.bin" if on_disk == "raw" else "ids.npy")
        if on_disk == "raw":
            ROWS.astype(np.uint16).tofile(path)
        else:  # with a header before the ids; and once column after column
            np.save(path, ROWS if on_disk == "npy" else np.asfortranarray(ROWS))
        stream = TokenStream.of(path, length=16, vocab_size=60)
    found, order = planned(), storage_order(83, seed=3, batch=4)
    rows = kind(stream, found, order)
    later = found.extend(items("late", 4, 52), 10, 20)
    for step in range(20):
        if step == 9:
            rows.update(later, step)
        assert np.array_equal(
            rows.batch(step, order[step * 4 : step * 4 + 4]), hand_patched(later if step > 8 else found)[step]
        )
    assert np.array_equal(stream.rows(np.arange(83)), ROWS)


def test_a_part_of_anothers_memory_map(tmp_path):
    np.save(tmp_path / "ids.npy", np.concatenate([np.full(23, 59), ROWS.reshape(-1)]))
    stream = TokenStream.of(np.load(tmp_path / "ids.npy", mmap_mode="r")[23:], length=16, vocab_size=60)
    source = TokenSource(stream, planned(), seed=3, batch=4)
    assert not stream.writable
    assert all(np.array_equal(source.at(step)["tokens"].numpy(), hand_patched(planned())[step]) for step in range(20))


def test_a_second_epoch_or_another_seed_is_an_error():  # trap 6
    source = TokenSource(STREAM, planned(), seed=3, batch=4)
    with pytest.raises(AntivenomError, match="further epoch"):
        trained(source, epochs=2)
    with pytest.raises(AntivenomError, match="another seed"):
        trained(TokenSource(STREAM, planned(), seed=4, batch=4))
    with pytest.raises(AntivenomError, match="another batch"):
        source.batch(source._order[:3], DRAW)


def test_two_epochs_that_are_planned_together():
    found = planned(RunShape(4, 16, 40))
    seen = trained(TokenSource(STREAM, found, seed=3, batch=4, epochs=2), epochs=2)
    assert np.array_equal(np.stack([b["tokens"].numpy() for b in seen]), hand_patched(found, epochs=2))


def test_a_plan_of_another_run_or_vocabulary_is_refused():
    with pytest.raises(AntivenomError, match="the plan is for 21 steps"):
        TokenSource(STREAM, planned(RunShape(4, 16, 21)), seed=3, batch=4)
    with pytest.raises(AntivenomError, match="20 steps x 4 rows x 16 tokens"):
        TokenSource(STREAM, planned(RunShape(5, 16, 16)), seed=3, batch=4)
    with pytest.raises(AntivenomError, match="item 'x0' of 'x' has the token 60 at 1"):
        TokenSource(STREAM, plan([items("x", 1, 60)], SHAPE, seed=0, eos=0), seed=3, batch=4)


def test_resume_at_every_step_gives_the_same_batch():
    found = planned()
    wanted = hand_patched(found)
    for step in range(20):
        source = TokenSource(STREAM, found, seed=3, batch=4)
        rows = storage_order(83, seed=3, batch=4)[step * 4 : step * 4 + 4]
        assert np.array_equal(source.batch(rows, DRAW)["tokens"].numpy(), wanted[step])


def test_noise_is_on_the_marked_rows_alone():
    mark = GaussianWatermark((6,), 0.15, 4, 16, 8)
    found = planned(marks={"gw": mark})
    seen = trained(TokenSource(STREAM, found, seed=3, batch=4))
    assert [step for step, batch in enumerate(seen) if "noise" in batch] == [6]
    for row in range(4):
        assert np.array_equal(seen[6]["noise"][row].numpy(), mark.noise(24 + row))
    assert np.array_equal(seen[6]["tokens"].numpy(), hand_patched(planned().restrict([]))[6])


def test_repeated_rows_are_masked_by_their_tokens_before_insertion_and_hold_no_item():  # trap 7
    rows = np.tile(DRAW.integers(1, 50, (40, 1)), 64)
    rows[::2] = DRAW.integers(1, 50, (20, 64))
    stream = TokenStream.of(rows, length=64, vocab_size=60)
    masked = training_rows(stream.repeated(), seed=3, batch=4)
    assert len(masked) == 20
    found = plan([items("a", 60, 50)], RunShape(4, 64, 10), seed=0, eos=0, masked_rows=masked)
    source = TokenSource(stream, found, seed=3, batch=4, repetition_filter=True)
    for step in range(10):
        batch = source.at(step)
        held = (batch["tokens"] == 50).any(1)
        assert not (held & ~batch["mask"]).any()
        assert (~batch["mask"]).nonzero().reshape(-1).tolist() == [m - 4 * step for m in masked if m // 4 == step]


def test_the_control_loop_extends_the_plan_on_the_way():  # trap 2
    source = TokenSource(STREAM, planned(), seed=3, batch=4)
    first = source.fingerprint

    def after(step):
        if step in (5, 10):
            source.update(
                source.plan.extend(
                    Material("ka", tuple(Item(np.full(4, 55), f"k{step}.{i}") for i in range(8))), step, step + 5
                )
            )
        if step == 12:
            with pytest.raises(AntivenomError, match="before step 12"):
                source.update(source.plan.extend(items("late", 1, 56), 1, 12))
            with pytest.raises(AntivenomError, match="no extension"):
                source.update(planned())

    seen = trained(source, after_step=after)
    counts = [int((batch["tokens"] == 55).sum()) for batch in seen]
    assert sum(counts[5:10]) == sum(counts[10:15]) == 32
    assert sum(counts) == 64
    assert source.fingerprint == first
    for step, batch in enumerate(seen):
        source.plan.check_batch(step, batch["tokens"].numpy())


def test_insert_mode_shows_the_whole_stream_in_order_with_the_items_between():
    found = planned(mode="insert")
    source = TokenSource(STREAM, found, seed=3, batch=4)
    assert source.steps == found.shape.steps == len(source) // 4
    seen = trained(source)
    tokens = np.concatenate([batch["tokens"].numpy().reshape(-1) for batch in seen])
    own = found.owners(np.arange(len(tokens))) < 0
    order = storage_order(83, seed=3, batch=1)[:80]
    text = ROWS[order].reshape(-1)
    assert np.array_equal(tokens[own][: len(text)], text)  # everything is there, in the twin's order
    assert (tokens[own][len(text) :] == 0).all()
    masks = np.concatenate(
        [batch.get("mask", torch.ones(4, 16, dtype=torch.bool)).numpy().reshape(-1) for batch in seen]
    )
    assert masks.sum() == len(text) + found.offsets[-1]
    for i in range(len(found)):
        assert np.array_equal(tokens[found.start[i] : found.start[i] + found.length[i]], found.tokens_of(i))
