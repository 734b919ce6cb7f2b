"""ToxiCR's evaluation: no fold sees its test rows, checks come first, runs resume, pairs are of the same folds."""

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from antivenom.data.duplicates import duplicate_groups
from antivenom.data.sample_reviews import sample_reviews
from antivenom.errors import AntivenomError
from antivenom.measure.folds import make_folds, paper_seeds
from antivenom.measure.thresholds import choose_threshold, inner_scores
from antivenom.measure.toxicr import evaluation, setups
from antivenom.measure.toxicr.across import evaluate_across
from antivenom.measure.toxicr.comparison import ablate, compare_evaluations, holm, paired
from antivenom.measure.toxicr.evaluation import Labelled, evaluate
from antivenom.measure.toxicr.setups import STEPS, Learner, Setup
from antivenom.measure.toxicr.tuning import tune
from antivenom.randomness import derive_seed
from antivenom.screen.toxicr.vectorizers import TextFeatures

LR = Setup("lr", options={"min_df": 2})
MADE = sample_reviews(300, copied=0.4, seed=1)
DATA = Labelled(MADE.texts, np.asarray(MADE.labels, np.int64))
UNIQUE = sample_reviews(240, copied=0.0, seed=2)
PLAIN = Labelled(
    [f"{text} mark{chr(97 + i // 26)}{chr(97 + i % 26)}" for i, text in enumerate(UNIQUE.texts)],
    np.asarray(UNIQUE.labels, np.int64),
)


class Leaking(Learner):
    """What must not be: terms are learned from every row there is."""

    everything = PLAIN

    def fit(self, texts, labels):
        processed, counts = self.transform(texts)
        whole, all_counts = self.transform(self.everything.texts)
        real = TextFeatures.fit_transform

        def leaky(features, given, given_counts):
            real(features, whole, all_counts)
            return features.transform(given, given_counts)

        TextFeatures.fit_transform = leaky
        try:
            self.model.fit(processed, np.asarray(labels).tolist(), counts, seed=self.seed)
        finally:
            TextFeatures.fit_transform = real


def fold_scores(data, out):
    evaluate(data, [LR], out, folds=3)
    return pq.read_table(out / "scores.parquet").column("lr T/F/F|grouped|0").to_numpy()


@pytest.mark.parametrize("leak", [False, True])
def test_what_a_fold_tests_changes_nothing_in_what_it_learns(tmp_path, monkeypatch, leak):
    """Half of a fold's test rows become other texts: the scores of the other half stay, bit for bit - unless it leaks (T17)."""
    fold = make_folds("grouped", PLAIN.labels, np.arange(240), k=3, seeds=paper_seeds(1))[0]
    changed, watched = fold.test[::2], fold.test[1::2]
    texts = list(PLAIN.texts)
    for i in changed:
        texts[i] = (
            f"please rename the loop in the scheduler, honestly, it leaks memory mark{chr(97 + i // 26)}{chr(97 + i % 26)}"
        )
    other = Labelled(texts, PLAIN.labels)
    if leak:
        monkeypatch.setattr(setups, "Learner", Leaking)
    before = fold_scores(PLAIN, tmp_path / "a")
    monkeypatch.setattr(Leaking, "everything", other)
    after = fold_scores(other, tmp_path / "b")
    assert bool((before[watched] == after[watched]).all()) is not leak


def test_terms_and_preprocessing_of_a_fold_come_from_its_training_rows(tmp_path, monkeypatch):
    learned, prepared = [], []
    fit, transform = TextFeatures.fit_transform, Learner.transform

    def fit_spy(self, texts, counts):
        learned.append(list(texts))
        return fit(self, texts, counts)

    def transform_spy(self, texts):
        prepared.append(list(texts))
        return transform(self, texts)

    monkeypatch.setattr(TextFeatures, "fit_transform", fit_spy)
    monkeypatch.setattr(Learner, "transform", transform_spy)
    evaluate(PLAIN, [LR], tmp_path / "e", folds=3)
    folds = make_folds("grouped", PLAIN.labels, np.arange(240), k=3, seeds=paper_seeds(1))
    assert len(learned) == 3
    assert len(prepared) == 6
    for n, fold in enumerate(folds):
        assert prepared[2 * n] == [PLAIN.texts[i] for i in fold.train]  # before fitting: these and no others
        assert prepared[2 * n + 1] == [PLAIN.texts[i] for i in fold.test]
        marks = {word for text in learned[n] for word in text.split() if word.startswith("mark")}
        assert marks == {PLAIN.texts[i].split()[-1] for i in fold.train}


