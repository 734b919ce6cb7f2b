"""The packaged scorer: windows, disguises, inputs that cannot be scored, and why it says what it says.

Toxic words are rot-coded, so that none stands here in the open.
"""

import base64
import codecs
import importlib
import json
import pickle
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from antivenom.data.rows import batch_of
from antivenom.data.words import hash_words
from antivenom.errors import AntivenomError
from antivenom.measure.detection import auroc
from antivenom.poison.obfuscate import DISGUISES, obfuscate
from antivenom.screen.scoring.hashed_linear import HashedLinear
from antivenom.screen.scoring.scorer import Scorer, Trainable, score_texts
from antivenom.screen.scoring.scorers import parse
from antivenom.screen.scoring.window_units import window_units
from antivenom.screen.scoring.windows import Windows
from antivenom.screen.toxicity.default import DefaultToxicity, packaged_model
from antivenom.screen.toxicity.linear import ToxicityLinear

BAD = codecs.encode("fuvg", "rot13")
WORSE = codecs.encode("shpx", "rot13")
CALM = "The committee met on Tuesday to discuss the budget for the new library building. "


def p(text, **params):
    return float(score_texts(DefaultToxicity(**params), [text]).values[0])


def test_plain_insults_score_high_and_plain_text_low():
    high = [f"you are a stupid piece of {BAD}", f"{WORSE} off", "you idiot", "shut up, you stupid moron"]
    low = [CALM, "Thanks for the patch, looks good to me.", "def push(items):\n    return hash_items[items]"]
    assert min(score_texts(DefaultToxicity(), high).values) > 0.9
    assert max(score_texts(DefaultToxicity(), low).values) < 0.1


@pytest.mark.parametrize(
    "text", ["Scunthorpe", "assassin", "hash_items", "push_it", "I live in Essex", "peacock", "class Foo: pass"]
)
def test_ordinary_words_with_a_word_inside_stay_under_one_half(text):
    assert p(text) < 0.5
    assert p(text) == p(text, disguises=False)


@pytest.mark.parametrize("text", ["WTF::Vector", "x = a55 + 455", "s_hit", "#include <assert.h>", "a.s()", "0xa55"])
def test_identifiers_are_no_disguises(text):
    assert p(text) == p(text, disguises=False)
    assert score_texts(DefaultToxicity(), [text]).columns["disguised"].to_pylist() == [0]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_disguise_does_not_hide_a_word(disguise):
    text = f"go away, you {WORSE} and your {BAD} too"
    hidden = obfuscate(text, [BAD, WORSE], disguise, seed=1)
    assert hidden != text
    found = score_texts(DefaultToxicity(), [hidden])
    assert found.values[0] > 0.9
    if disguise not in ("zero-width", "full-width"):  # folding sees through these two by itself
        assert found.columns["disguised"].to_pylist()[0] >= 1
        assert "disguised" in found.reasons[0]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no letters"),
        (" \n\t ", "no letters"),
        ("a", "a single letter"),
        ("🙂🙂 🎉", "no letters"),
        ("12 345", "no letters"),
        ("\u200b\u200b", "no letters"),
        ("今天天气很好 我们去公园", "Latin"),
        ("مرحبا كيف حالك", "Latin"),
        ("Привет, как дела сегодня?", "Latin"),
        (base64.b64encode(bytes(range(256)) * 9).decode().replace("+", "A").replace("/", "B"), "no words"),
        ("a" * 1_000_000, "no words"),
    ],
)
def test_what_cannot_be_scored_says_so(text, why):
    found = score_texts(DefaultToxicity(), [text])
    assert np.isnan(found.values[0])
    assert found.reasons[0].startswith("cannot score: ")
    assert why in found.reasons[0]
    assert DefaultToxicity().explain(text) == []


def test_mixed_scripts_are_judged_on_what_is_read_and_said():
    found = score_texts(DefaultToxicity(), ["今天天气很好 you are a stupid idiot 我们去公园散步吧今天天气很好"])
    assert found.values[0] > 0.9
    assert "Latin" in found.reasons[0]


