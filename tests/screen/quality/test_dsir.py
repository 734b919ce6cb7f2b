"""DSIR: the formula by hand, batches, files - and it tells the target from the raw texts."""

import math
import pickle
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from antivenom.data.words import hash_words
from antivenom.errors import AntivenomError
from antivenom.screen.quality.dsir import DSIR, _features
from antivenom.screen.scoring.scorer import Scorer, Trainable, score_texts

TARGET = ["the proof of the lemma follows", "a lemma and a proof of it", "the theorem has a proof"]
RAW = ["buy the shoes now", "cheap shoes and a bag", "click to buy it"]
LABELS = [1, 1, 1, 0, 0, 0]


@pytest.fixture(scope="module")
def fitted():
    return DSIR(buckets=1 << 20).fit(TARGET + RAW, LABELS)  # so many buckets that no two features share one


def grams(text):
    words = text.split()
    return Counter(words) + Counter(pairwise(words))


def by_hand(text):
    target, raw = sum(map(grams, TARGET), Counter()), sum(map(grams, RAW), Counter())
    return sum(
        n * (math.log(target[f] / target.total() + 1e-8) - math.log(raw[f] / raw.total() + 1e-8))
        for f, n in grams(text).items()
    )


def test_the_formula(fitted):
    texts = ["the proof of the shoes", "buy a lemma", "unseen words only", "the", *TARGET, *RAW]
    scores = score_texts(fitted, texts)
    assert scores.values == pytest.approx([by_hand(text) for text in texts], rel=1e-5)
    assert scores.columns["features"].to_pylist() == [grams(text).total() for text in texts]


def test_per_feature_does_not_grow_with_length(fitted, tmp_path):
    fitted.save(tmp_path / "d.npz")
    mean = DSIR(model=str(tmp_path / "d.npz"), per="feature")
    one, two = score_texts(mean, ["proof " * 10, "proof " * 1_000]).values
    assert one == pytest.approx(two, rel=0.2)
    summed = score_texts(fitted, ["proof " * 10, "proof " * 1_000]).values
    assert summed[1] > 50 * summed[0]
    assert mean.identity().key != fitted.identity().key


def test_no_pair_reaches_into_the_next_text():
    table = hash_words(pa.array(["a b", "", "c", "d e f"], pa.large_string()))
    features, owner = _features(table, 1 << 20)
    assert owner.tolist() == [0, 0, 2, 3, 3, 3, 0, 3, 3]
    alone = _features(hash_words(pa.array(["d e f"], pa.large_string())), 1 << 20)[0]
    assert features[owner == 3].tolist() == alone.tolist()
    backwards = _features(hash_words(pa.array(["b a"], pa.large_string())), 1 << 20)[0]
    assert set(backwards.tolist()) & set(features[owner == 0].tolist()) == set(
        features[:2].tolist()
    )  # pairs have an order


def test_batches_files_and_pickles_change_nothing(fitted, tmp_path):
    texts = [*TARGET, "", *RAW]
    together = score_texts(fitted, texts).values
    assert np.array_equal(together, np.concatenate([score_texts(fitted, [t]).values for t in texts]), equal_nan=True)
    fitted.save(tmp_path / "a.npz")
    DSIR(buckets=1 << 20).fit((TARGET + RAW)[::-1], LABELS[::-1]).save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = pickle.loads(pickle.dumps(DSIR(model=str(tmp_path / "a.npz"))))
    assert back.identity() == fitted.identity()
    assert np.array_equal(score_texts(back, texts).values, together, equal_nan=True)


def test_unseen_text_of_the_target_scores_higher(fitted):
    good, bad = score_texts(fitted, ["a proof of the theorem", "buy cheap shoes now"]).values
    assert good > 0 > bad
    assert fitted.identity().higher_is == "better"
    assert isinstance(fitted, Scorer)
    assert isinstance(fitted, Trainable)


def test_words_explain_the_sum(fitted):
    text = "buy the proof"
    found = fitted.explain(text)
    assert sum(e.weight for e in found) == pytest.approx(by_hand(text))
    assert {e.what: e.weight > 0 for e in found} | {"the": None} == {"buy": False, "proof": True, "the": None}
    assert fitted.explain("") == []


def test_what_cannot_be_done_is_said(fitted, tmp_path):
    scores = score_texts(fitted, ["", "!!"])
    assert np.isnan(scores.values).all()
    assert scores.reasons == ["cannot score: no letters or digits"] * 2
    with pytest.raises(AntivenomError, match="both sides"):
        DSIR().fit(["a", "b"], [1, 1])
    with pytest.raises(AntivenomError, match="evaluation texts"):
        DSIR().fit(TARGET + RAW, LABELS, evaluation=[RAW[0]])
    with pytest.raises(AntivenomError, match="has no model"):
        score_texts(DSIR(), ["a"])
    with pytest.raises(AntivenomError, match="per is"):
        DSIR(per="word")
    np.savez(tmp_path / "bad.npz", counts=np.zeros((2, 4)))
    with pytest.raises(AntivenomError, match="no DSIR"):
        score_texts(DSIR(model=str(tmp_path / "bad.npz")), ["a"])


def test_news_from_encyclopaedia(shared):
    import gzip

    import pyarrow.parquet as pq

    from antivenom.measure.detection import auroc

    with gzip.open(shared / "text_wikitext2" / "wiki.valid.txt.gz", "rt", encoding="utf-8") as lines:
        wiki = [line for line in lines if len(line) > 300][:1_000]
    news = pq.read_table(shared / "text_agnews" / "agnews_test.parquet").column("description").to_pylist()[:1_000]
    fitted = DSIR(per="feature").fit(wiki[::2] + news[::2], [1] * len(wiki[::2]) + [0] * len(news[::2]))
    values = score_texts(fitted, wiki[1::2] + news[1::2]).values
    assert auroc([1] * len(wiki[1::2]) + [0] * len(news[1::2]), values) > 0.9
