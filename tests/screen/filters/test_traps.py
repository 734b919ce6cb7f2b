"""The traps of filtering, in whole runs: inverse is no complement, controls of equal size, documents are not sentences."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from antivenom.measure.calibration import subgroup_false_positives
from antivenom.screen import screen_corpus
from antivenom.screen.filters.word_list import WordList
from antivenom.screen.scoring.scorer import score_texts

N = 1_500


@dataclass
class World:
    """A corpus of N rows with 0 to 9 listed words of 10, some rows without any word, and a word list."""

    corpus: object
    words: str

    def screen(self, out, *filters):
        specs = [f"{self.words}:{rule}" for rule in filters]
        result = screen_corpus(self.corpus, out=out, scores=[self.words], filters=specs, runner="loop")
        return result.record["filters"], pq.read_table(out / "annotations.parquet").to_pylist(), specs


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traps")
    (folder / "list.txt").write_text("grub\n")
    draw = np.random.default_rng(3)
    texts = []
    for i in range(N):
        bad = int(draw.integers(0, 10))
        words = ["grub"] * bad + ["stone"] * (9 - bad) + [f"row{i}"]
        texts.append(" ".join(np.array(words)[draw.permutation(10)]) + "." if i % 50 else "... !")
    (folder / "corpus.jsonl").write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    return World(folder / "corpus.jsonl", f"words:file={folder / 'list.txt'}")


def test_inverse_is_not_the_complement(world, tmp_path):
    """Trap 2: kept(inverse T) + dropped(inverse T) = 1, it drops exactly {score < T}, and most rows survive both."""
    (plain, inverse), rows, (cut, turned) = world.screen(tmp_path / "o", "max=0.7", "inverse_max=0.2")
    score = {i: r[world.words] for i, r in enumerate(rows)}
    scored = {i for i, s in score.items() if s is not None}
    dropped = {i for i in scored if turned in rows[i]["filters"]}
    assert dropped == {i for i in scored if np.float32(score[i]) < np.float32(0.2)}
    assert inverse["scored"] == len(scored) == N - N // 50
    assert inverse["share_of_scored"] + len(scored - dropped) / len(scored) == pytest.approx(1)
    assert inverse["inverse"]
    assert not plain["inverse"]
    both = {i for i in scored if not {cut, turned} & set(rows[i]["filters"])}
    assert len(both) > len(scored) / 3  # the complement of a filter would keep none of what it keeps
    assert {i for i in scored if score[i] == np.float32(0.2)} <= both  # at the line: kept


@pytest.mark.parametrize(
    "rule",
    [
        "max=0.6",
        "inverse_max=0.3",
        "keep=0.7",
        "inverse_keep=0.6",
        "drop_best=0.25",
        "pareto=2",
        "spans=0.5",
        "max=0.6,missing=drop",
        "keep=0.7,missing=quarantine",
    ],
)
def test_every_filter_has_a_random_control_of_equal_size(world, tmp_path, rule):
    """Traps 2 and 3: as many rows, drawn whatever their score: no other filter in disguise, and not the filter itself."""
    ((record,), rows, (spec,)) = world.screen(tmp_path / "o", rule)
    touched = np.array([spec in r["filters"] for r in rows])
    drawn = np.array([r["control.1"] for r in rows])
    assert record["control"]["rows"] == drawn.sum() == touched.sum() > 0
    share = touched.mean()
    # hypergeometric: overlap of a random set with the touched one
    spread = sqrt(N * share * share * (1 - share) * (1 - share))
    assert abs((drawn & touched).sum() - N * share * share) < 4.5 * spread + 1
    score = np.array([np.nan if r[world.words] is None else r[world.words] for r in rows])
    known = ~np.isnan(score)
    inside, outside = score[drawn & known], score[~drawn & known]
    error = score[known].std() * sqrt(1 / len(inside) + 1 / len(outside))
    assert abs(inside.mean() - outside.mean()) < 4.5 * error
    if "pareto" not in rule:  # the filter itself is far from random by the same measure
        moved = abs(score[touched & known].mean() - score[~touched & known].mean()) / error
        assert moved > 10


def test_documents_and_sentences_are_different_filters(tmp_path):
    """Trap 13: one bad sentence in a long text. The document filter keeps the text whole, the sentence filter cuts it."""
    (tmp_path / "list.txt").write_text("grub\n")
    good = "The river runs on past the mill and the wood. "
    texts = [good * 30 + "Grub grub grub. " + good * 2, good, "Grub grub grub."]
    (tmp_path / "c.jsonl").write_bytes(b"".join(orjson.dumps({"text": text}) + b"\n" for text in texts))
    world = World(tmp_path / "c.jsonl", f"words:file={tmp_path / 'list.txt'}")
    (documents, sentences), rows, _ = world.screen(tmp_path / "o", "max=0.4", "spans=0.4")
    assert [r["action"] for r in rows] == ["cut", "keep", "remove"]
    assert (documents["dropped"], "cut" in documents) == (1, False)
    assert (sentences["dropped"], sentences["cut"]) == (1, 1)
    assert documents["rule"] != sentences["rule"]  # so that the two never read alike in a table
    kept = "".join(p.read_text() for p in sorted((tmp_path / "o" / "kept").glob("*")))
    assert "rub" not in kept
    assert kept.count("river") == 33


def test_a_list_that_holds_a_name_of_a_group_is_found_out(tmp_path):
    """Trap 10: the false-positive rate per identity term shows what a word list does to neutral rows that name a group."""
    (tmp_path / "list.txt").write_text("grub\npurple people\n")
    texts = [
        "the purple people live here",
        "two purple people met",
        "the green people live here",
        "two green people met",
    ]
    texts += ["grub and grub", "no people here"]
    scores = score_texts(WordList(str(tmp_path / "list.txt")), texts)
    groups = {name: np.array([name in text for text in texts]) for name in ("purple", "green")}
    labels = np.array([0, 0, 0, 0, 1, 0])
    found = subgroup_false_positives(labels, scores.values, groups, threshold=0.01, least=2)
    assert (found.groups["purple"].value, found.groups["green"].value) == (1.0, 0.0)
    assert found.gap == pytest.approx(1.0)


def test_raising_a_threshold_never_drops_a_kept_row_of_a_run(world, tmp_path):
    _, rows, specs = world.screen(tmp_path / "o", "max=0.2", "max=0.5", "max=0.8")
    dropped = [{i for i, r in enumerate(rows) if spec in r["filters"]} for spec in specs]
    assert dropped[0] > dropped[1] > dropped[2] > set()
