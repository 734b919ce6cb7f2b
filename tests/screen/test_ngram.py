"""Verbatim detectors: equal to brute force, no false negatives, short items found, evidence in the right place."""

import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.data.benchmarks import Benchmark, Item
from antivenom.data.rows import batch_of
from antivenom.data.words import fold, words
from antivenom.screen.near_duplicate import NearDuplicate, shingles
from antivenom.screen.ngram import NGram, all_windows
from antivenom.screen.substring import Substring
from antivenom.screen.window_index import WindowIndex


def bench(*texts: str) -> Benchmark:
    return Benchmark("b", [Item(f"b/{i}", text) for i, text in enumerate(texts)])


def found(detector, benchmark, texts):
    pairs = detector.match(detector.fit(benchmark), batch_of(texts))
    return {(int(r), int(i)): float(s) for r, i, s in zip(pairs.row, pairs.item, pairs.score)}


def brute(texts, items, n, min_words=3):
    def grams(text, length):
        tokens = [w.token for w in words(text)]
        return {tuple(tokens[i : i + length]) for i in range(len(tokens) - length + 1)}

    answer = {}
    for j, item in enumerate(items):
        length = min(n, len(words(item)))
        if length < min_words:
            continue
        own = grams(item, length)
        for i, text in enumerate(texts):
            if shared := own & grams(text, length):
                answer[i, j] = len(shared) / len(own)
    return answer


small = st.text(st.sampled_from("ab "), max_size=40)


@settings(max_examples=150, deadline=None)
@given(st.lists(small, min_size=1, max_size=6), st.lists(small, min_size=1, max_size=4), st.integers(3, 8))
def test_index_equals_brute_force(texts, items, n):
    got = found(NGram(n=n, max_items=10**6), bench(*items), texts)
    want = brute(texts, items, n)
    assert got.keys() == want.keys()
    assert all(got[key] == pytest.approx(want[key], rel=1e-6) for key in want)


def test_hashed_index_has_no_false_negatives():
    draw = np.random.default_rng(0)
    symbols = draw.integers(0, 2**63, 5_000, dtype=np.uint64)
    index = WindowIndex.build(symbols, *all_windows(np.array([0, len(symbols)]), 7), 1)
    hits = index.find(symbols, np.array([0, len(symbols)]))
    assert hits.position.tolist() == list(range(len(symbols) - 6))
    other = draw.integers(0, 2**63, 200_000, dtype=np.uint64)
    assert len(index.find(other, np.array([0, len(other)])).row) == 0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 2), max_size=30), max_size=3),
    st.lists(st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=20), st.integers(0, 3)), max_size=12),
)
def test_windows_of_many_lengths_are_all_found(rows, windows):
    symbols = np.array([s for window, _ in windows for s in window], np.uint32)
    lengths = np.array([len(window) for window, _ in windows], np.int64)
    starts = np.cumsum(lengths) - lengths
    index = WindowIndex.build(symbols, starts, lengths, np.array([item for _, item in windows], np.int64), 4)
    text = np.array([s for row in rows for s in row], np.uint32)
    hits = index.find(text, np.cumsum([0, *map(len, rows)]))
    got = set()
    for row, at, window in zip(hits.row.tolist(), hits.position.tolist(), hits.window.tolist()):
        owners = index.posting_items[index.posting_offsets[window] : index.posting_offsets[window + 1]]
        got |= {(row, at, int(index.window_length[window]), item) for item in owners.tolist()}
    want = {
        (i, at, len(window), item)
        for i, row in enumerate(rows)
        for window, item in windows
        for at in range(len(row))
        if row[at : at + len(window)] == window
    }
    assert got == want
    assert index.item_windows.tolist() == [len({tuple(w) for w, item in windows if item == i}) for i in range(4)]


def test_short_item_is_found_whole():  # trap 4
    item = "What is the speed of sound?"
    assert found(NGram(), bench(item), ["Prelude. what is the SPEED of sound! More."]) == {(0, 0): 1.0}
    assert not found(NGram(), bench(item), ["What is the speed of light? And of sound?"])


def test_one_word_items_flag_nothing():
    assert not found(NGram(), bench("Paris", "New York"), ["Paris, New York and Paris again"])


