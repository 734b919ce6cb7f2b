"""Rescoring: two scorers on the same rows, compared pair by pair against closed forms and scipy."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import orjson
import pyarrow as pa
import pytest
from scipy.stats import kendalltau, spearmanr, wasserstein_distance

from antivenom.data.corpus import open_corpus
from antivenom.errors import AntivenomError
from antivenom.screen.scoring.rescore import compare_scores, rescore
from antivenom.screen.scoring.scorer import Identity, Scores
from antivenom.screen.scoring.store import ScoreStore, scorer_folder

CALLS = []


@dataclass(frozen=True)
class Planted:
    """Reads its score from the text: `a=.. b=..`."""

    which: str = "a"
    higher: str = "worse"
    name: ClassVar[str] = "planted"

    @property
    def columns(self):
        return {"insult": pa.float32(), "length": pa.int32()}

    def identity(self):
        return Identity(self.name, self.which, "", self.higher)

    def score(self, batch):
        CALLS.append(len(batch))
        values = []
        for text in batch.texts.to_pylist():
            found = dict(part.split("=") for part in text.split())[self.which]
            values.append(float(found) if found != "-" else np.nan)
        values = np.array(values, np.float32)
        reasons = ["cannot score: planted" if np.isnan(v) else "" for v in values]
        insult = pa.array(values / 2, pa.float32(), mask=np.isnan(values))
        return Scores(values, reasons, {"insult": insult, "length": pa.array([1] * len(values), pa.int32())})

    def explain(self, text):
        return []


def corpus(tmp_path, pairs, **options):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps({"text": f"a={a} b={b}"}) for a, b in pairs))
    return open_corpus(path, **options)


def both(tmp_path, pairs, *, first=Planted("a"), second=Planted("b"), **options):
    rows = corpus(tmp_path, pairs)
    start = tmp_path / "first"
    from antivenom.screen.scoring.store import PartWriter, write_identity

    write_identity(start / "scores", "one", first.identity(), rows.describe(), parts=len(rows.blocks()))
    for block in rows.blocks():
        with PartWriter(start / "scores", "one", block.index, first.columns) as part:
            for batch in rows.read(block):
                part.add(batch, first.score(batch))
    return rescore(start, rows, second, tmp_path / "second", **options), start, rows


def test_figures_equal_brute_force(tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.random(300).round(3), rng.random(300).round(3)
    b[:100] = a[:100]
    pairs = [("-" if i % 17 == 0 else x, "-" if i % 23 == 0 else y) for i, (x, y) in enumerate(zip(a, b))]
    found, *_ = both(tmp_path, pairs)
    kept = [(float(x), float(y)) for x, y in pairs if "-" not in (x, y)]
    x, y = (np.array(side) for side in zip(*kept))
    assert (found.rows, found.paired) == (300, len(kept))
    assert found.missing_before == len(range(0, 300, 17))
    assert found.missing_after == len(range(0, 300, 23))
    assert found.missing_both == 1
    assert found.changed == int(((x >= 0.5) != (y >= 0.5)).sum())
    assert found.changed_low < found.changed_share < found.changed_high
    assert found.wasserstein["score"] == pytest.approx(wasserstein_distance(x, y), abs=1e-6)
    assert found.wasserstein.keys() == {"score", "insult"}  # a count is no attribute
    assert found.wasserstein["insult"] == pytest.approx(found.wasserstein["score"] / 2, abs=1e-6)
    assert found.mean_shift == pytest.approx((y - x).mean(), abs=1e-6)
    assert found.spearman == pytest.approx(spearmanr(x, y).statistic, abs=1e-6)
    assert found.kendall == pytest.approx(kendalltau(x, y).statistic, abs=1e-6)
    assert sum(n for row in found.transitions.values() for n in row.values()) == 300
    assert orjson.loads((tmp_path / "second" / "rescore.json").read_bytes()) == found.record()


def test_a_score_at_the_threshold_is_above_only_when_inclusive(tmp_path):
    found, start, _ = both(tmp_path, [(0.5, 0.5), (0.5, 0.4), (0.6, 0.5), (0.3, 0.3)])
    assert found.transitions["above"] == {"above": 2, "below": 1, "missing": 0}
    assert found.changed == 1
    one, two = ScoreStore.open(start), ScoreStore.open(tmp_path / "second")
    strict = compare_scores(one, "one", two, "planted", inclusive=False)
    assert strict.transitions["below"]["below"] == 3
    assert strict.transitions["above"]["below"] == 1
    at = [compare_scores(one, "one", two, "planted", threshold=0.3, inclusive=i).transitions for i in (True, False)]
    assert at[0]["above"]["above"] == 4  # .3 is not a float32, and is equal all the same
    assert at[1]["below"]["below"] == 1


def test_rows_without_a_score_are_counted_and_never_compared(tmp_path):
    found, *_ = both(tmp_path, [("-", 0.9), (0.9, "-"), ("-", "-"), (0.1, 0.1)])
    assert found.transitions["missing"] == {"below": 0, "above": 1, "missing": 1}
    assert found.transitions["above"]["missing"] == 1
    assert (found.paired, found.changed) == (1, 0)
    assert found.spearman is None


def test_without_a_pair_nothing_is_zero(tmp_path):
    found, *_ = both(tmp_path, [("-", 0.9)])
    assert (found.changed_share, found.changed_low, found.mean_shift, found.wasserstein["score"]) == (None,) * 4


def test_a_constant_side_has_no_rank(tmp_path):
    found, *_ = both(tmp_path, [(0.1, 0.5), (0.2, 0.5), (0.3, 0.5)])
    assert (found.spearman, found.kendall, found.ranked) == (None, None, 3)


def test_the_same_scorer_twice_agrees_with_itself(tmp_path):
    found, *_ = both(tmp_path, [(i / 10, 0) for i in range(10)], second=Planted("a"))
    assert found.same_scorer
    assert (found.changed, found.wasserstein["score"]) == (0, 0)
    assert (found.spearman, found.kendall) == (pytest.approx(1), pytest.approx(1))


def test_a_run_that_was_cut_off_scores_the_rest_only(tmp_path):
    pairs = [(i / 1000, (i * 7 % 1000) / 1000) for i in range(1000)]
    whole, start, _ = both(tmp_path, pairs)
    small = open_corpus(tmp_path / "corpus.jsonl", block_bytes=4000)
    assert len(small.blocks()) > 3
    again = rescore(start, small, Planted("b"), tmp_path / "third")
    assert again == whole  # other blocks, the same figures
    gone = scorer_folder(tmp_path / "third" / "scores", "planted") / "part-00001.parquet"
    before = gone.read_bytes()
    gone.unlink()
    CALLS.clear()
    assert rescore(start, small, Planted("b"), tmp_path / "third") == whole
    assert 0 < sum(CALLS) < 1000
    assert gone.read_bytes() == before


def test_what_cannot_be_compared_is_refused(tmp_path):
    found, start, rows = both(tmp_path, [(0.1, 0.2)])
    assert found.rows == 1
    with pytest.raises(AntivenomError, match="worse, of 'planted' better"):
        rescore(start, rows, Planted("b", "better"), tmp_path / "x")
    with pytest.raises(AntivenomError, match="would mix"):
        rescore(start, rows, Planted("a"), tmp_path / "second")
    with pytest.raises(AntivenomError, match="no scores of 'two'"):
        rescore(start, rows, Planted("b"), tmp_path / "x", before="two")
    with pytest.raises(AntivenomError, match="no number"):
        rescore(start, rows, Planted("b"), tmp_path / "x", threshold=float("nan"))
    (tmp_path / "other").mkdir()
    with pytest.raises(AntivenomError, match="another corpus"):
        rescore(start, corpus(tmp_path / "other", [(1, 1), (0, 0)]), Planted("b"), tmp_path / "x")


def test_an_empty_corpus_compares_nothing(tmp_path):
    found, *_ = both(tmp_path, [])
    assert (found.rows, found.paired, found.changed_share) == (0, 0, None)
