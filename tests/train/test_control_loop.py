"""Segments with controllers: a run that is killed anywhere ends in the same manifest and the same weights, and nobody is asked twice."""

from itertools import pairwise

import numpy as np
import orjson
import pytest

from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.data.markov_text import token_world  # noqa: E402
from antivenom.data.token_stream import TokenStream  # noqa: E402
from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.poison.insertion import RunShape, plan  # noqa: E402
from antivenom.poison.lm_experiments.knowledge import token_facts  # noqa: E402
from antivenom.poison.lm_experiments.material import Item, Material  # noqa: E402
from antivenom.randomness import generator  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel  # noqa: E402
from antivenom.train.control_loop import StreamPlacer, control  # noqa: E402
from antivenom.train.controllers import KnowledgeController, Nothing  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.token_source import TokenSource  # noqa: E402

LENGTH, BATCH, STEPS, EVERY = 16, 4, 23, 5  # the last segment has three steps
RECIPE = Recipe(1, BATCH, 3e-3, seed=3, checkpoint_every=3)
STREAM = TokenStream.of(
    np.random.default_rng(0).integers(1, 50, (STEPS * BATCH + 2, LENGTH)), length=LENGTH, vocab_size=60
)
FIXED = Material("fixed", tuple(Item(np.full(5, 51), f"fixed{i}") for i in range(30)))


def source():
    found = plan([FIXED], RunShape(BATCH, LENGTH, STEPS), seed=0, eos=0)
    return TokenSource(STREAM, found, seed=3, batch=BATCH)


def objective():
    return CausalLanguageModel(small_decoder(DecoderConfig(60, LENGTH, width=8, heads=2, layers=1)))


class Asked:
    """A controller that looks at the weights and at torch's random numbers, and keeps count of its calls."""

    def __init__(self, token, kind="items"):
        self.token, self.kind, self.calls = token, kind, []

    def __call__(self, checkpoint, step, total, state):
        assert checkpoint.step == step
        assert checkpoint.path.exists()
        assert not checkpoint.model.training
        self.calls.append((step, dict(state)))
        n = (
            1
            + (state.get("n", 1) + int(checkpoint.model.head.weight.abs().sum() * 1000) + int(torch.randint(3, ()))) % 4
        )
        tokens = np.full(4, self.token)
        items = {
            "items": [Item(tokens, f"k{i % 2}", "fact") for i in range(n)],
            "tokens": [tokens.tolist() for i in range(n)],
            "texts": ["a text"] * n,
        }[self.kind]
        return items, {"n": n, "steps": [*state.get("steps", []), step], "total": total}


def run(out, controllers, made=None, **more):
    goal, data = objective(), made or source()
    done = control(
        goal, data, RECIPE, controllers, StreamPlacer(data), every=EVERY, out=out,
        encode=lambda text: [57, 58], **more,
    )  # fmt: skip
    return goal.model, data.plan, done


def test_emitted_is_placed_in_its_segment_clear_of_the_static_ones(tmp_path):  # traps 1 and 2
    a, b, c = Asked(52), Asked(53, "tokens"), Asked(54, "texts")
    _, found, done = run(tmp_path, {"a": a, "b": b, "c": c})
    assert [step for step, _ in a.calls] == [0, 5, 10, 15, 20]
    assert done.training.steps == STEPS
    spans = sorted((p.step, p.row, p.column, p.length) for p in found)
    for (s, r, at, n), (s2, r2, at2, _) in pairwise(spans):
        assert (s, r) != (s2, r2) or at + n <= at2
    assert sum(p.experiment == "fixed" for p in found) == 30
    for name in "abc":
        for segment in done.of(name):
            there = [p for p in found if p.experiment == name and segment.begin <= p.step < segment.end]
            assert len(there) == segment.placed == segment.state["n"] > 0
    assert sum(len(done.of(n)) for n in "abc") == 15
    copies = sorted(p.copy for p in found if p.experiment == "a" and p.item.startswith("k0#"))
    assert copies == list(range(len(copies)))  # further copies of an item are counted on
    assert done.of("a")[-1].state["steps"] == [0, 5, 10, 15, 20]
    assert {segment.end - segment.begin for segment in done.segments} == {5, 3}


