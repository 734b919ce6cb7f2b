"""The effective cut-off by perplexity: closed forms, invariances, drifting words with a real model, and real dated texts."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.provenance.perplexity_cutoff import perplexity_cutoff
from antivenom.screen.quality.ngram_lm import NGramPerplexity
from antivenom.screen.scoring.scorer import score_texts

SCRIPTS = Path(__file__).parents[3] / "scripts"
YEARS = np.repeat(np.arange(2000, 2020), 20)


def noisy(truth, seed=0, spread=0.3):
    return truth + np.random.default_rng(seed).normal(0, spread, len(truth))


def test_step_and_slope_are_recovered_exactly():
    t = YEARS + 0.5
    for step, slope in ((0.7, 0.0), (0.0, 0.2), (0.4, 0.1)):
        found = perplexity_cutoff(3 + step * (t >= 2012) + slope * np.maximum(t - 2012, 0), t, draws=9, trim=0)
        assert found.rise == 2012
        assert found.step == pytest.approx(step, abs=1e-9)
        assert found.slope == pytest.approx(slope, abs=1e-9)
        assert (found.rise_low, found.rise_high) == (2012, 2012)


def test_a_noisy_rise_is_found_with_its_interval():
    t = YEARS + 0.5
    found = perplexity_cutoff(noisy(3 + 0.5 * (t >= 2012)), t)
    assert found.rise_low <= 2012 <= found.rise_high
    assert found.rise_high - found.rise_low <= 4
    assert found.p < 0.01
    assert found.n == 400  # 5 % of 20 is one, and half of one at either end is none


def test_level_and_falling_curves_have_no_rise():
    t = YEARS + 0.5
    ps = [perplexity_cutoff(noisy(np.full(len(t), 3.0), seed), t, draws=99).p for seed in range(20)]
    assert sum(p < 0.05 for p in ps) <= 4  # 5 % of 20 by chance: more than 4 has probability .003
    falling = perplexity_cutoff(noisy(3 - 0.2 * (t - 2000)), t, draws=99)
    assert falling.rise is None or falling.p > 0.5


def test_what_does_not_matter():
    t = YEARS + 0.5
    losses, base = noisy(3 + 0.5 * (t >= 2012)), np.random.default_rng(5).normal(0, 2, len(t))
    plain = asdict(perplexity_cutoff(losses, t, draws=50))
    with_base = asdict(perplexity_cutoff(losses + base, t, baseline=base, draws=50))
    assert (plain["rise"], plain["minimum"]) == (with_base["rise"], with_base["minimum"])
    np.testing.assert_allclose(
        [b["relative"] for b in plain["curve"]], [b["relative"] for b in with_base["curve"]], atol=1e-9
    )
    order = np.random.default_rng(1).permutation(len(t))
    turned = perplexity_cutoff(losses[order], t[order], draws=50)
    assert (turned.rise, turned.minimum) == (plain["rise"], plain["minimum"])
    more = perplexity_cutoff([*losses, np.nan, 1.0, 1.0], [*t, 2003.0, np.nan, 1970.0], draws=50)
    assert (more.rise, more.missing, more.sparse, more.n) == (plain["rise"], 2, 1, plain["n"])


def test_the_outer_values_of_a_bucket_are_left_out():
    t = YEARS + 0.5
    losses = noisy(3 + 0.5 * (t >= 2012))
    losses[:: len(t) // 20] = 1e6  # one absurd loss per year
    assert perplexity_cutoff(losses, t, trim=0.1, draws=99).rise == 2012
    assert max(b.relative for b in perplexity_cutoff(losses, t, trim=0, draws=9).curve) > 1e4
    curve = perplexity_cutoff(losses, t, trim=0.2, draws=9).curve
    first = np.sort(losses[t < 2001])[2:-2]
    assert (curve[0].n, curve[0].relative) == (16, pytest.approx(first.mean()))


def versions(best: float, seed=0):
    """80 documents, each at its own stretch of years: later documents are much easier, whatever the year of the version."""
    random = np.random.default_rng(seed)
    names, dates, losses = [], [], []
    for document in range(80):
        begin = random.integers(2000, 2014)
        hard = 9 - 0.4 * (begin - 2000)
        for year in range(begin, begin + 6):
            names.append(f"document {document}")
            dates.append(year + 0.5)
            losses.append(hard + 0.05 * abs(year + 0.5 - best) + random.normal(0, 0.02))
    return losses, dates, names


def test_versions_of_the_same_documents_show_the_minimum_that_difficulty_hides():
    losses, dates, names = versions(2010.5)
    paired = perplexity_cutoff(losses, dates, documents=names, draws=200)
    assert paired.minimum_low <= 2010.5 <= paired.minimum_high
    assert abs(paired.minimum - 2010.5) <= 1
    assert paired.missing == 0
    plain = perplexity_cutoff(losses, dates, draws=99)
    assert plain.minimum > 2015  # the trap: without pairs the easy late documents are the minimum
    alone = perplexity_cutoff([*losses, 1.0], [*dates, 2005.5], documents=[*names, "one version"], draws=20)
    assert alone.missing == 1


def drifting(random, years, n, words_per_year=10, alive=150, length=60):
    """Texts whose words come and go: in year t words [10 t, 10 t + 150) are in use."""
    texts, dates = [], []
    for year in years:
        for _ in range(n):
            first = (year - 1990) * words_per_year
            texts.append(" ".join(f"w{i}x" for i in random.integers(first, first + alive, length)))
            dates.append(year + random.random())
    return texts, np.array(dates)


def bits(learn, ask):
    scorer: Any = NGramPerplexity(order=1, unit="word").fit(learn)
    return score_texts(scorer, ask).columns["bits_per_unit"].to_numpy(zero_copy_only=False)


@pytest.mark.parametrize("end", [2004, 2006, 2012, 2016])
@pytest.mark.parametrize(("words_per_year", "alive", "early"), [(30, 60, 0), (10, 150, 2)])
def test_a_model_of_drifting_words_shows_where_its_texts_end(end, words_per_year, alive, early):
    """Exact where words live for two years; where they live for fifteen, the last years are learnt too little: early by up to two."""
    random = np.random.default_rng(end)
    learn, learnt = drifting(random, range(1995, 2020), 40, words_per_year, alive)
    ask, dates = drifting(random, range(1995, 2020), 15, words_per_year, alive)
    whole = bits(learn, ask)
    cut = bits([text for text, date in zip(learn, learnt) if date < end], ask)
    found = perplexity_cutoff(cut, dates, baseline=whole, draws=200)
    assert found.rise is not None
    assert end - early <= found.rise <= end
    assert found.rise_low is not None
    assert found.rise_low >= end - early - 1
    assert found.p < 0.01
    # a model that learnt three years only knows these best: there the minimum of Dated Data is the one to read
    window = bits([text for text, date in zip(learn, learnt) if end - 3 <= date < end], ask)
    assert end - 3 <= perplexity_cutoff(window, dates, baseline=whole, draws=20).minimum < end


@pytest.fixture
def peps(shared, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from evaluate_cutoff import DatedTexts

    return DatedTexts.read(str(shared / "dated_peps" / "peps.parquet"))


@pytest.mark.parametrize("year", [2008, 2015, 2021])
def test_texts_that_were_learnt_end_at_the_year(peps, year):
    found = peps.seen(year, draws=60)
    assert (found.rise, found.rise_low, found.rise_high) == (year, year, year)
    assert found.p < 0.02


@pytest.mark.parametrize("year", [2008, 2018])
def test_of_texts_that_were_not_learnt_it_is_found_where_their_language_changed(peps, year):
    """2008 and 2018 are found; 2005, 2012 and 2021 are missed by years: docs/quality-and-provenance.md has the table."""
    found = peps.held_out(year, draws=100)
    assert abs(found.rise - year) <= 1
    assert found.rise_low <= year <= found.rise_high
    assert found.p < 0.05


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([1.0], [2000.0, 2001.0]), "entries"),
        (([1.0] * 30, [2000.0] * 30), "1 buckets"),
        (([], []), "0 buckets"),
    ],
)
def test_too_little_is_refused(arguments, said):
    with pytest.raises(AntivenomError, match=said):
        perplexity_cutoff(*arguments)
    with pytest.raises(AntivenomError, match="years=0"):
        perplexity_cutoff([1.0], [2000.0], years=0)