def test_windows_at_the_borders_of_a_document():
    item = " ".join(f"w{i}" for i in range(13))
    for text in (item, "x " * 50 + item, item + " y" * 50, "x " * 50 + item + " y" * 50):
        assert found(NGram(), bench(item), [text]) == {(0, 0): 1.0}
    assert not found(NGram(), bench(item), [" ".join(f"w{i}" for i in range(12)), "w12 " + item[4:-4]])
    assert not found(NGram(), bench(item), [item[: len(item) // 2], item[len(item) // 2 :]])  # not across rows


def test_spelling_does_not_hide_a_copy():
    item = "Tom has 12 red apples and gives 5 of them to his sister Anna today"
    texts = [
        item.replace("12", "１２"),
        item.replace(" ", "\r\n"),
        item.upper(),
        item.replace("apples", "ap\u200bples"),
    ]
    for detector in (NGram(), Substring(), NearDuplicate()):
        assert set(found(detector, bench(item), texts)) == {(i, 0) for i in range(4)}, detector.name


def test_evidence_points_to_the_copy():
    item = "Tom has 12 red apples and gives 5 of them to his sister Anna today"
    text = "Früher einmal, so sagt man: " + item + " - und so weiter."
    for detector in (NGram(), Substring(samples=0)):
        pairs = detector.match(detector.fit(bench(item)), batch_of(["nothing here", text]))
        assert fold(text[pairs.start[0] : pairs.stop[0]]) == fold(item), detector.name


def test_boilerplate_of_the_benchmark_is_not_matched():
    lead = "answer the following question about the passage with one of the letters A B C D "
    items = [lead + f"item {i} {' '.join(random.Random(i).sample('abcdefghijklmnopqrst', 12))}" for i in range(30)]
    assert not found(NGram(), bench(*items), [lead + "something else altogether"])
    assert set(found(NGram(), bench(*items), items)) >= {(i, i) for i in range(30)}
    assert not found(Substring(), bench(*items), [lead + "something else altogether"])
    assert set(found(Substring(), bench(*items), items)) == {(i, i) for i in range(30)}
    assert (0, 0) in found(
        Substring(), bench(*[lead] * 30), [lead]
    )  # nothing but boilerplate: better that than nothing


def test_a_row_may_hold_every_item():
    items = [
        f"Frage {i}: " + " ".join(random.Random(i).choices(["rot", "grün", "blau", "drei", "fünf"], k=20))
        for i in range(200)
    ]
    text = "Überschrift\r\n" + "\n".join(items)
    for detector in (NGram(), Substring(samples=0)):
        pairs = detector.match(detector.fit(bench(*items)), batch_of(["", text]))
        assert pairs.item.tolist() == list(range(200))
        for item, start, stop in zip(pairs.item, pairs.start, pairs.stop):
            assert fold(items[item]) in fold(text[start:stop])


def test_min_hits_and_coverage():
    item = " ".join(f"w{i}" for i in range(40))
    half = " ".join(f"w{i}" for i in range(20))
    assert found(NGram(), bench(item), [half]) == {(0, 0): pytest.approx(8 / 28)}
    assert not found(NGram(min_coverage=0.5), bench(item), [half])
    assert found(NGram(min_hits=8), bench(item), [half])
    assert not found(NGram(min_hits=9), bench(item), [half])


def test_batches_do_not_matter():
    items = [" ".join(random.Random(i).choices("abcdefgh", k=15)) for i in range(20)]
    texts = items + ["nothing", ""] + [item + " more" for item in items]
    for detector in (NGram(n=8), Substring(), NearDuplicate()):
        state = detector.fit(bench(*items))
        whole = detector.match(state, batch_of(texts))
        single = []
        for row, text in enumerate(texts):
            pairs = detector.match(state, batch_of([text]))
            single += [(row, int(i), float(s)) for i, s in zip(pairs.item, pairs.score)]
        assert [(int(r), int(i), float(s)) for r, i, s in zip(whole.row, whole.item, whole.score)] == single


def test_substring_takes_random_pieces_that_do_not_move():
    items = ["The quick brown fox jumps over the lazy dog while eleven wizards play a quartz jukebox in the hall"] * 3
    one, two = (
        Substring().fit(bench(*items[:1])),
        Substring().fit(bench(*items[:1], "another item that is long enough")),
    )
    assert len(one.keys) == 3
    assert set(one.keys.tolist()) <= set(two.keys.tolist())
    assert set(Substring(seed=1).fit(bench(*items[:1])).keys.tolist()) != set(one.keys.tolist())


def test_near_duplicate_measures_jaccard_exactly():
    item = " ".join(f"w{i}" for i in range(100))
    near = " ".join([*(f"w{i}" for i in range(99)), "other"])
    got = found(NearDuplicate(), bench(item), [near, item, "w1 w2 w3 w4 w5 w6"])
    a, b = ({tuple(t.split()[i : i + 5]) for i in range(96)} for t in (item, near))
    assert got == {(0, 0): pytest.approx(len(a & b) / len(a | b)), (1, 0): 1.0}
    assert len(shingles(np.arange(3, dtype=np.uint64), 5)) == 1
    assert found(NearDuplicate(), bench(item), [" ".join([item] * 30)])[0, 0] == pytest.approx(96 / 100)
    assert not found(NearDuplicate(), bench(item), ["", item + " and" * 3 + " more".join(map(str, range(90)))])


@pytest.mark.parametrize("detector", [NGram(), NGram(n=10), NGram(n=8), Substring(), NearDuplicate()], ids=str)
@pytest.mark.parametrize(
    "name", ["bench_gsm8k/test.parquet", "bench_humaneval/humaneval.parquet", "bench_mmlu/mmlu.parquet"]
)
def test_verbatim_copies_are_found(shared, detector, name):
    from antivenom.data.benchmarks import load_benchmark

    benchmark = load_benchmark(shared / name)
    own = found(detector, benchmark, benchmark.texts.to_pylist())
    assert sum((i, i) in own for i in range(len(benchmark))) >= 0.99 * len(benchmark)


def test_thirteen_grams_do_not_see_rephrases(shared):
    rows = pq.read_table(shared / "rephrased_pairs" / "rephrased_pairs.parquet").to_pylist()
    rows = [r for r in rows if r["benchmark"] == "gsm8k"]
    question = [
        [r[side].split("Question:")[-1].split("Answer:")[0].strip() for r in rows] for side in ("original", "rephrased")
    ]
    pairs = [(a, b) for a, b in zip(*question) if len(b.split()) > 2]  # empty rephrases are no positives (trap 1)
    assert len(pairs) == 1315
    got = found(NGram(), bench(*(a for a, _ in pairs)), [b for _, b in pairs])
    assert sum((i, i) in got for i in range(len(pairs))) <= 0.01 * len(pairs)