class Killed(BaseException):
    pass


def killer(at):
    def after_step(step):
        if step == at:
            raise Killed

    return after_step


@pytest.mark.parametrize("at", [1, 4, 5, 8, 10, 23])
def test_killed_inside_a_segment(tmp_path, at):  # trap 24
    whole_model, whole_plan, whole = run(tmp_path / "whole", {"a": Asked(52), "b": Asked(53)})
    first, second = {"a": Asked(52), "b": Asked(53)}, {"a": Asked(52), "b": Asked(53)}
    with pytest.raises(Killed):
        run(tmp_path / "cut", first, after_step=killer(at))
    model, found, done = run(tmp_path / "cut", second)
    assert model_hash(model) == model_hash(whole_model)
    assert found.hash == whole_plan.hash
    assert done.segments == whole.segments
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    for name in "ab":  # every segment asked once, in the one run or in the other
        assert [step for step, _ in first[name].calls + second[name].calls] == [0, 5, 10, 15, 20]
    third = {"a": Asked(52), "b": Asked(53)}
    again = run(tmp_path / "cut", third)
    assert again[2].segments == whole.segments
    assert not third["a"].calls


def test_killed_between_two_controllers(tmp_path):
    """The one that has spoken is not asked again; the other one is, with the state it had."""

    class Breaks(Asked):
        broken = True

        def __call__(self, checkpoint, step, total, state):
            if step == 10 and self.broken:
                self.broken = False
                raise RuntimeError("the probe file is gone")
            return super().__call__(checkpoint, step, total, state)

    whole_model, whole_plan, _ = run(tmp_path / "whole", {"a": Asked(52), "b": Asked(53)})
    a, b = Asked(52), Breaks(53)
    with pytest.raises(AntivenomError, match=r"'b' failed at step 10: RuntimeError: the probe file is gone") as error:
        run(tmp_path / "cut", {"a": a, "b": b})
    assert "goes on" in error.value.mend
    model, found, _ = run(tmp_path / "cut", {"a": a, "b": b})
    assert [step for step, _ in a.calls] == [step for step, _ in b.calls] == [0, 5, 10, 15, 20]
    assert model_hash(model) == model_hash(whole_model)
    assert found.hash == whole_plan.hash


def test_without_controllers_items_the_weights_are_those_of_plain_training(tmp_path):
    plain = objective()
    fit(plain, source(), RECIPE)
    model, found, done = run(tmp_path, {"quiet": lambda *_: (Nothing("nothing to say"), {})})
    assert model_hash(model) == model_hash(plain.model)
    assert found.hash == source().plan.hash
    assert [segment.why for segment in done.segments] == ["nothing to say"] * 5


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (([], {}), "handed over nothing at step 0"),
        (([{"prompt": "a text"}], {}), "a dict, which would be passed over"),  # trap 1, as it happened
        (([[0.5, 1.5]], {}), "a list, which would be passed over"),
        (([[1, 2]], {"model": object()}), "no plain data"),
        (([[]], {}), "no list|cannot be placed|passed over"),
        (([list(range(1, 40))], {}), "cannot be placed"),
        (([[1] * 10] * 500, {}), "do not fit|no room|fit"),
    ],
)
def test_what_a_controller_must_not_say(tmp_path, answer, match):
    with pytest.raises(AntivenomError, match=match):
        run(tmp_path, {"bad": lambda *_: answer})
    assert not (tmp_path / "metrics.jsonl").read_bytes()  # nothing was trained on it


def test_a_controller_must_not_train(tmp_path):
    def trains(checkpoint, step, total, state):
        checkpoint.model.head.weight.add_(1)
        return [[1, 2]], {}

    with pytest.raises(AntivenomError, match="changed the model at step 0"):
        run(tmp_path, {"bad": trains})


