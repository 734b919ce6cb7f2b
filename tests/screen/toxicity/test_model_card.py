"""The model card is what its command makes of the stored figures; false positives by identity mention are counted right."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from antivenom.measure.calibration import subgroup_false_positives
from antivenom.screen.toxicity.default import packaged_model

HOUSE = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HOUSE / "scripts"))
        yield importlib.import_module("evaluate_toxicity")


@pytest.fixture(scope="module")
def records():
    return json.loads((HOUSE / "benchmarks" / "results" / "toxicity.json").read_text())


def test_the_card_is_made_of_the_stored_figures(scripts, records):
    made = scripts.card(records, packaged_model(), scripts.WEIGHTS.stat().st_size)
    assert (HOUSE / "docs" / "model-card-toxicity.md").read_text() == made, (
        "write it again: evaluate_toxicity.py --card"
    )
    record = records["toxicity"]
    for name in record["sets"]["hatecheck"]["functionality"]:
        assert f"| {name} |" in made
    for term in record["sets"]["bias madlibs"]["subgroups"]["terms"]:
        assert f"| {term} |" in made
    assert made.index("## Where it fails") < made.index("## What it is") < made.index("## Ranking")


def test_a_record_of_other_weights_makes_no_card(scripts, records):
    other = records["toxicity"] | {"identity": records["toxicity"]["identity"] | {"weights": "0" * 32}}
    with pytest.raises(ValueError, match="other weights"):
        scripts.card(records | {"toxicity": other}, packaged_model(), 1)


def test_failures_are_said_in_the_figures_own_words(scripts, records):
    failures = importlib.import_module("toxicity_card").failures
    record = json.loads(json.dumps(records["toxicity"]))
    record["sets"]["hatecheck"]["auroc"] |= {"value": 0.8, "low": 0.75, "high": 0.85}
    assert "on HateCheck it is better than chance** (AUROC 0.800 [0.750, 0.850]" in failures(record)
    record["sets"]["hatecheck"]["auroc"] |= {"value": 0.5, "low": 0.45, "high": 0.55}
    assert "at chance" in failures(record)


def test_false_positives_are_counted_by_identity_mention(scripts):
    """Two groups and a name fill the slot of toxic and neutral sentences alike; a scorer that dislikes one group is caught."""
    groups = ("kor", "vel", "bob")
    rows = [(f"i met a {who} person today number {i}", 0) for who in groups for i in range(30)]
    rows += [(f"every {who} must go away number {i}", 1) for who in groups for i in range(30)]
    rows += [(f"the weather is fine on day {i} of the year", i % 2) for i in range(2_000)]
    texts, labels = [text for text, _ in rows], np.array([label for _, label in rows])
    found = scripts.identity_terms(texts, labels)
    assert set(groups) <= found.keys()
    assert not {"person", "must", "weather"} & found.keys()  # of one side only, or in every sentence
    assert [int(found[who].sum()) for who in groups] == [60, 60, 60]
    scores = np.array([0.9 if "kor" in text.split() else 0.1 for text in texts])
    scores[0] = np.nan  # a neutral row of `kor` without a score
    gaps = subgroup_false_positives(labels, scores, {who: found[who] for who in groups}, threshold=0.5)
    assert {who: (rate.successes, rate.n) for who, rate in gaps.groups.items()} == {
        "kor": (29, 29),
        "vel": (0, 30),
        "bob": (0, 30),
    }
    assert gaps.gap == 1.0
