"""The percentile split against NTILE written out: every row has one tile, no prompt's row is in a part, nothing is lost."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from antivenom.data.corpus import open_corpus
from antivenom.data.quarantine import hash64
from antivenom.errors import AntivenomError
from antivenom.screen.filters import percentiles
from antivenom.screen.filters.percentiles import split_corpus
from antivenom.screen.scoring.scorer import Identity, Scores
from antivenom.screen.scoring.store import PartWriter, write_identity


@dataclass(frozen=True)
class Planted:
    """The score stands in the text, after its number; `-` is none."""

    name: ClassVar[str] = "planted"

    @property
    def columns(self):
        return {"inverse": pa.float32(), "what": pa.string()}

    def identity(self):
        return Identity(self.name, "1", "", "worse")

    def score(self, batch):
        words = [text.split()[1] for text in batch.texts.to_pylist()]
        values = np.array([np.nan if w == "-" else float(w) for w in words], np.float32)
        reasons = ["cannot score: planted" if np.isnan(v) else "" for v in values]
        columns = {"inverse": pa.array(-values, mask=np.isnan(values)), "what": pa.array(words)}
        return Scores(values, reasons, columns)

    def explain(self, text):
        return []


def texts(n=1303, seed=0):
    draw = np.random.default_rng(seed)
    values = draw.normal(size=n).round(2)  # many ties
    words = ["-" if i % 19 == 7 else f"{v}" for i, v in enumerate(values)]
    found = [f"row{i} {word} says" for i, word in enumerate(words)]
    found[11] = found[10]  # a copy: equal id, equal score
    return found


def write(tmp_path, rows, **options):
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(b"".join(orjson.dumps({"text": t, "extra": i}) + b"\n" for i, t in enumerate(rows)))
    return open_corpus(path, **options)


def scored(corpus, out, label="planted", scorer=Planted()):
    write_identity(out / "scores", label, scorer.identity(), corpus.describe(), parts=len(corpus.blocks()))
    for block in corpus.blocks():
        with PartWriter(out / "scores", label, block.index, scorer.columns) as part:
            for batch in corpus.read(block):
                part.add(batch, scorer.score(batch))
    return out


def ids_of(corpus):
    return [i for batch in corpus.batches() for i in batch.rows.column("id").to_pylist()]


def written(out, name):
    lines = [line for path in sorted((out / name).glob("part-*.jsonl")) for line in path.read_bytes().splitlines()]
    return [orjson.loads(line)["extra"] for line in lines]


def ntile(rows, ids, exclude=(), sign=1.0):
    """Row -> tile from 1 to 100, by sorting and dealing out, larger tiles first."""
    order = []
    for row, text in enumerate(rows):
        word = text.split()[1]
        if word != "-" and ids[row] not in exclude:
            order.append((np.float32(sign * float(word)), hash64(ids[row]) % 2**64, row))
    order.sort()
    base, more = divmod(len(order), 100)
    sizes = [base + (tile < more) for tile in range(100)]
    tiles, at = {}, 0
    for tile, size in enumerate(sizes, 1):
        tiles |= {row: tile for _, _, row in order[at : at + size]}
        at += size
    return tiles


def within(tiles, low, high):
    return sorted(row for row, tile in tiles.items() if low <= tile <= high)


@pytest.mark.parametrize("seed", range(3))
def test_parts_equal_ntile_by_brute_force(tmp_path, seed):
    rows = texts(seed=seed, n=1303 + 41 * seed)
    corpus = write(tmp_path, rows, block_bytes=4_000)
    assert len(corpus.blocks()) > 3
    record = split_corpus(scored(corpus, tmp_path / "run"), corpus, tmp_path / "out", middle="all", runner="loop")
    tiles = ntile(rows, ids_of(corpus))
    for name, (low, high) in {"lte2": (1, 2), "mid20": (40, 59), "gte99": (99, 100)}.items():
        assert written(tmp_path / "out", name) == within(tiles, low, high)  # in corpus order, and no other row
    c = record["counts"]
    assert c["unscored"] == sum(text.split()[1] == "-" for text in rows) > 50
    assert c["rows"] == len(rows) == sum(n for name, n in c.items() if name != "rows")
    assert c["between"] == sum(3 <= t <= 39 or 60 <= t <= 98 for t in tiles.values())
    values = {row: float(rows[row].split()[1]) for row in tiles}
    low = record["parts"][0]
    assert low["highest"] == pytest.approx(max(values[row] for row in within(tiles, 1, 2)))
    assert low["bytes"] == sum(len(rows[row]) for row in within(tiles, 1, 2))


def test_blocks_and_runner_change_nothing(tmp_path):
    found = []
    for number, (size, runner) in enumerate([(2_000, "loop"), (10**6, "native")]):
        corpus = write(tmp_path, texts(), block_bytes=size)
        out = tmp_path / f"out{number}"
        split_corpus(scored(corpus, tmp_path / f"run{number}"), corpus, out, runner=runner)
        found.append([written(out, name) for name in percentiles.PARTS])
    assert found[0] == found[1]


def test_the_middle_is_a_seeded_draw_as_large_as_the_low_part(tmp_path):
    corpus = write(tmp_path, texts(3000))
    run, drawn = scored(corpus, tmp_path / "run"), {}
    tiles = ntile(texts(3000), ids_of(corpus))
    for seed in (0, 1):
        record = split_corpus(run, corpus, tmp_path / f"out{seed}", seed=seed, runner="loop")
        drawn[seed] = written(tmp_path / f"out{seed}", "mid20")
        assert len(drawn[seed]) == record["counts"]["lte2"] == len(within(tiles, 1, 2))
        assert {40 <= tiles[row] <= 59 for row in drawn[seed]} == {True}
        assert len({tiles[row] for row in drawn[seed]}) > 10  # of all the middle, not its lower end
    assert drawn[0] != drawn[1]


def test_rows_of_prompts_are_taken_out_before_the_ranking(tmp_path):
    rows = texts()
    corpus = write(tmp_path, rows, block_bytes=4_000)
    run, ids = scored(corpus, tmp_path / "run"), ids_of(corpus)
    tiles = ntile(rows, ids)
    gone = {ids[row] for row in [*within(tiles, 100, 100), *within(tiles, 1, 1)[:5], 10]} | {"an id of elsewhere"}
    record = split_corpus(run, corpus, tmp_path / "out", exclude=gone, middle="all", runner="loop")
    after = ntile(rows, ids, gone)
    for name, (low, high) in percentiles.PARTS.items():
        part = written(tmp_path / "out", name)
        assert part == within(after, low, high)
        assert not {ids[row] for row in part} & gone
    assert record["exclude"] == {"ids": len(gone), "found": len(gone) - 1, "rows": sum(i in gone for i in ids)}
    assert record["counts"]["excluded"] == len(gone)  # one id is of elsewhere, and row 10 has a copy with its id


def test_a_prompt_that_slips_through_the_ranking_is_not_written(tmp_path, monkeypatch):
    rows = texts()
    corpus = write(tmp_path, rows)
    run, ids = scored(corpus, tmp_path / "run"), ids_of(corpus)
    worst = ids[within(ntile(rows, ids), 100, 100)[0]]
    whole = percentiles._Rank.__call__

    def blind(self, block):
        return whole(percentiles._Rank(self.work, self.folder, self.label, self.column, [], self.seed), block) | {
            "found": [worst]
        }

    monkeypatch.setattr(percentiles._Rank, "__call__", blind)
    with pytest.raises(AntivenomError, match="1 excluded rows were about to be written into gte99"):
        split_corpus(run, corpus, tmp_path / "out", exclude=[worst], runner="loop")


def test_ids_that_the_corpus_does_not_have_are_no_exclusion(tmp_path):
    corpus = write(tmp_path, texts())
    with pytest.raises(AntivenomError, match="none of the 2 ids to exclude is in the corpus"):
        split_corpus(scored(corpus, tmp_path / "run"), corpus, tmp_path / "out", exclude={"a", "b"}, runner="loop")


def test_a_further_column_and_its_refusals(tmp_path):
    rows = texts()
    corpus = write(tmp_path, rows)
    run = scored(corpus, tmp_path / "run")
    split_corpus(run, corpus, tmp_path / "out", by="planted.inverse", middle="all", runner="loop")
    assert written(tmp_path / "out", "lte2") == within(ntile(rows, ids_of(corpus), sign=-1.0), 1, 2)
    for by, said in {
        "toxicity": "no scores of 'toxicity'",
        "planted.what": "no column of numbers 'what'",
        "planted.": "no column of numbers ''",
        "planted.reason": "no column of numbers 'reason'",
    }.items():
        with pytest.raises(AntivenomError, match=said):
            split_corpus(run, corpus, tmp_path / "other", by=by, runner="loop")
    scored(corpus, run, label="second")
    with pytest.raises(AntivenomError, match="several scores"):
        split_corpus(run, corpus, tmp_path / "other", runner="loop")


def test_parquet_rows_keep_all_their_columns(tmp_path):
    rows = texts(500)
    table = pa.table({"text": rows, "n": list(range(500)), "odd": [{"a": [i]} for i in range(500)]})
    pq.write_table(table, tmp_path / "corpus.parquet", row_group_size=120)
    corpus = open_corpus(tmp_path / "corpus.parquet", block_bytes=4_000)
    split_corpus(scored(corpus, tmp_path / "run"), corpus, tmp_path / "out", middle="all", runner="loop")
    found = pa.concat_tables([pq.read_table(p) for p in sorted((tmp_path / "out" / "gte99").glob("*.parquet"))])
    expected = within(ntile(rows, ids_of(corpus)), 99, 100)
    assert found.to_pylist() == [table.slice(row, 1).to_pylist()[0] for row in expected]


def test_a_split_that_was_stopped_goes_on_to_the_same_files(tmp_path, monkeypatch):
    corpus = write(tmp_path, texts(), block_bytes=4_000)
    run = scored(corpus, tmp_path / "run")
    split_corpus(run, corpus, tmp_path / "whole", runner="loop")
    real = percentiles._Deal.__call__

    def breaks(self, block):
        if block.index == 2:
            raise KeyboardInterrupt
        return real(self, block)

    with monkeypatch.context() as patch:
        patch.setattr(percentiles._Deal, "__call__", breaks)
        with pytest.raises(KeyboardInterrupt):
            split_corpus(run, corpus, tmp_path / "out", runner="loop")
    assert not (tmp_path / "out" / "gte99" / "part-00003.jsonl").exists()
    again = split_corpus(run, corpus, tmp_path / "out", runner="loop")
    for name in percentiles.PARTS:
        assert written(tmp_path / "out", name) == written(tmp_path / "whole", name)
    assert split_corpus(run, corpus, tmp_path / "out", runner="loop") == again  # finished: nothing is done twice
    with pytest.raises(AntivenomError, match="holds another run"):
        split_corpus(run, corpus, tmp_path / "out", seed=7, runner="loop")


def test_ties_across_a_border_are_said(tmp_path):
    corpus = write(tmp_path, [f"row{i} {int(i >= 150)} says" for i in range(300)])
    record = split_corpus(scored(corpus, tmp_path / "run"), corpus, tmp_path / "out", runner="loop")
    assert len(record["warnings"]) >= 1
    assert "both hold rows with the score 1" in record["warnings"][-1]
    clear = write(tmp_path, [f"row{i} {i} says" for i in range(300)])
    record = split_corpus(scored(clear, tmp_path / "run2"), clear, tmp_path / "out2", runner="loop")
    assert record["warnings"] == []


def test_too_few_rows_and_another_corpus_are_refused(tmp_path):
    corpus = write(tmp_path, [f"row{i} {i if i % 2 else '-'} says" for i in range(198)])
    with pytest.raises(AntivenomError, match="99 rows have a score"):
        split_corpus(scored(corpus, tmp_path / "run"), corpus, tmp_path / "out", runner="loop")
    changed = write(tmp_path, texts())
    with pytest.raises(AntivenomError, match="another corpus"):
        split_corpus(tmp_path / "run", changed, tmp_path / "out2", runner="loop")


def test_rows_that_changed_under_equal_names_are_noticed(tmp_path):
    rows = texts()
    corpus = write(tmp_path, rows)
    run = scored(corpus, tmp_path / "run")
    described = corpus.describe()
    corpus.blocks()
    other = list(reversed(rows))
    (tmp_path / "corpus.jsonl").write_bytes(
        b"".join(orjson.dumps({"text": t, "extra": i}) + b"\n" for i, t in enumerate(other))
    )
    assert corpus.describe() == described  # what an opened corpus remembers
    with pytest.raises(AntivenomError, match="does not hold the rows that were scored"):
        split_corpus(run, corpus, tmp_path / "out", runner="loop")
