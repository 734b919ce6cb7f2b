"""Runs that stop on the way, go on, and begin from the state of another run; what a recipe's key depends on."""

from dataclasses import replace

import numpy as np
import pytest

from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.report.run_directory import fingerprint  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel  # noqa: E402
from antivenom.train.loop import Diverged, Recipe, State, fit, model_hash  # noqa: E402

RECIPE = Recipe(2, 8, 0.01, warmup=2, weight_decay=0.3, betas=(0.9, 0.95), clip_norm=1.0, seed=4)  # 10 steps
SIZES = DecoderConfig(20, 12, width=8, heads=2, layers=1)


class Tokens:
    def __init__(self, seed=0, n=40):
        self.x = np.random.default_rng(seed).integers(0, 20, (n, 12))
        self.fingerprint = f"tokens {seed}"

    def __len__(self):
        return len(self.x)

    def batch(self, rows, draw):
        return {"tokens": torch.from_numpy(self.x[rows])}


class Dropped(CausalLanguageModel):
    """With dropout's own numbers in the loss, so that the generator's state counts."""

    def loss(self, batch):
        loss, figures = super().loss(batch)
        return loss * (1 + 0.1 * torch.rand(())), figures


def new():
    return Dropped(small_decoder(SIZES, seed=1))


@pytest.mark.parametrize("same_model", [True, False])
@pytest.mark.parametrize("stops", [(3, 7, 10), (0, 5, 5, 10), (10, 2)])
def test_segments_are_one_run(tmp_path, same_model, stops):
    whole, cut = new(), new()
    fit(whole, Tokens(), RECIPE, out=tmp_path / "whole")
    for stop in stops:
        cut = cut if same_model else new()
        done = fit(cut, Tokens(), RECIPE, out=tmp_path / "cut", until=stop)
        assert done.steps == max(stop, done.resumed_from)
        assert not cut.model.training
    assert model_hash(cut.model) == model_hash(whole.model)
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    with pytest.raises(AntivenomError, match="another training"):  # neither as it began nor as it is
        other = new()
        torch.nn.init.zeros_(other.model.head.weight)
        fit(other, Tokens(), RECIPE, out=tmp_path / "cut")


def test_a_kept_step_is_the_step(tmp_path):
    straight, stopped = new(), new()
    fit(straight, Tokens(), RECIPE, out=tmp_path / "a", keep=(4, 6))
    fit(stopped, Tokens(), RECIPE, out=tmp_path / "b", until=4)
    kept, last = State.load(tmp_path / "a", 4), State.load(tmp_path / "b")
    assert kept.step == last.step == 4
    assert kept.hash == last.hash != State.load(tmp_path / "a").hash
    for name, value in last.model.items():
        assert torch.equal(value, kept.model[name])
    with pytest.raises(AntivenomError, match="none of step 5"):
        State.load(tmp_path / "a", 5)
    with pytest.raises(AntivenomError, match="no checkpoint"):
        State.load(tmp_path / "c")