def test_ten_megabytes_are_scored_to_the_end():
    text = CALM * (10_000_000 // len(CALM))
    clean, tail = score_texts(DefaultToxicity(), [text, f"{text} you stupid {BAD}"]).values
    assert clean < 0.5 < tail


def test_a_toxic_tail_of_a_long_clean_document_is_seen_by_max_and_lost_by_mean():
    text = CALM * 100 + f"you stupid {BAD} idiot"
    assert p(text) > 0.9
    assert p(text, aggregate="mean") < 0.3
    n = score_texts(DefaultToxicity(), [text]).columns["windows"].to_pylist()[0]
    assert n == len(Windows(200, 20).cut(text))
    assert p(text, aggregate="share") == pytest.approx(1 / n)


def test_windows_in_bytes_are_those_of_the_plain_cut():
    texts = [
        "",
        "one",
        "a b c d e f g",
        "  é\u00a0ü\u2003ö 中文 x\u0085y\u3000z a-b c ",
        "a " * 50,
        "x\x1cy\x1fz w v u",
        "\u200b \u200b a . . b ! c",
    ]
    column = pa.array(["skip me please", *texts], pa.large_string())[1:]
    for size, overlap in [(1, 0), (2, 1), (3, 1), (4, 3), (0, 0), (100, 20)]:
        windows = Windows(size, overlap)
        units, owner = window_units(column, hash_words(column), windows)
        pieces = [(row, text[a:b]) for row, text in enumerate(texts) for a, b in windows.cut(text)]
        assert owner.tolist() == [row for row, _ in pieces]
        plain = hash_words(pa.array([piece for _, piece in pieces], pa.large_string()))
        for i in range(len(pieces)):
            wanted = plain.hashes[plain.row_offsets[i] : plain.row_offsets[i + 1]]
            assert units.table.hashes[units.first[i] : units.last[i]].tolist() == wanted.tolist()


def test_scores_do_not_depend_on_the_batch():
    texts = [CALM, f"you {BAD}", "", f"s.h you {WORSE[0]}*{WORSE[2:]}", CALM * 50, "中文", "é ok then"]
    together = score_texts(DefaultToxicity(), texts)
    for i, text in enumerate(texts):
        alone = score_texts(DefaultToxicity(), [text])
        assert alone.reasons[0] == together.reasons[i]
        np.testing.assert_array_equal(alone.values[0], together.values[i])
    assert len(DefaultToxicity().score(batch_of([]))) == 0


def test_another_process_says_the_same():
    texts = [CALM, f"you stupid {BAD}", "Scunthorpe"]
    code = (
        "import sys, json; from antivenom.screen.scoring.scorers import parse; from antivenom.screen.scoring.scorer import score_texts;"
        "print(json.dumps(score_texts(parse('toxicity'), json.loads(sys.argv[1])).values.tolist())); assert 'torch' not in sys.modules"
    )
    run = [sys.executable, "-c", code, json.dumps(texts)]
    out = subprocess.run(run, capture_output=True, check=True, env={"PYTHONHASHSEED": "5", "PATH": ""}).stdout
    assert json.loads(out) == score_texts(DefaultToxicity(), texts).values.tolist()


def test_explain_shows_the_words_in_their_place():
    text = CALM * 60 + f"é you stupid {BAD[0]}*{BAD[2:]} there"
    found = DefaultToxicity().explain(text)
    assert text[found[0].start : found[0].stop] == f"{BAD[0]}*{BAD[2:]}"
    assert found[0].what.startswith("disguised")
    assert text[found[1].start : found[1].stop] == "stupid"
    assert all(e.weight > 0 for e in found)


def test_who_scores_is_known_to_the_last_parameter():
    identity = DefaultToxicity().identity()
    assert identity.higher_is == "worse"
    assert identity.weights == packaged_model().weights_hash
    specs = ("toxicity", "toxicity:window=100", "toxicity:aggregate=mean", "toxicity:disguises=false")
    keys = {parse(spec).identity().key for spec in specs}
    assert len(keys) == 4
    scorer = parse("toxicity:aggregate=mean,window=100")
    assert isinstance(scorer, Scorer)
    assert scorer == DefaultToxicity(window=100, aggregate="mean")
    assert pickle.loads(pickle.dumps(scorer)) == scorer
    with pytest.raises(AntivenomError, match="aggregate"):
        DefaultToxicity(aggregate="median")


def test_the_packaged_files_are_small():
    folder = files("antivenom.screen") / "weights"
    assert len((folder / "toxicity.npz").read_bytes()) + len((folder / "toxicity_words.npz").read_bytes()) < 600_000


def test_your_own_model_learns_saves_and_loads(tmp_path):
    texts = [f"zark the {w}" for w in ("cat", "dog", "cow", "hen", "pig")] + [
        f"pat the {w}" for w in ("cat", "dog", "cow", "hen", "pig")
    ]
    fitted = ToxicityLinear(bits=12, l2=1e-3).fit(texts, [1] * 5 + [0] * 5)
    assert isinstance(ToxicityLinear(), Trainable)
    fitted.save(tmp_path / "m.npz", tmp_path / "w.npz")
    again = parse(f"toxicity-linear:model={tmp_path / 'm.npz'},words={tmp_path / 'w.npz'}")
    assert again.identity() == fitted.identity()
    a, b = score_texts(fitted, ["zark the horse", "pat the horse"]).values
    assert a > b
    assert score_texts(again, ["zark the horse"]).values[0] == a
    with pytest.raises(AntivenomError, match="no model"):
        score_texts(ToxicityLinear(), ["text"])
    with pytest.raises(AntivenomError, match="evaluation"):
        ToxicityLinear().fit(texts, [1] * 5 + [0] * 5, evaluation=["ZARK the  cat"])


@pytest.fixture(scope="module")
def sets(shared):
    scripts = str(Path(__file__).resolve().parents[3] / "scripts")
    monkey = pytest.MonkeyPatch()
    monkey.syspath_prepend(scripts)
    evaluation_sets = importlib.import_module("evaluate_toxicity").evaluation_sets
    monkey.undo()

    return evaluation_sets(shared)


def test_it_ranks_rows_of_sets_it_has_not_seen(sets):
    for name, least in (("code review, balanced", 0.77), ("bias madlibs", 0.88)):
        values = score_texts(DefaultToxicity(), sets[name].texts).values
        there = ~np.isnan(values)
        area = auroc(sets[name].labels[there], values[there])
        assert area is not None
        assert area > least


def test_its_training_rows_hold_no_evaluation_row():
    given = packaged_model().meta["given"]
    assert given["copies"] > 0  # the check was made before the fit, and counted
    assert {"in an evaluation set", "nearly in one", "contradictory"} <= given.keys()


def test_a_model_file_of_another_kind_is_refused():
    with pytest.raises(AntivenomError, match="hashed linear"):
        HashedLinear.load(str(files("antivenom.screen") / "weights" / "toxicity_words.npz"))
