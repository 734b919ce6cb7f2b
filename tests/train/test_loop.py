"""A killed and resumed training ends in the same bytes; the recipe is what the optimizer has."""

import numpy as np
import orjson
import pytest

from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.models.torch_runtime import eval_mode  # noqa: E402
from antivenom.train.loop import Diverged, Recipe, fit, model_hash  # noqa: E402

RECIPE = Recipe(epochs=3, batch=8, lr=0.02, warmup=3, clip_norm=1.0, seed=5, checkpoint_every=4)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = torch.nn.Sequential(
                torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
            )
        self.logit_scale = torch.nn.Parameter(torch.tensor(9.0))


class Squares:
    """Least squares with dropout, noise of the data's own, and a bound that holds after every step."""

    def __init__(self, poison_step=None):
        self.model, self.seen, self.poison_step = Net(), 0, poison_step

    def loss(self, batch):
        self.seen += 1
        loss = (self.model.net(batch["x"])[:, 0] - batch["y"]).square().mean() + 0 * self.model.logit_scale
        if self.seen == self.poison_step:
            loss = loss * float("nan")
        return loss, {"rows": len(batch["x"])}

    def after_step(self):
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=4.0)

    def describe(self):
        return {"objective": "squares"}


class Data:
    fingerprint = "made"

    def __init__(self, n=43):
        draw = np.random.default_rng(1)
        self.x, self.seen = draw.standard_normal((n, 4)).astype(np.float32), []
        self.y = self.x.sum(axis=1)

    def __len__(self):
        return len(self.x)

    def batch(self, rows, draw):
        self.seen.append(rows)
        noise = 0.1 * draw.standard_normal((len(rows), 4)).astype(np.float32)
        return {"x": torch.from_numpy(self.x[rows] + noise), "y": torch.from_numpy(self.y[rows])}


class Killed(BaseException):
    pass


def killer(at):
    def after_step(step):
        if step == at:
            raise Killed

    return after_step


@pytest.mark.parametrize("at", [3, 6, 8, 14])  # before the first checkpoint, between two, on one, in the last epoch
def test_killed_and_resumed_is_the_same_to_the_byte(tmp_path, at):
    whole = Squares()
    fit(whole, Data(), RECIPE, out=tmp_path / "whole")
    with pytest.raises(Killed):
        fit(Squares(), Data(), RECIPE, out=tmp_path / "cut", after_step=killer(at))
    resumed = Squares()
    done = fit(resumed, Data(), RECIPE, out=tmp_path / "cut")
    assert done.resumed_from == (at - 1) // 4 * 4  # killed on a checkpoint's step: before it was written
    assert model_hash(resumed.model) == model_hash(whole.model)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert (tmp_path / "cut/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    lines = [orjson.loads(line) for line in (tmp_path / "cut/metrics.jsonl").read_bytes().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 16))


def test_a_finished_training_is_read_back_and_another_is_refused(tmp_path):
    first, second = Squares(), Squares()
    done = fit(first, Data(), RECIPE, out=tmp_path)
    again = fit(second, Data(), RECIPE, out=tmp_path)
    assert second.seen == 0
    assert again.last == done.last
    assert model_hash(first.model) == model_hash(second.model)
    for recipe in (Recipe(3, 8, 0.01), Recipe(3, 8, 0.02, weight_decay=50.0, seed=5, warmup=3, clip_norm=1.0)):
        with pytest.raises(AntivenomError, match="another training"):
            fit(Squares(), Data(), recipe, out=tmp_path)
    other = Squares()
    with torch.no_grad():
        other.model.net[0].bias += 1
    with pytest.raises(AntivenomError, match="another training"):
        fit(other, Data(), RECIPE, out=tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(AntivenomError, match="cannot be read"):
        fit(Squares(), Data(), RECIPE, out=tmp_path)


def test_the_seed_alone_decides(tmp_path):
    ends = []
    for outer in (1, 2):  # whatever the caller drew before
        torch.manual_seed(outer)
        one = Squares()
        fit(one, Data(), RECIPE)
        ends.append(model_hash(one.model))
    other = Squares()
    fit(other, Data(), Recipe(3, 8, 0.02, warmup=3, clip_norm=1.0, seed=6))
    assert ends[0] == ends[1] != model_hash(other.model)
    state = torch.random.get_rng_state()
    fit(Squares(), Data(), RECIPE)
    assert torch.equal(state, torch.random.get_rng_state())


def test_every_epoch_is_its_own_order_of_all_rows():
    data = Data()
    fit(Squares(), data, RECIPE)
    epochs = [np.concatenate(data.seen[i : i + 5]) for i in (0, 5, 10)]
    for rows in epochs:
        assert len(set(rows)) == 40  # 43 rows, batches of 8: three are left out, other ones in every epoch
    assert not np.array_equal(epochs[0], epochs[1])
    assert set(epochs[0]) != set(epochs[1])


def test_the_recipe_is_what_the_optimizer_does(monkeypatch):
    seen = []
    step = torch.optim.AdamW.step

    def watch(self, *args, **kwargs):
        seen.append([(g["lr"], g["weight_decay"], g["betas"], len(g["params"])) for g in self.param_groups])
        norm = sum(p.grad.square().sum() for g in self.param_groups for p in g["params"]).sqrt()
        assert float(norm) <= 1.0 + 1e-5
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    objective = Squares()
    fit(objective, Data(), Recipe(3, 8, 0.02, warmup=3, clip_norm=1.0, betas=(0.8, 0.9), weight_decay=7.0))
    assert [one[0][1] for one in seen] == [0.0] * 15
    assert [one[1][1] for one in seen] == [7.0] * 15
    assert seen[0][0][0] == pytest.approx(0.02 / 3)
    assert {one[0][2] for one in seen} == {(0.8, 0.9)}
    assert float(objective.model.logit_scale.detach()) == 4.0  # the bound, although decay does not touch theta
    assert not objective.model.training


def test_an_evaluation_in_between_changes_nothing():
    def look(epoch, model):
        model.eval()
        model.net(torch.zeros(2, 4))

    plain, watched, epochs = Squares(), Squares(), []
    fit(plain, Data(), RECIPE)
    fit(watched, Data(), RECIPE, after_epoch=lambda epoch, model: (epochs.append(epoch), look(epoch, model)))
    assert epochs == [1, 2, 3]
    assert model_hash(plain.model) == model_hash(watched.model)


def test_evaluation_mode_moves_no_statistics_and_is_undone():  # T15
    model = Net()
    model.net[2].eval()
    before = model_hash(model)
    with eval_mode(model):
        assert not model.net[1].training
        assert not model.net(torch.ones(4, 4)).requires_grad
    assert model_hash(model) == before
    assert model.net[1].training
    assert not model.net[2].training


def test_a_diverged_run_has_no_result():
    with pytest.raises(Diverged, match="nan at step 7") as error:
        fit(Squares(poison_step=7), Data(), RECIPE)
    assert error.value.mend


@pytest.mark.parametrize(
    ("recipe", "match"),
    [
        (Recipe(1, 64, 0.1), "43 rows do not fill"),
        (Recipe(0, 8, 0.1), "0 epochs"),
        (Recipe(1, 8, 0.0), "rate 0"),
        (Recipe(1, 8, 0.1, warmup=5), "warm-up of 5"),
    ],
)
def test_recipes_without_sense(recipe, match):
    with pytest.raises(AntivenomError, match=match):
        fit(Squares(), Data(), recipe)