def test_an_arm_goes_on_with_weights_and_moments(tmp_path):
    """Against torch by hand: five further steps of an optimizer that has seen five, on other data, at a constant rate."""
    twin = CausalLanguageModel(small_decoder(SIZES, seed=1))
    fit(twin, Tokens(), RECIPE, out=tmp_path, until=5)
    start = State.load(tmp_path)
    plan = Recipe(1, 8, 0.003, weight_decay=0.2, betas=(0.8, 0.9), schedule="constant", seed=9)
    arm = CausalLanguageModel(small_decoder(SIZES, seed=7))
    data = Tokens(1)
    done = fit(arm, data, plan, start=start, out=tmp_path / "arm")
    assert done.steps == 5

    from antivenom.randomness import generator
    from antivenom.train.optimizer import adamw

    model = small_decoder(SIZES)
    model.load_state_dict(start.model)
    optimizer = adamw(model, lr=0.003, weight_decay=0.2, betas=(0.8, 0.9))
    moments = {i: one["exp_avg"] for i, one in start.optimizer["state"].items()}
    assert max(float(m.abs().max()) for m in moments.values()) > 0
    by_hand = [p for group in optimizer.param_groups for p in group["params"]]
    for i, parameter in enumerate(by_hand):
        optimizer.state[parameter] = {k: v.clone() for k, v in start.optimizer["state"][i].items()}
    order = generator(9, "order", 0).permutation(40)
    for step in range(5):
        optimizer.zero_grad()
        CausalLanguageModel(model).loss(data.batch(order[step * 8 : step * 8 + 8], None))[0].backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(arm.model.state_dict()[name], value, rtol=0, atol=0)

    bare = CausalLanguageModel(small_decoder(SIZES))
    bare.model.load_state_dict(start.model)
    fit(bare, data, plan)
    assert model_hash(bare.model) != model_hash(arm.model)  # a fresh optimizer is another arm
    again = CausalLanguageModel(small_decoder(SIZES, seed=3))  # whatever the model was before
    assert fit(again, data, plan, start=start, out=tmp_path / "arm").resumed_from == 5
    assert model_hash(again.model) == model_hash(arm.model)
    with pytest.raises(AntivenomError, match="another training"):
        fit(again, data, plan, start=replace(start, hash="other"), out=tmp_path / "arm")


def test_a_state_brings_no_hyper_parameters_with_it(tmp_path, monkeypatch):  # T5
    fit(new(), Tokens(), RECIPE, out=tmp_path, until=3)
    seen = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW,
        "step",
        lambda self, *a, **k: (seen.append([(g["weight_decay"], g["betas"], g["eps"], g["lr"]) for g in self.param_groups]), step(self, *a, **k))[1],
    )  # fmt: skip
    plan = Recipe(1, 8, 0.5, weight_decay=50.0, betas=(0.5, 0.6), eps=1e-5, schedule="constant")
    fit(new(), Tokens(), plan, start=State.load(tmp_path))
    assert {one for step in seen for one in step} == {(0.0, (0.5, 0.6), 1e-5, 0.5), (50.0, (0.5, 0.6), 1e-5, 0.5)}
    with pytest.raises(AntivenomError, match="another model"):
        fit(CausalLanguageModel(small_decoder(replace(SIZES, width=16))), Tokens(), plan, start=State.load(tmp_path))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"until": 11}, "step 11 of a training of 10"),
        ({"until": -1}, "step -1"),
        ({"keep": (99,), "out": "x"}, "step 99"),
        ({"keep": (2,)}, "no folder"),
    ],
)
def test_steps_that_are_not_there(options, match):
    with pytest.raises(AntivenomError, match=match):
        fit(new(), Tokens(), RECIPE, **options)


def test_keys_of_older_trainings_stay_valid():
    plan = Recipe(2, 64, 2e-3, warmup=3, seed=0)
    assert fingerprint(plan.determines()) == "164a7b1c7054dc209c412d15f227e797"  # before there were schedules
    assert replace(plan, checkpoint_every=3, accelerate=True).determines() == plan.determines()
    others = [
        {"schedule": "linear"}, {"precision": "bf16"}, {"accumulate": 2}, {"fused": True}, {"floor": 0.1}, {"decay": 0.5},
    ]  # fmt: skip
    keys = {fingerprint(replace(plan, **one).determines()) for one in others}
    assert len(keys | {fingerprint(plan.determines())}) == 7


def test_older_checkpoints_are_read(tmp_path):
    whole, cut = new(), new()
    fit(whole, Tokens(), RECIPE)
    fit(cut, Tokens(), RECIPE, out=tmp_path, until=4)
    found = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del found["initial"]
    torch.save(found, tmp_path / "checkpoint.pt")
    resumed = new()
    assert fit(resumed, Tokens(), RECIPE, out=tmp_path).resumed_from == 4
    assert model_hash(resumed.model) == model_hash(whole.model)