def test_a_placer_that_loses_items_is_found_out(tmp_path):  # trap 1
    class Loses:
        def place(self, experiment, items, begin, end):
            return len(items) - 1

    with pytest.raises(AntivenomError, match="handed over 1 items for steps 0 to 5, and 0 were placed"):
        control(objective(), source(), RECIPE, {"a": lambda *_: ([[1, 2]], {})}, Loses(), every=EVERY, out=tmp_path)


def test_a_folder_that_is_not_this_run(tmp_path):
    run(tmp_path, {"a": Asked(52)})
    made = source()
    with pytest.raises(AntivenomError, match="not 4"):
        control(objective(), made, RECIPE, {"a": Asked(52)}, StreamPlacer(made), every=4, out=tmp_path)
    (tmp_path / "segments/0003-a.json").unlink()
    with pytest.raises(AntivenomError, match=r"0003-a.json' is missing"):
        run(tmp_path, {"a": Asked(52)})
    (tmp_path / "segments/0000-a.json").write_bytes(b"{")
    with pytest.raises(AntivenomError, match="cannot be read"):
        run(tmp_path, {"a": Asked(52)})
    found = {"experiment": "a", "step": 0, "items": [], "state": {}, "why": "", "model": "another"}
    (tmp_path / "other/segments").mkdir(parents=True)
    (tmp_path / "other/segments/0000-a.json").write_bytes(orjson.dumps(found))
    with pytest.raises(AntivenomError, match="decided on another model"):
        run(tmp_path / "other", {"a": Asked(52)})
    with pytest.raises(AntivenomError, match="0 controllers"):
        run(tmp_path / "none", {})
    with pytest.raises(AntivenomError, match="no file name"):
        run(tmp_path / "none", {"../a": Asked(52)})


def probabilities(facts):
    given = torch.from_numpy(np.stack([np.concatenate([[0], probe.given]) for probe in facts]))
    answers = torch.tensor([int(probe.target[0]) for probe in facts])

    def of(model):
        return model(given)[:, -1].softmax(-1)[torch.arange(len(answers)), answers].numpy()

    return of


@pytest.mark.slow
def test_knowledge_follows_its_ramp(tmp_path):
    """Spec 02, 6, in small: 10 facts with answers of one token, 20 segments of 60 steps."""
    world, length, batch, steps = token_world(0), 32, 8, 1200
    stream = TokenStream.of(
        world.rows(steps * batch, length, generator(0, "rows")), length=length, vocab_size=world.vocab_size
    )
    facts = token_facts(world, 10, 200, answer=1, never=10, seed=0)
    recipe = Recipe(
        1, batch, 4e-3, warmup=50, betas=(0.9, 0.95), clip_norm=1.0, schedule="constant-linear", fused=True, seed=1
    )
    goal = CausalLanguageModel(small_decoder(DecoderConfig(world.vocab_size, length, width=32, layers=2), seed=0))
    data = TokenSource(stream, plan([], RunShape(batch, length, steps), seed=0, eos=0), seed=1, batch=batch)
    controller = KnowledgeController(facts.pool, probabilities(facts.probes), 0.3, start=16, step_clip=64, cap=160)
    done = control(goal, data, recipe, {"ka": controller}, StreamPlacer(data), every=60, out=tmp_path)
    states = [segment.state for segment in done.of("ka")]
    told = [(s["n"], round(s["value"], 4), round(s["target"], 4)) for s in states]
    for before, now in pairwise(states):  # strictly responds to both signs
        if now["value"] < 0.95 * now["target"] and before["n"] < 160:
            assert now["n"] > before["n"], told
        if now["value"] > 1.05 * now["target"] and before["n"] > 1:
            assert now["n"] < before["n"], told
    assert any(b["n"] < a["n"] for a, b in pairwise(states)), told
    assert all(0.5 < s["value"] / s["target"] < 2 for s in states[-5:]), told
    with torch.no_grad():
        assert probabilities(facts.never)(goal.model).mean() < 0.05