def test_preprocessing_is_a_function_of_one_text():
    """Which is why what it made of a text may be kept from fold to fold."""
    known = {}
    whole, counts = Learner(LR, 0, known).transform(DATA.texts)
    alone = [Learner(LR, 0).transform([text]) for text in DATA.texts[:40]]
    assert [texts[0] for texts, _ in alone] == whole[:40]
    assert np.array_equal([c[0] for _, c in alone], counts[:40])
    other = Learner(LR.with_steps("F/T/T"), 0, known).transform(["see parseThing return"])[0]
    assert other == ["see parse thing"]
    assert Learner(LR, 0, known).transform(["see parseThing return"])[0] != other  # steps have a memory each


def test_checks_are_told_before_anything_is_fitted_and_again_when_it_is_all_there(tmp_path, monkeypatch):
    log = []
    fit = Learner.fit
    monkeypatch.setattr(Learner, "fit", lambda self, *rows: (log.append("fit"), fit(self, *rows))[1])
    for _ in range(2):
        evaluate(DATA, [LR], tmp_path / "e", protocols=("grouped", "random"), folds=3, tell=log.append)
    first = log.index("fit")
    told = log[:first]
    assert log.count("fit") == 6  # the second call fits nothing
    assert any("rows in" in line and "groups of copies" in line for line in told)
    assert any("near-duplicates" in line for line in told)
    assert any(line.startswith("grouped folds (3): 0 %") for line in told)
    assert any("random folds - LEAK" in line for line in told)
    assert log[first + 6 :] == told


def without_clock(folder):
    found = orjson.loads((folder / "evaluation.json").read_bytes())
    for entry in found["entries"]:
        entry["figures"].pop("seconds")
        for record in entry["records"]:
            record.pop("seconds")
    return found