class Uneven(Tokens):
    def batch(self, rows, draw):
        mask = np.arange(12)[None] < 3 + 9 * (rows % 2 == 0)[:, None]
        return super().batch(rows, draw) | {"mask": torch.from_numpy(mask), "scale": torch.tensor(1.0)}


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_a_batch_in_parts_is_the_batch(parts, monkeypatch):
    """Also where the parts have unlike numbers of tokens: the mean of their means would be another loss."""
    ends, lines = [], []
    for accumulate in (1, parts):
        one = CausalLanguageModel(small_decoder(SIZES, seed=1), z_loss=1e-3)
        lines.append(fit(one, Uneven(), replace(RECIPE, accumulate=accumulate, epochs=1)).last)
        ends.append(one.model.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(value, ends[1][name], rtol=1e-4, atol=2e-6)
    assert set(lines[0]) == set(lines[1])
    for name, value in lines[0].items():
        assert lines[1][name] == pytest.approx(value, rel=1e-4), name
    with pytest.raises(AntivenomError, match="do not fall into 3 parts"):
        fit(new(), Tokens(), replace(RECIPE, accumulate=3))


def test_a_part_without_tokens_counts_for_nothing():
    class Half(Tokens):
        def batch(self, rows, draw):
            return super().batch(rows, draw) | {"mask": torch.arange(len(rows)) < 4}

    one, two = (CausalLanguageModel(small_decoder(SIZES, seed=1)) for _ in range(2))
    fit(one, Half(), replace(RECIPE, epochs=1))
    fit(two, Half(), replace(RECIPE, epochs=1, accumulate=2))
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(value, two.model.state_dict()[name], rtol=1e-4, atol=2e-6)


def test_bf16_trains_float32_weights_and_says_so():
    full, half = (CausalLanguageModel(small_decoder(SIZES, seed=1)) for _ in range(2))
    first = fit(full, Tokens(), RECIPE)
    second = fit(half, Tokens(), replace(RECIPE, precision="bf16"))
    assert {p.dtype for p in half.model.parameters()} == {torch.float32}
    assert model_hash(full.model) != model_hash(half.model)
    assert second.last["loss"] == pytest.approx(first.last["loss"], rel=0.02)
    with pytest.raises(AntivenomError, match="no precision 'fp8'"):
        fit(new(), Tokens(), replace(RECIPE, precision="fp8"))


def test_the_loss_is_taken_in_float32_under_autocast():
    from antivenom.train.objectives import full, mmcl_loss

    draw = torch.Generator().manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(64, 8, generator=draw), dim=1) for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16):
        assert mmcl_loss(a, b, 50.0).dtype == torch.float32
    assert full(a.double()).dtype == torch.float64


def test_figures_are_read_some_steps_late_where_a_look_costs(tmp_path, monkeypatch):
    """As on an accelerator: the record is the same, and a loss that is no number is still named by its step."""
    from antivenom.train import loop

    plain, late = new(), new()
    fit(plain, Tokens(), RECIPE, out=tmp_path / "plain")
    monkeypatch.setitem(loop.READ_EVERY, "cpu", 4)
    done = fit(late, Tokens(), RECIPE, out=tmp_path / "late")
    assert model_hash(plain.model) == model_hash(late.model)
    assert (tmp_path / "plain/metrics.jsonl").read_bytes() == (tmp_path / "late/metrics.jsonl").read_bytes()
    assert done.last["loss"] > 0

    class Breaks(CausalLanguageModel):
        steps = 0

        def loss(self, batch):
            self.steps += 1
            loss, figures = super().loss(batch)
            return loss * (float("nan") if self.steps == 6 else 1), figures

    with pytest.raises(Diverged, match="at step 6"):
        fit(Breaks(small_decoder(SIZES)), Tokens(), RECIPE)


def test_fused_adamw_is_adamw_to_rounding():
    one, two = new(), new()
    fit(one, Tokens(), RECIPE)
    fit(two, Tokens(), replace(RECIPE, fused=True))
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(value, two.model.state_dict()[name], rtol=1e-3, atol=1e-5)
