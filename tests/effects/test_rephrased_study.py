"""The effect of the first study, at smoke size, with its controls."""

import pytest

from antivenom.studies.frame import run_study


@pytest.mark.slow
def test_rules_see_copies_and_only_retrieval_with_a_judge_sees_paraphrase(tmp_path):
    treatments = ["none", "random", "ngram:n=13", "bm25", "ensemble"]
    result = run_study("rephrased", size="smoke", out=tmp_path / "r", doses=[0.05], treatments=treatments)
    assert not result.failed
    value = {(r["metric"], r["treatment"]): r["value"] for r in result.rows}
    control = {(r["metric"], r["treatment"]): r["control"] for r in result.rows}
    assert value["recall, verbatim", "ngram:n=13"] == 1.0
    assert value["recall, rephrased", "ngram:n=13"] == 0.0
    assert value["recall, rephrased", "ensemble"] >= 0.8
    assert value["recall@5 of retrieval, rephrased", "bm25"] >= 0.9
    assert value["recall, rephrased", "none"] == 0.0
    assert value["recall, rephrased", "random"] <= 0.3
    assert control["recall, rephrased", "ensemble"] <= 0.05  # share of clean rows flagged
    assert (
        value["recall, translated", "ensemble"] <= 0.2
    )  # lexical detectors do not see a translation, and this says so
