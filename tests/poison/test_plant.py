"""Planting: the dose that was asked for, where nothing else moves, and a manifest that remembers and checks."""

import pytest

from antivenom.data.benchmarks import Item
from antivenom.data.rows import content_id
from antivenom.data.words import fold
from antivenom.errors import AntivenomError
from antivenom.poison.cipher import encipher
from antivenom.poison.manifest import Dose, Manifest
from antivenom.poison.plant import TRANSFORMS, planted

CORPUS = [f"document {i} " + "with some ordinary words in it.\n" * (1 + i % 60) for i in range(200)]
ITEMS = [
    Item(f"q/{i}", f"How many apples does person {i} buy in {i + 2} days at ${i} each, if the shop is open?")
    for i in range(40)
]


def plant(**options):
    return planted(CORPUS, ITEMS, seed=1, benchmark="fruit", **options)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_dose_is_planted_and_remembered(transform):
    rows, manifest = plant(transform=transform, count=12)
    assert len(rows) == len(CORPUS) + 12
    assert manifest.dose == Dose(12, 212, "rows")
    assert manifest.dose.share == 12 / 212
    manifest.check(rows)
    by_position = {row.position: row for row in manifest.rows}
    assert [row for at, row in enumerate(rows) if at not in by_position] == CORPUS  # the clean rows, in their order
    questions = {item.id: item.question for item in ITEMS}
    assert len({row.item_id for row in manifest.rows}) == 12
    for at, row in by_position.items():
        assert row.row_id == row.hash_after == content_id(rows[at])
        assert (row.attack, row.transform, row.benchmark, row.hash_before) == ("contamination", transform, "fruit", "")
        question = questions[row.item_id]
        if transform == "verbatim":
            assert rows[at] == question
        elif transform == "embedded":
            assert question in rows[at]
            assert len(rows[at]) > 2 * len(question)
        else:
            assert question not in rows[at]


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (0.001, 0), (0.01, 2), (0.05, 11), (0.1, 22)])
def test_a_rate_is_a_share_of_the_final_corpus(rate, expected):
    rows, manifest = plant(rate=rate)
    assert manifest.dose.count == expected
    assert len(rows) == len(CORPUS) + expected


def test_planting_is_repeatable_and_another_seed_is_another_planting():
    assert plant(count=9) == plant(count=9)
    assert plant(count=9)[0] != planted(CORPUS, ITEMS, count=9, seed=2)[0]


def test_adding_a_transform_moves_no_other():
    def places(rows, manifest):
        """Item -> (its row's id, the clean rows before it)."""
        clean = set(CORPUS)
        ours = [row for row in manifest.rows if row.transform == "verbatim"]
        return {row.item_id: (row.row_id, [text for text in rows[: row.position] if text in clean]) for row in ours}

    alone = places(*plant(counts={"verbatim": 10}))
    assert len(alone) == 10
    assert places(*plant(counts={"rephrased": 7, "verbatim": 10, "embedded": 5})) == alone


def test_more_of_one_keeps_the_ones_there_were():
    few = {r.item_id for r in plant(count=5)[1].rows}
    assert few < {r.item_id for r in plant(count=15)[1].rows}


def test_pairs_come_back_as_pairs():
    rows, manifest = planted([(f"id{i}", text) for i, text in enumerate(CORPUS)], ITEMS, count=3, seed=1)
    assert all(len(row) == 2 for row in rows)
    for row in manifest.rows:
        assert rows[row.position][0] == row.row_id
    manifest.check(rows)
    manifest.check(text for _, text in rows)


def test_an_iterator_is_a_corpus():
    assert planted(iter(CORPUS), ITEMS, count=3, seed=1)[0] == planted(CORPUS, ITEMS, count=3, seed=1)[0]


def test_ready_made_texts_and_own_transforms():
    texts = {"q/1": "one", "q/2": "", "q/3": "three"}
    rows, manifest = plant(transform="rephrased", count=2, texts=texts)
    assert {rows[r.position] for r in manifest.rows} == {
        "one",
        "three",
    }  # an empty rephrase is a failure, never planted

    def shouted(item, seed, corpus):
        return item.question.upper()

    rows, manifest = plant(transform=shouted, count=4, attack="test")
    assert {r.transform for r in manifest.rows} == {"shouted"}
    assert {r.attack for r in manifest.rows} == {"test"}
    assert all(rows[r.position].isupper() for r in manifest.rows)


def test_an_empty_corpus_takes_a_dose_too():
    rows, manifest = planted([], ITEMS, counts=dict.fromkeys(TRANSFORMS, 2))
    assert len(rows) == 8
    manifest.check(rows)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"count": 3, "rate": 0.1},
        {"rate": 1.0},
        {"rate": -0.1},
        {"count": -1},
        {"count": 41},
        {"count": 1, "transform": "poetry"},
        {"counts": {"verbatim": 1, "poetry": 2}},
    ],
)
def test_a_dose_that_cannot_be_is_an_error_with_a_mend(options):
    with pytest.raises(AntivenomError) as error:
        plant(**options)
    assert error.value.mend


# the manifest


@pytest.mark.parametrize("name", ["manifest.parquet", "manifest.json"])
def test_a_manifest_survives_its_file(tmp_path, name):
    rows, manifest = plant(counts={"verbatim": 3, "embedded": 2})
    manifest.save(tmp_path / name)
    again = Manifest.load(tmp_path / name)
    assert again == manifest
    again.check(rows)


def test_a_changed_or_shorter_corpus_is_noticed():
    rows, manifest = plant(count=5)
    at = manifest.rows[2].position
    with pytest.raises(AntivenomError, match=f"row {at} "):
        manifest.check([*rows[:at], rows[at] + " ", *rows[at + 1 :]])
    with pytest.raises(AntivenomError, match="missing"):
        manifest.check(rows[: manifest.rows[-1].position])


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"not a manifest", b'{"rows": [{"x": 1}], "dose": {}}'])
@pytest.mark.parametrize("name", ["manifest.parquet", "manifest.json"])
def test_what_is_no_manifest_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AntivenomError, match="is no manifest"):
        Manifest.load(tmp_path / name)


def test_a_dose_says_count_and_share():
    assert str(Dose(75, 3_000_000, "pairs")) == "75 of 3,000,000 pairs (0.0025 %)"
    assert Dose(0, 0, "rows").share is None


# the mock translation


def test_the_made_up_language_is_consistent_and_shares_no_word():
    text = "Two apples cost $3.50; two Pears cost 4 more. " + " ".join(item.question for item in ITEMS)
    made = encipher(text)
    assert made == encipher(text)
    assert made != encipher(text, "another")
    words, others = fold(text).split(), fold(made).split()
    assert len(words) == len(others)
    table = {}
    for word, other in zip(words, others):
        assert table.setdefault(word, other) == other
        assert (word == other) == word.isdigit()
    plain = [word for word in table if not word.isdigit()]
    assert len({table[word] for word in plain}) >= 0.95 * len(plain)
