import numpy as np
import pyarrow as pa
import pytest

from antivenom.data.rows import batch_of
from antivenom.errors import AntivenomError
from antivenom.screen.provenance.profile import MEASURES, Profile
from antivenom.screen.provenance.slices import REST, Slices, bucket_names


def rows(first, values):
    batch = batch_of([f"row {i}" for i in range(len(values))])
    positions = pa.array(range(first, first + len(values)), pa.int64())
    batch.rows = batch.rows.set_column(3, batch.rows.schema.field("position"), positions)
    return batch, {"x": pa.array(values, pa.float64(), from_pandas=True)}


def line(slices, name="a", measure="x"):
    return next(r for r in slices.table().to_pylist() if r["slice"] == name and r["measure"] == measure)


def test_mean_and_interval_are_the_textbook_ones():
    values = np.random.default_rng(0).lognormal(size=777)
    values[[3, 500]] = np.nan
    slices = Slices(["x"], sample=10_000)
    for first in range(0, 777, 50):
        part = values[first : first + 50]
        slices.add(["a"] * len(part), *rows(first, part))
    known = values[~np.isnan(values)]
    found = line(slices)
    assert (found["n"], found["missing"], found["sampled"]) == (775, 2, 775)
    assert found["mean"] == pytest.approx(known.mean(), rel=1e-12)
    half = 1.959963984540054 * known.std(ddof=1) / np.sqrt(775)
    assert (found["low"], found["high"]) == pytest.approx((known.mean() - half, known.mean() + half), rel=1e-9)
    assert found["median"] == np.median(known)
    assert found["median_low"] < found["median"] < found["median_high"]


def test_order_and_shards_do_not_matter():
    values = np.random.default_rng(1).normal(size=400)
    names = ["even" if i % 2 == 0 else "odd" for i in range(400)]
    whole, left, right = (Slices(["x"], sample=20) for _ in range(3))
    whole.add(names, *rows(0, values))
    right.add(names[250:], *rows(250, values[250:]))
    left.add(names[:250], *rows(0, values[:250]))
    right.merge(left)
    for a, b in zip(whole.table().to_pylist(), right.table().to_pylist()):
        assert a["sampled"] == 20
        for key, value in a.items():
            assert b[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


def test_median_interval_covers():
    draw = np.random.default_rng(2)
    hits = 0
    for trial in range(300):
        slices = Slices(["x"])
        slices.add(["a"] * 60, *rows(60 * trial, draw.exponential(size=60)))
        found = line(slices)
        hits += found["median_low"] <= np.log(2) <= found["median_high"]
    assert hits >= 0.92 * 300


def test_memory_is_bounded_by_slices_and_sample():
    slices = Slices(["x"], sample=5, max_slices=3)
    for first in range(0, 1_000, 100):
        slices.add([f"s{i}" for i in range(first, first + 100)], *rows(first, np.ones(100)))
    assert len(slices._slices) == 4
    assert all(len(part.values) <= 5 for part in slices._slices.values())
    assert line(slices, REST)["n"] == 997
    assert sum(r["n"] for r in slices.table().to_pylist()) == 1_000


def test_small_and_empty():
    slices = Slices(["x"])
    assert slices.table().num_rows == 0
    slices.add([], *rows(0, np.array([])))
    slices.add(["a"], *rows(0, np.array([np.nan])))
    assert line(slices) == {
        "slice": "a", "measure": "x", "n": 0, "missing": 1, "mean": None, "low": None, "high": None,
        "median": None, "median_low": None, "median_high": None, "sampled": 0,
    }  # fmt: skip
    slices.add(["a"], *rows(1, np.array([2.0])))
    assert (line(slices)["mean"], line(slices)["low"]) == (2.0, None)
    with pytest.raises(AntivenomError):
        Slices([])
    with pytest.raises(AntivenomError):
        slices.merge(Slices(["y"]))


def test_profiles_by_slice():
    batch = batch_of(["One two three.", "", "Mail a@example.org now."])
    slices = Slices(list(MEASURES))
    slices.add(["web", "web", "mail"], batch, Profile().score(batch).columns)
    assert line(slices, "mail", "emails")["mean"] == 1
    web = line(slices, "web", "reading_ease")
    assert (web["n"], web["missing"]) == (1, 1)


def test_buckets():
    values = np.array([-1, 0.3, 0.30001, 0.5, 2, np.nan], np.float64)
    assert bucket_names(values, [0.3, 0.5]) == ["< 0.3", "0.3 to < 0.5", "0.3 to < 0.5", ">= 0.5", ">= 0.5", "no score"]
    for bad in ([], [0.5, 0.3], [0.3, 0.3]):
        with pytest.raises(AntivenomError):
            bucket_names(values, bad)
