import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.data.rows import batch_of
from antivenom.data.words import words
from antivenom.errors import AntivenomError
from antivenom.screen.provenance.personal_data import iban_valid, luhn, personal_data
from antivenom.screen.provenance.profile import MEASURES, Profile
from antivenom.screen.scoring.scorer import Scorer, score_texts


def figures(text, **params):
    scores = score_texts(Profile(**params), [text])
    return {name: column[0].as_py() for name, column in scores.columns.items()}


def test_flesch_by_hand():
    found = figures("The cat sat on the mat. It was happy.")  # 9 words, 2 sentences, 1+1+1+1+1+1+1+1+2 syllables
    assert (found["words"], found["sentences"]) == (9, 2)
    assert found["reading_ease"] == pytest.approx(206.835 - 1.015 * 9 / 2 - 84.6 * 10 / 9)
    for word, syllables in {"table": 2, "make": 1, "rhythm": 1, "b": 1, "beautiful": 3, "the": 1, "idea": 2}.items():
        assert figures(f"{word}.")["reading_ease"] == pytest.approx(206.835 - 1.015 - 84.6 * syllables), word


def test_reading_ease_is_missing_where_it_means_nothing():
    for text in ("Привет, мир. Это текст.", "语言模型。", "12 34. 56", ". . ."):
        assert figures(text)["reading_ease"] is None


def test_type_token_ratio_looks_at_the_same_number_of_words_everywhere():
    text = "a b c d " * 5
    assert figures(text, ttr_words=4)["type_token_ratio"] == 1.0
    assert figures(text, ttr_words=8)["type_token_ratio"] == 0.5
    assert figures(text, ttr_words=20)["type_token_ratio"] == 0.2
    assert figures(text, ttr_words=21)["type_token_ratio"] is None
    with pytest.raises(AntivenomError):
        Profile(ttr_words=0)


@given(st.text(max_size=60))
def test_counts_equal_python(text):
    found = figures(text)
    assert found["characters"] == len(text)
    assert found["words"] == len(words(text))
    if text:
        assert found["non_ascii_share"] == sum(ord(c) > 127 for c in text) / len(text)
    assert found["sentences"] >= (found["words"] > 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe+x@mail.example.org, now", {"emails": 1}),
        ("a@b no@tld. x@example.org.", {"emails": 1}),
        ("10.0.0.1 and 256.1.1.1 and 1.2.3.4.5", {"ip_addresses": 1}),
        ("2001:db8::ff00:42:8329 but std::vector and 12:30:45 and ::", {"ip_addresses": 1}),
        ("call +44 20 7946 0958 or (555) 123-4567 or 555-123-4567", {"phones": 3}),
        ("on 2024-01-15, 3.14159 and 1234567890, +12", {}),
        ("4111 1111 1111 1111 and 4111 1111 1111 1112", {"cards": 1}),
        ("GB82 WEST 1234 5698 7654 32 and GB83 WEST 1234 5698 7654 32", {"ibans": 1}),
        ("DE89370400440532013000", {"ibans": 1}),
        ("", {}),
    ],
)
def test_personal_data(text, expected):
    found = {}
    for find in personal_data(text):
        found[find.kind] = found.get(find.kind, 0) + 1
    assert found == expected
    row = figures(text)
    assert {kind: row[kind] for kind in expected} == expected
    assert sum(row[kind] for kind in ("emails", "ip_addresses", "phones", "cards", "ibans")) == sum(expected.values())
    assert [text[e.start : e.stop] for e in Profile().explain(text)] == [
        text[f.start : f.stop] for f in personal_data(text)
    ]


@given(st.text(alphabet="0123456789", min_size=1, max_size=18))
def test_luhn_has_exactly_one_check_digit(digits):
    assert sum(luhn(digits + check) for check in "0123456789") == 1


def test_iban_finds_one_wrong_digit():
    good = "GB82WEST12345698765432"
    assert iban_valid(good)
    for place in range(8, len(good)):
        assert not iban_valid(good[:place] + str((int(good[place]) + 1) % 10) + good[place + 1 :])


@pytest.mark.parametrize("piece", ["a", "a.", "a@", "1", "1.", "1 ", "1-", "a:", "A1", "(", "+1 "])
def test_patterns_are_linear(piece):
    begun = time.process_time()
    personal_data(piece * (600_000 // len(piece)))
    assert time.process_time() - begun < 5


def test_protocol_and_batches():
    scorer = Profile()
    assert isinstance(scorer, Scorer)
    texts = ["Some words here. And there.", "", " ", "🙂🙂", "\0", "x" * 5_000, "語" * 300, "a\r\nb"]
    scores = score_texts(scorer, texts)
    assert {name: column.type for name, column in scores.columns.items()} == MEASURES == scorer.columns
    assert scores.reasons[1] == "cannot score: empty text"
    assert np.isnan(scores.values).tolist() == [False, True, *[False] * 6]
    alone = [score_texts(scorer, [text]) for text in texts]
    for name, column in scores.columns.items():
        assert column.to_pylist() == [one.columns[name][0].as_py() for one in alone]
    assert scorer.identity().higher_is == "neutral"
    assert pickle.loads(pickle.dumps(scorer)) == scorer
    assert len(scorer.score(batch_of([]))) == 0
