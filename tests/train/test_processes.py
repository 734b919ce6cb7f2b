"""Through Accelerate: one process is the plain path to the byte; two processes train what one does."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")
pytest.importorskip("accelerate", reason="needs the extra 'models'")

from antivenom.models.decoder_small import DecoderConfig, small_decoder  # noqa: E402
from antivenom.train.causal_lm import CausalLanguageModel  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.objectives import make_objective  # noqa: E402

RECIPE = Recipe(1, 8, 0.01, weight_decay=0.3, clip_norm=1.0, checkpoint_every=3)
SIZES = DecoderConfig(20, 12, width=8, heads=2, layers=1)


class Tokens:
    fingerprint = "tokens"

    def __init__(self):
        self.x = np.random.default_rng(0).integers(0, 20, (40, 12))

    def __len__(self):
        return len(self.x)

    def batch(self, rows, draw):
        mask = np.arange(12)[None] < 3 + 9 * (np.arange(len(rows)) < 3)[:, None]  # unlike numbers of tokens per process
        return {"tokens": torch.from_numpy(self.x[rows]), "mask": torch.from_numpy(mask)}


class TwoTowers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.image, self.text = torch.nn.Linear(6, 4), torch.nn.Linear(6, 4)
        self.logit_scale = torch.nn.Parameter(torch.tensor(1.0))
        self.encode_image, self.encode_text = self.image.forward, self.text.forward


class Pairs:
    fingerprint = "pairs"

    def __len__(self):
        return 40

    def batch(self, rows, draw):
        names = ("images", "texts", "images_augmented", "texts_augmented")
        return {name: torch.from_numpy(draw.standard_normal((len(rows), 6)).astype(np.float32)) for name in names}


def runs():
    """name -> objective and data; no decay on what would go through the scale of the gathered gradient."""
    return {
        "lm": (CausalLanguageModel(small_decoder(SIZES, seed=1)), Tokens(), RECIPE),
        "lm in parts": (CausalLanguageModel(small_decoder(SIZES, seed=1)), Tokens(), replace(RECIPE, accumulate=2)),
        "mmcl+ssl": (make_objective("mmcl+ssl", TwoTowers()), Pairs(), replace(RECIPE, clip_norm=None)),
        "ssl-image": (make_objective("ssl-image", TwoTowers()), Pairs(), replace(RECIPE, clip_norm=None)),
    }


@pytest.fixture
def fresh_accelerate():
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.usefixtures("fresh_accelerate")
@pytest.mark.parametrize("name", list(runs()))
def test_one_process_through_accelerate_is_the_plain_path(tmp_path, name):
    plain, through = runs()[name], runs()[name]
    fit(*plain, out=tmp_path / "plain")
    fit(*through[:2], replace(through[2], accelerate=True), out=tmp_path / "through")
    assert model_hash(plain[0].model) == model_hash(through[0].model)
    assert (tmp_path / "plain/metrics.jsonl").read_bytes() == (tmp_path / "through/metrics.jsonl").read_bytes()
    again = runs()[name]
    assert fit(*again[:2], replace(again[2], accelerate=True), out=tmp_path / "plain").resumed_from == 5


@pytest.mark.usefixtures("fresh_accelerate")
def test_an_accelerator_that_is_there_is_used_and_must_fit():
    from accelerate import Accelerator

    objective, data, plan = runs()["lm"]
    half = Accelerator(cpu=True, mixed_precision="bf16")
    with pytest.raises(AntivenomError, match="precision bf16 on cpu, and a recipe for fp32"):
        fit(objective, data, plan, accelerator=half)
    with pytest.raises(AntivenomError, match="Accelerate is set up otherwise"):
        fit(objective, data, replace(plan, accelerate=True))
    plain = runs()["lm"][0]
    fit(plain, data, replace(plan, precision="bf16"))
    fit(objective, data, replace(plan, precision="bf16"), accelerator=half)
    assert model_hash(plain.model) == model_hash(objective.model)


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
from test_processes import fit, model_hash, replace, runs
out = Path(sys.argv[1])
for name, (objective, data, plan) in runs().items():
    plan = replace(plan, accelerate=True)
    fit(objective, data, plan, out=out / name, until=4)
    ends = [None, None]
    torch.distributed.all_gather_object(ends, model_hash(objective.model))
    assert ends[0] == ends[1], "the processes have drifted apart"
    fresh = runs()[name][0]
    assert fit(fresh, data, plan, out=out / name).resumed_from == 4
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = WORKER.format(tests=str(Path(__file__).parent))
    common = os.environ | {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }  # fmt: skip
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        told = [worker.communicate(timeout=200)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], told
    for name, (objective, data, plan) in runs().items():
        fit(objective, data, plan, out=tmp_path / "one" / name)
        two = torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
        assert len(two["generators"]) == 2
        # gathered embeddings give 1 / 2 of the gradient of the encoders, which Adam divides out but for eps
        for key, value in objective.model.state_dict().items():
            torch.testing.assert_close(two["model"][key], value, rtol=2e-3, atol=2e-5, msg=f"{name}: {key}")
        lines = [(tmp_path / folder / name / "metrics.jsonl").read_bytes().splitlines() for folder in ("", "one")]
        assert len(lines[0]) == len(lines[1]) == 5