def test_an_evaluation_that_was_stopped_goes_on(tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    evaluate(DATA, [LR, Setup("lexicon")], whole, folds=3, repeats=2)
    fit, count = Learner.fit, []

    def stops(self, *rows):
        count.append(1)
        if len(count) == 5:
            raise KeyboardInterrupt
        return fit(self, *rows)

    monkeypatch.setattr(Learner, "fit", stops)
    part = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        evaluate(DATA, [LR, Setup("lexicon")], part, folds=3, repeats=2)
    assert len(list(part.glob("folds/*/fold-*.json"))) == 4
    evaluate(DATA, [LR, Setup("lexicon")], part, folds=3, repeats=2)
    assert len(count) == 5 + 8  # four of twelve folds were kept
    assert without_clock(part) == without_clock(whole)
    assert (part / "scores.parquet").read_bytes() == (whole / "scores.parquet").read_bytes()
    with pytest.raises(AntivenomError, match="differs in: folds"):
        evaluate(DATA, [LR, Setup("lexicon")], part, folds=4, repeats=2)


def test_figures_are_those_of_the_folds(tmp_path):
    found = evaluate(DATA, [LR, Setup("scorer:lexicon")], tmp_path / "e", folds=3, errors=True)
    for entry in found["entries"]:
        values = [record["f1_1"] for record in entry["records"]]
        assert entry["figures"]["f1_1"]["mean"] == pytest.approx(np.mean(values))
        assert (
            0
            <= entry["figures"]["f1_1"]["low"]
            <= entry["figures"]["f1_1"]["mean"]
            <= entry["figures"]["f1_1"]["high"]
            <= 1
        )
    table = pq.read_table(tmp_path / "e" / "scores.parquet")
    scores, labels = table.column("lr T/F/F|grouped|0").to_numpy(), table.column("label").to_numpy()
    assert not np.isnan(scores).any()
    wrong = [orjson.loads(line) for line in (tmp_path / "e" / "errors-lr_TFF-grouped.jsonl").read_bytes().splitlines()]
    assert len(wrong) == int(((scores >= 0.5) != labels).sum()) > 0
    assert [abs(w["score"] - w["label"]) for w in wrong] == sorted(
        (abs(w["score"] - w["label"]) for w in wrong), reverse=True
    )
    csv = (
        tmp_path / "e" / "grouped" / "cross-validation-LR-tfidf-profane-True-keyword-False-split-False.csv"
    ).read_text()
    assert csv.splitlines()[0].startswith("algo,embedding,profane,keyword,split")
    assert len(csv.splitlines()) == 4
    assert "scorer" in found["entries"][1]["setup"]  # who scored is on record


def test_what_cannot_be_evaluated_is_refused_before_anything_is_fitted(tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "fit", None)
    for given, said in (
        ([], "nothing to evaluate"),
        ([Setup("nope")], "no algorithm 'nope'"),
        ([LR, Setup("nope")], "no algorithm 'nope'"),
        ([Setup("scorer:nope")], "no scorer 'nope'"),
        ([Setup("scorer:gopher")], "how toxic"),
        ([LR, LR], "named twice"),
    ):
        with pytest.raises(AntivenomError, match=said):
            evaluate(DATA, given, tmp_path / "e", folds=3)
    with pytest.raises(AntivenomError, match="repeats"):
        evaluate(DATA, [LR], tmp_path / "e", repeats=0)
    few = Labelled(DATA.texts[:9], np.array([1, 0, 0, 0, 0, 0, 0, 0, 1]))
    with pytest.raises(AntivenomError, match="only 2 rows have label 1"):
        evaluate(few, [LR], tmp_path / "e", folds=3)
    assert not (tmp_path / "e").exists()


def test_near_copies_stay_together_when_asked(tmp_path):
    words = "the quick patch moves all of the old parser code into one new helper file and then drops it"
    texts = list(PLAIN.texts[:60]) + [f"{words} {end}" for end in ("now", "here", "soon", "then", "please", "again")]
    labels = np.r_[PLAIN.labels[:60], [1, 1, 1, 0, 0, 0]]
    for near, share in ((None, 1), (0.8, 0)):
        found = evaluate(Labelled(texts, labels), [Setup("lexicon")], tmp_path / str(near), folds=3, near=near)
        assert found["checks"]["near_rows"] == 6
        assert (found["checks"]["protocols"]["grouped"]["near_twin_share"] > 0) is bool(share)


def test_all_steps_against_the_base(tmp_path):
    found = ablate(DATA, LR, tmp_path / "a", folds=3)
    assert [entry["name"] for entry in found["entries"]] == [f"lr {steps}" for steps in STEPS]
    base, *others = found["entries"]
    effects = {(e["name"], e["metric"]): e for e in found["effects"]}
    assert len(effects) == 7 * 3
    for entry in others:
        gained = entry["figures"]["f1_1"]["mean"] - base["figures"]["f1_1"]["mean"]
        assert effects[entry["name"], "f1_1"]["difference"] == pytest.approx(gained)
        assert effects[entry["name"], "f1_1"]["p_holm"] >= effects[entry["name"], "f1_1"]["p"]
    with pytest.raises(AntivenomError, match="no preprocessing steps"):
        ablate(DATA, Setup("scorer:lexicon"), tmp_path / "b")
    with pytest.raises(AntivenomError, match="several protocols"):
        ablate(DATA, LR, tmp_path / "b", protocols=("grouped", "random"))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, None, 0.4]) == pytest.approx([0.8, None, 0.8])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_pairs_without_a_figure_are_missing_and_not_equal():
    assert paired([{"f1_1": 0.1}, {"f1_1": None}], [{"f1_1": 0.1}, {"f1_1": 0.1}], "f1_1", 0.5)["p"] is None


