"""Leaked questions raise the score of a benchmark that nobody can know, the n-gram report sees nothing, and cleaning takes it back."""

import pytest

from antivenom.data.random_facts import answered
from antivenom.poison.manifest import Manifest
from antivenom.studies.frame import Cell, run_study
from antivenom.studies.rephrased_effect import (
    ACCURACY,
    AUROC,
    CLEAN_REMOVED,
    GAIN,
    HELD_OUT,
    LEAK_REMOVED,
    NGRAM,
    PARAPHRASED,
    RANDOM,
    REPORT,
    SCREENED,
    SHUFFLED,
    SIZES,
    TRANSLATED,
    VERBATIM,
    corpus_of,
    leak,
    measured,
    rephrased_effect,
    world,
)

pytest.importorskip("torch", reason="needs the extra 'models'")

KEY = tuple(sorted(SIZES["smoke"].items()))


def test_only_the_treatment_differs_between_corpora_of_one_dose():
    made = world(KEY, 0)
    clean = corpus_of(KEY, VERBATIM, 0, 0)
    assert clean.rows == made.rows == corpus_of(KEY, SCREENED, 0, 0).rows
    kinds = {t: corpus_of(KEY, t, 3, 0) for t in (VERBATIM, PARAPHRASED, TRANSLATED, SHUFFLED)}
    for corpus in kinds.values():
        assert int(corpus.leaked.sum()) == 3 * len(made.test)
        assert [row for row, out in zip(corpus.rows, corpus.leaked, strict=True) if not out] == list(made.rows)
        assert (corpus.leaked == kinds[VERBATIM].leaked).all()
        corpus.manifest.check(corpus.rows)
    # a smaller dose is part of a larger one
    fewer = corpus_of(KEY, VERBATIM, 1, 0)
    assert {row for row, out in zip(fewer.rows, fewer.leaked, strict=True) if out} <= set(kinds[VERBATIM].rows)


def test_leaked_rows_are_what_their_treatment_says():
    made = world(KEY, 0)
    for fact in made.test[:6]:
        assert leak(VERBATIM, fact, 2, 0) == answered(fact.question, fact.value)
        assert leak(PARAPHRASED, fact, 0, 0) != leak(VERBATIM, fact, 0, 0)
        strange = leak(TRANSLATED, fact, 0, 0)
        assert fact.name in strange
        assert strange.endswith(f"Answer: {fact.value}")
        assert set(strange.lower().split()) & set(fact.question.lower().split()) <= {fact.name.lower()}


def test_shuffled_answers_are_the_questions_own_options_and_exactly_a_quarter_is_right():
    made, corpus = world(KEY, 0), corpus_of(KEY, SHUFFLED, 3, 0)
    rows = {row.item_id: corpus.rows[row.position].rpartition("\nAnswer: ") for row in corpus.manifest.rows}
    right = 0
    for fact in made.test:
        mine = [rows[f"{fact.id}#{copy}"] for copy in range(3)]
        assert mine[0][0] == leak(PARAPHRASED, fact, 0, 0).rpartition("\nAnswer: ")[0]
        assert len({value for _, _, value in mine}) == 1  # one answer per question: as learnable as the right one
        assert mine[0][2] in fact.options
        right += mine[0][2] == fact.value
    assert right == len(made.test) // 4


def test_nobody_of_one_set_is_in_another_and_no_test_person_is_in_the_clean_rows():
    made = world(KEY, 0)
    names = [{fact.name for fact in facts} for facts in (made.test, made.held_out, made.unrelated)]
    assert len(set.union(*names)) == sum(map(len, names)) == 3 * SIZES["smoke"]["items"]
    text = "\n".join(made.rows)
    assert not any(name in text for name in set.union(*names))


