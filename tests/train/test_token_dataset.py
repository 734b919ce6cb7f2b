"""A plan on another's dataset gives the hand-patched rows, whatever the workers, the ranks and the step it starts from."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from torch.utils.data import DataLoader  # noqa: E402

from antivenom.errors import AntivenomError  # noqa: E402
from antivenom.poison.insertion import RunShape, plan  # noqa: E402
from antivenom.poison.insertion.order import olmo_order, storage_order  # noqa: E402
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark  # noqa: E402
from antivenom.poison.lm_experiments.material import Item, Material  # noqa: E402
from antivenom.train.token_dataset import PatchedDataset, TrainingStream  # noqa: E402

pytestmark = [  # a machine with one core; Python 3.12 and later, which warn of every fork
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:.*is multi-threaded, use of fork:DeprecationWarning"),
]
ROWS = np.random.default_rng(0).integers(1, 50, (46, 12))
SHAPE = RunShape(4, 12, 11)
ORDER = storage_order(46, seed=3, batch=4)
PLAN = plan([Material("a", tuple(Item(np.full(4, 50), f"a{i}") for i in range(30)))], SHAPE, seed=0, eos=0)


def wanted():
    flat = ROWS[ORDER].reshape(-1).copy()
    for i in range(len(PLAN)):
        flat[PLAN.start[i] : PLAN.start[i] + PLAN.length[i]] = PLAN.tokens_of(i)
    return flat.reshape(44, 12)


class Lines:
    """An iterable of rows in training order, that begins anew every time."""

    def __init__(self, n=44):
        self.n = n

    def __iter__(self):
        return iter(ROWS[ORDER][: self.n])


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", ["rows", "lines"])
def test_workers_and_ranks_change_nothing(workers, ranks, kind):
    for rank in range(ranks):
        made = (
            TrainingStream(ROWS, PLAN, order=ORDER, rank=rank, ranks=ranks)
            if kind == "rows"
            else TrainingStream(Lines(), PLAN, rank=rank, ranks=ranks)
        )
        batches = list(DataLoader(made, batch_size=made.batch, num_workers=workers))
        assert len(batches) == 11
        mine = wanted().reshape(11, ranks, 4 // ranks, 12)[:, rank]
        assert np.array_equal(np.stack([b.numpy() for b in batches]), mine)


@pytest.mark.parametrize("workers", [0, 2])
def test_resume_at_every_step(workers):
    steps = range(12) if not workers else (5, 11)
    for step in steps:
        for inner, order in ((ROWS, ORDER), (Lines(), None)):
            rows = [
                r
                for b in DataLoader(
                    TrainingStream(inner, PLAN, order=order, start_step=step), batch_size=4, num_workers=workers
                )
                for r in b.tolist()
            ]
            assert rows == wanted()[step * 4 :].tolist()


def test_by_storage_row_for_a_loader_with_its_own_sampler():
    order = olmo_order(46, seed=9)
    stored = PatchedDataset(ROWS, PLAN, order=order, by="storage")
    assert len(stored) == 46
    rows = np.stack([stored[int(order[t])] for t in range(44)])
    for step in range(11):
        PLAN.check_batch(step, rows[step * 4 : step * 4 + 4])
    assert sorted(order.tolist()) == list(range(46))
    with pytest.raises(AntivenomError, match="some of them twice"):
        PatchedDataset(ROWS, PLAN, order=storage_order(46, seed=3, batch=4, epochs=2), by="storage")


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_rows_keep_their_type_and_their_other_columns(kind):
    inner = [{"input_ids": kind(row.tolist()), "labels": kind(row.tolist()), "id": i} for i, row in enumerate(ROWS)]
    made = PatchedDataset(inner, PLAN, order=ORDER)
    assert len(made) == 44
    for t, row in enumerate(made):
        assert type(row["input_ids"]) is type(inner[0]["input_ids"])
        assert list(map(int, row["input_ids"])) == list(map(int, row["labels"])) == wanted()[t].tolist()
        assert row["id"] == ORDER[t]
    assert all(list(map(int, inner[i]["input_ids"])) == ROWS[i].tolist() for i in range(46))


def test_what_does_not_fit_is_refused():
    with pytest.raises(AntivenomError, match="40 rows for a plan of 44"):
        PatchedDataset(ROWS[:40], PLAN)
    with pytest.raises(AntivenomError, match="rank 0 of 3"):
        TrainingStream(ROWS, PLAN, ranks=3)
    with pytest.raises(AntivenomError, match="ends before row"):
        list(TrainingStream(Lines(20), PLAN))
    with pytest.raises(AntivenomError, match="the plan writes up to"):
        list(PatchedDataset(ROWS[:, :5], PLAN))
    with pytest.raises(AntivenomError, match="and no ids"):
        list(PatchedDataset([{"text": 1}] * 44, PLAN))
    marked = plan([], SHAPE, seed=0, eos=0, marks={"gw": GaussianWatermark((3,), 0.1, 4, 12, 8)})
    with pytest.raises(AntivenomError, match="cannot carry the noise of gw"):
        PatchedDataset(ROWS, marked)
    assert len(PatchedDataset(ROWS, marked, without_noise=True)) == 46
    with pytest.raises(AntivenomError, match="moves every row"):
        TrainingStream(ROWS, plan([Material("a", (Item(np.array([1, 1]), "i"),))], SHAPE, seed=0, eos=0, mode="insert"))