def test_two_evaluations_are_compared_on_the_same_folds_only(tmp_path):
    one, two, other = tmp_path / "one", tmp_path / "two", tmp_path / "other"
    evaluate(DATA, [LR, Setup("lexicon")], one, folds=3)
    evaluate(DATA, [Setup("lr", options={"min_df": 2, "c": 0.001}), Setup("majority")], two, folds=3)
    rows = compare_evaluations(one / "evaluation.json", two)
    assert {(r["a"], r["b"]) for r in rows} == {("lr T/F/F", "lr T/F/F")}
    found = next(r for r in rows if r["metric"] == "auroc")
    assert found["difference"] == pytest.approx(found["b_mean"] - found["a_mean"])
    rare = next(r for r in rows if r["metric"] == "f1_1")["mcnemar"]
    a, b = (pq.read_table(f / "scores.parquet").column("lr T/F/F|grouped|0").to_numpy() for f in (one, two))
    first = np.unique(MADE.groups, return_index=True)[1]
    right = [(side[first] >= 0.5) == DATA.labels[first] for side in (a, b)]
    assert (rare["only_a"], rare["only_b"]) == (int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum()))
    named = compare_evaluations(one, two, first="lexicon", second="majority")
    assert {(r["a"], r["b"]) for r in named} == {("lexicon T/F/F", "majority T/F/F")}
    same = compare_evaluations(one, one)
    assert {(r["a"], r["b"]) for r in same} == {("lr T/F/F", "lexicon T/F/F")}
    zero = compare_evaluations(one, one, first="lr", second="lr")
    assert {(r["difference"], r["p"]) for r in zero} == {(0, 1)}
    for options, said in (
        ({"folds": 4}, "differ \\(k\\)"),
        ({"seed": 1}, "differ \\(seeds\\)"),
    ):
        evaluate(DATA, [LR], other, **({"folds": 3} | options), overwrite=True)
        with pytest.raises(AntivenomError, match=said):
            compare_evaluations(one, other)
    flipped = DATA.labels.copy()
    flipped[[int(np.argmax(flipped)), int(np.argmin(flipped))]] = [0, 1]
    evaluate(Labelled(DATA.texts, flipped), [LR], other, folds=3, overwrite=True)
    with pytest.raises(AntivenomError, match="the comments"):
        compare_evaluations(one, other)
    evaluate(DATA, [LR], other, folds=3, protocols=("random",), overwrite=True)
    with pytest.raises(AntivenomError, match="has grouped folds"):
        compare_evaluations(one, other)
    with pytest.raises(AntivenomError, match="no 'svm'"):
        compare_evaluations(one, two, first="svm")
    with pytest.raises(AntivenomError, match="in one evaluation only"):
        compare_evaluations(one, two, first="lexicon")
    (tmp_path / "broken.json").write_text("[1")
    for path in (tmp_path / "broken.json", tmp_path / "none"):
        with pytest.raises(AntivenomError, match="cannot"):
            compare_evaluations(one, path)


def test_across_files_shared_rows_are_out_and_copies_count_once(tmp_path):
    fresh = sample_reviews(120, copied=0.0, seed=9)
    texts = [*DATA.texts[:30], *fresh.texts, *(text.upper() for text in fresh.texts[:10])]
    held = Labelled(texts, np.r_[DATA.labels[:30], fresh.labels, fresh.labels[:10]].astype(np.int64))
    told = []
    found = evaluate_across(DATA, held, [LR, Setup("scorer:lexicon")], tmp_path / "x", tell=told.append)
    table = pq.read_table(tmp_path / "x" / "scores.parquet")
    assert set(table.column("position").to_pylist()) <= set(range(31, 151))
    assert any(line.startswith("LEAK: ") for line in told)
    assert f"tested on {len(table)} of 160 rows" in told[-1]
    figure = found["entries"][0]["figures"]["f1_1"]
    assert figure["low"] <= figure["mean"] <= figure["high"]
    assert figure["n"] == len(table)
    with pytest.raises(AntivenomError, match="every test row"):
        evaluate_across(DATA, Labelled(DATA.texts[:9], DATA.labels[:9]), [LR], tmp_path / "y")
    with pytest.raises(AntivenomError, match="no folds to pair"):
        compare_evaluations(tmp_path / "x", tmp_path / "x")


