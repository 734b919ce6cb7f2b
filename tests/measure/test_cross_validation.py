"""Cross-validation: no fold sees its test rows, checks come before scores, folds resume, copies flatter a memory."""

import numpy as np
import orjson
import pytest

from antivenom.data.duplicates import duplicate_groups, normal_key
from antivenom.errors import AntivenomError
from antivenom.measure.cross_validation import compare, cross_validate
from antivenom.measure.folds import Fold, make_folds

TEXTS = [f"{'Comment' if i % 2 else 'comment'} {i // 2} {'bad' if (i // 2) % 4 == 0 else 'good'}" for i in range(400)]
LABELS = np.array([int((i // 2) % 4 == 0) for i in range(400)])
GROUPS = duplicate_groups(TEXTS)


class Spy:
    """Remembers what it was given; answers from memory, else the share of class 1."""

    log: list = []  # noqa: RUF012

    def fit(self, texts, labels):
        self.known = {normal_key(t): int(y) for t, y in zip(texts, labels, strict=True)}
        self.share, self.texts = float(np.mean(labels)), list(texts)
        Spy.log.append(self)

    def predict_proba(self, texts):
        self.asked = list(texts)
        return np.array([self.known.get(normal_key(t), self.share) for t in texts], float)


@pytest.fixture(autouse=True)
def empty_log():
    Spy.log = []


def run(kind="grouped", k=5, **more):
    folds = make_folds(kind, LABELS, GROUPS, k=k, seeds=[1312, 9303])
    return cross_validate(lambda fold: Spy(), TEXTS, LABELS, folds, **{"tell": None, **more}), folds


def test_no_fold_sees_its_test_rows_when_it_is_fitted():
    _, folds = run("random")
    assert len(Spy.log) == len({id(spy) for spy in Spy.log}) == 10  # a new estimator for each
    for spy, fold in zip(Spy.log, folds, strict=True):
        assert spy.texts == [TEXTS[i] for i in fold.train]
        assert spy.asked == [TEXTS[i] for i in fold.test]
        assert not set(spy.texts) & set(spy.asked)  # the rows themselves differ in case, so no row is on both sides
    Spy.log = []
    run("grouped", threshold="f1")
    outer = [spy for spy in Spy.log if len(spy.texts) == 320]
    assert len(outer) == 10
    assert len(Spy.log) == 40  # and three inner ones per fold
    for spy in Spy.log:  # in grouped folds, inner ones too, no copy either
        assert not {normal_key(t) for t in spy.texts} & {normal_key(t) for t in spy.asked}


def test_copies_flatter_a_memory_and_grouped_folds_do_not():
    random, grouped = run("random")[0], run("grouped")[0]
    assert (random.over_folds("f1_1").mean or 0) > 0.8
    assert grouped.over_folds("f1_1").mean == 0
    assert random.checks.leaks
    assert not grouped.checks.leaks
    assert [r["twin_share"] for r in grouped.records] == [0] * 10
    assert "LEAK" in random.lines()[4]
    assert random.lines()[5].startswith("mean over 10 folds")


def test_checks_are_told_and_recorded_before_the_first_fit(tmp_path):
    told = []

    class Late(Spy):
        def fit(self, texts, labels):
            assert any("LEAK" in line for line in told)
            assert orjson.loads((tmp_path / "checks.json").read_bytes())["duplicate_groups"] == 200
            super().fit(texts, labels)

    folds = make_folds("random", LABELS, GROUPS, k=5, seeds=[1])
    cross_validate(lambda fold: Late(), TEXTS, LABELS, folds, tell=told.append, out=tmp_path, about={"name": "late"})
    assert len(Spy.log) == 5


def test_folds_resume(tmp_path):
    made = []

    class Stops(Spy):
        def fit(self, texts, labels):
            if len(made) == 4 and not (tmp_path / "go on").exists():
                raise KeyboardInterrupt
            made.append(1)
            super().fit(texts, labels)

    folds = make_folds("grouped", LABELS, GROUPS, k=5, seeds=[1312, 9303])

    def go(**more):
        given = {"out": tmp_path, "about": {"name": "spy"}, "tell": None} | more
        return cross_validate(lambda fold: Stops(), TEXTS, LABELS, folds, **given)

    with pytest.raises(KeyboardInterrupt):
        go()
    assert len(list(tmp_path.glob("fold-*.json"))) == 4
    (tmp_path / "go on").touch()
    (tmp_path / "fold-0-02.json").write_text("{ cut off")
    found = go()
    assert len(made) == 4 + 1 + 6
    whole, _ = run()
    assert np.array_equal(found.scores, whole.scores)
    strip = [{k: v for k, v in r.items() if k != "seconds"} for r in found.records]
    assert strip == [{k: v for k, v in r.items() if k != "seconds"} for r in whole.records]
    assert go().records == found.records
    assert len(made) == 11
    for change in ({"about": {"name": "other"}}, {"threshold": "f1"}):
        with pytest.raises(AntivenomError, match="fold of other rows"):
            go(**change)


def test_pooled_scores_cover_every_row_once_per_repeat():
    found, folds = run()
    assert found.scores.shape == (2, 400)
    assert not np.isnan(found.scores).any()
    pooled = found.pooled(1)
    assert pooled.n == 400
    total = sum(r["recall_1"] * LABELS[f.test].sum() for r, f in zip(found.records[5:], folds[5:], strict=True))
    assert pooled.counts.true_positive == round(total)


def test_the_papers_file_and_the_paired_tests(tmp_path):
    random, grouped = run("random")[0], run("grouped")[0]
    random.write_csv(tmp_path / "cv.csv", algo="SPY")
    lines = (tmp_path / "cv.csv").read_text().splitlines()
    assert len(lines) == 11
    assert lines[1].startswith("SPY,,,,,,0,1,")
    tests = compare(grouped, grouped)
    assert [t.p for t in tests] == [1, 1, 1]
    assert compare(grouped, random, "accuracy")[0].name == "corrected resampled t"
    other, _ = run("grouped", k=4)
    with pytest.raises(AntivenomError, match="different folds"):
        compare(grouped, other)


def test_folds_that_test_on_training_rows_are_refused():
    bad = Fold(0, 1, np.arange(300), np.arange(299, 400))
    with pytest.raises(AntivenomError, match="fold 1 tests on 1 of its own training rows"):
        cross_validate(lambda fold: Spy(), TEXTS, LABELS, [bad], tell=None)
    with pytest.raises(AntivenomError, match="no fold"):
        cross_validate(lambda fold: Spy(), TEXTS, LABELS, [])
    with pytest.raises(ValueError, match="about"):
        run(out="x")
    assert not Spy.log


def test_unscored_rows_are_missing_and_a_target_out_of_reach_flags_nothing():
    class Silent(Spy):
        def predict_proba(self, texts):
            p = super().predict_proba(texts)
            p[0] = np.nan
            return p

    folds = make_folds("grouped", LABELS, GROUPS, k=5, seeds=[1])
    found = cross_validate(lambda fold: Silent(), TEXTS, LABELS, folds, tell=None, threshold="precision=0.99")
    assert [r["missing"] for r in found.records] == [1] * 5
    assert np.isnan(found.scores).sum() == 5
    assert found.records[0]["threshold_tuned"] is None
    assert found.records[0]["f1_1_tuned"] == 0


def test_the_texts_are_left_as_they_are():  # spec 11, T10
    before = list(TEXTS)
    run()
    assert before == TEXTS