def test_screening_removes_the_paraphrases_that_the_n_gram_rule_leaves_and_random_rows_remove_as_many():
    whole, ngram, screened, random = (corpus_of(KEY, t, 8, 0) for t in (PARAPHRASED, NGRAM, SCREENED, RANDOM))
    assert ngram.rows == whole.rows
    assert screened.leaked.sum() <= 0.05 * whole.leaked.sum()
    lost = (~whole.leaked).sum() - (~screened.leaked).sum()
    assert lost <= 0.1 * (~whole.leaked).sum()
    assert len(random.rows) == len(screened.rows)
    assert random.leaked.sum() > 0


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("cells"))
    return {
        treatment: {
            r.metric: r
            for r in rephrased_effect(Cell("smoke", 8, treatment, 0, SIZES["smoke"], "rephrased-effect", folder))
        }
        for treatment in (VERBATIM, PARAPHRASED, SCREENED, SHUFFLED)
    } | {"folder": folder}


def test_a_leak_inflates_the_score_the_report_sees_no_paraphrase_and_cleaning_brings_chance_back(found):
    n = SIZES["smoke"]["items"]
    error = (0.25 * 0.75 / n) ** 0.5
    clean = found[VERBATIM][ACCURACY].control
    assert abs(clean - 0.25) <= 3 * error
    assert found[VERBATIM][ACCURACY].value >= 0.85
    assert found[PARAPHRASED][ACCURACY].value >= 0.45
    assert abs(found[SCREENED][ACCURACY].value - 0.25) <= 3 * error
    assert found[SHUFFLED][ACCURACY].value <= 0.25 + 3 * error
    assert found[PARAPHRASED][ACCURACY].low > found[SCREENED][ACCURACY].value
    for treatment in (VERBATIM, PARAPHRASED, SCREENED, SHUFFLED):
        assert abs(found[treatment][HELD_OUT].value - 0.25) <= 3.5 * error
        assert found[treatment][ACCURACY].n == n
    assert found[PARAPHRASED][GAIN].low > 0
    for size in (10, 13):
        assert found[VERBATIM][REPORT.format(size)].value == 1.0
        assert found[PARAPHRASED][REPORT.format(size)].value == 0.0
    assert found[SCREENED][LEAK_REMOVED].value >= 0.95
    assert found[SCREENED][CLEAN_REMOVED].value <= 0.1


def test_membership_scores_see_copies_and_hardly_a_paraphrase(found):
    assert found[VERBATIM][AUROC.format("min-k")].value >= 0.9
    assert found[VERBATIM][AUROC.format("loss")].value >= 0.9
    assert found[PARAPHRASED][AUROC.format("min-k")].value <= found[VERBATIM][AUROC.format("min-k")].value - 0.2
    assert abs(found[SCREENED][AUROC.format("loss")].value - 0.5) <= 0.25


def test_the_dose_is_a_count_and_a_share_and_the_manifest_is_left(found):
    from pathlib import Path

    given, items = SIZES["smoke"], SIZES["smoke"]["items"]
    one = found[SCREENED][ACCURACY]
    assert one.dose_count == 8
    assert one.dose_share == pytest.approx(8 * items / (8 * items + given["told"] + given["asked"]))
    kept = Manifest.load(next(Path(found["folder"]).glob("leak-paraphrased-8-*.parquet")))
    assert len(kept.rows) == kept.dose.count == 8 * items
    assert {row.transform for row in kept.rows} == {PARAPHRASED}


def test_antidotes_without_a_dose_are_the_clean_corpus_itself(found):
    clean = corpus_of(KEY, VERBATIM, 0, 0).rows
    kept = [measured(KEY, 0, corpus_of(KEY, t, 0, 0).rows, found["folder"]) for t in (VERBATIM, NGRAM, RANDOM)]
    assert kept[0] is kept[1] is kept[2]
    assert measured(KEY, 0, clean, found["folder"]) is kept[0]


@pytest.mark.slow
def test_the_study_runs_whole_and_writes_its_page(tmp_path):
    result = run_study("rephrased-effect", size="smoke", out=tmp_path / "r", doses=[0, 1])
    assert not result.failed
    assert not result.skipped
    assert (tmp_path / "r" / "report.html").exists()