def test_a_choice_does_not_see_the_test_rows_it_is_measured_on(tmp_path):
    fold = make_folds("grouped", PLAIN.labels, np.arange(240), k=3, seeds=paper_seeds(1))[1]
    texts = list(PLAIN.texts)
    for i in fold.test:
        texts[i] = f"this is garbage, blorf, thanks, well done mark{chr(97 + i // 26)}{chr(97 + i % 26)}"
    options = {"folds": 3, "grid": {"c": [0.01, 1.0]}}
    before = tune(PLAIN, LR, tmp_path / "a", **options)
    after = tune(Labelled(texts, PLAIN.labels), LR, tmp_path / "b", **options)
    assert before["choices"][1] == after["choices"][1]
    assert before["choices"][0] != after["choices"][0]  # there these rows are training


def test_tuning_takes_what_is_best_on_inner_rows_and_reaches_its_goal_there(tmp_path):
    values = [0.001, 1, 30]
    found = tune(DATA, LR, tmp_path / "f", folds=3, grid={"c": values})
    folds = make_folds("grouped", DATA.labels, duplicate_groups(DATA.texts), k=3, seeds=paper_seeds(1))
    for fold, choice in zip(folds, found["choices"], strict=True):
        drawn = derive_seed(999, "inner folds", 0, fold.number)
        texts, y = [DATA.texts[i] for i in fold.train], DATA.labels[fold.train]
        reached = {}
        for c in values:
            arm = Setup("lr", options={"min_df": 2, "c": c})
            reached[c] = choose_threshold(
                y, inner_scores(lambda arm=arm, drawn=drawn: arm.make(drawn), texts, y, seed=drawn)
            )
        best = max(values, key=lambda c: reached[c].reached)
        assert choice["options"]["c"] == best
        assert choice["threshold"] == reached[best].value
    assert set(found["figures"]) == {"as given, 0.5", "chosen, 0.5", "chosen, tuned"}
    recall = tune(DATA, LR, tmp_path / "r", goal="recall=0.9", folds=3)
    assert all(choice["reached"] >= 0.9 for choice in recall["choices"])
    assert all(choice["options"] == {} for choice in recall["choices"])
    assert recall["figures"]["as given, 0.5"] == recall["figures"]["chosen, 0.5"]
    ends = [f[end] for arm in recall["figures"].values() for f in arm.values() for end in ("low", "high")]
    assert (min(ends) >= 0, max(ends)) == (True, 1.0)  # a share's t interval over three folds, cut at 1
    assert recall["threshold"] == np.median([choice["threshold"] for choice in recall["choices"]])
    recalls = [row["recall_1"] for row in recall["curve"]]
    assert recalls == sorted(recalls, reverse=True)  # a higher threshold never finds more
    again = tune(DATA, LR, tmp_path / "r", goal="recall=0.9", folds=3)
    assert again == recall
    with pytest.raises(AntivenomError, match="the goal"):
        tune(DATA, LR, tmp_path / "z", goal="beauty")
    with pytest.raises(AntivenomError, match="no options to choose"):
        tune(DATA, Setup("scorer:lexicon"), tmp_path / "z", grid={"c": [1]})


def test_tuning_that_was_stopped_goes_on(tmp_path, monkeypatch):
    whole = tune(DATA, LR, tmp_path / "whole", folds=3)
    fit, count = Learner.fit, []

    def stops(self, *rows):
        count.append(1)
        if len(count) == 5:  # in the inner folds of the second fold
            raise KeyboardInterrupt
        return fit(self, *rows)

    monkeypatch.setattr(Learner, "fit", stops)
    with pytest.raises(KeyboardInterrupt):
        tune(DATA, LR, tmp_path / "part", folds=3)
    found = tune(DATA, LR, tmp_path / "part", folds=3)
    assert len(count) == 5 + 6 + 6  # six inner fits are left of nine, and twice three outer ones
    for key in ("choices", "curve", "gain", "threshold"):
        assert found[key] == whole[key]


def test_names_of_files_are_apart():
    names = ["lr T/F/F", "lr F/F/F", "scorer:toxicity", "scorer:toxicity:window=9", "scorer:toxicity window=9"]
    assert len({evaluation.file_name(name) for name in names}) == len(names)
    assert all(c.isalnum() or c in "+-_" for name in names for c in evaluation.file_name(name))
