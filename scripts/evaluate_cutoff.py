"""Does the perplexity of dated texts find where a model's training data end?

python scripts/evaluate_cutoff.py ../shared/data/dated_peps/peps.parquet

For each year Y a word bigram model learns the texts created before Y, and `perplexity_cutoff` looks for Y in its losses:
`seen`: on all texts, those it learnt among them, without a baseline; `held out`: it learns half of the texts before Y, drawn at
random, and is asked of the other half, with a model that learnt the first half of all years as baseline.
The halves are drawn several times.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from antivenom.randomness import generator
from antivenom.screen.provenance.dates import decimal_year
from antivenom.screen.provenance.perplexity_cutoff import PerplexityCutoff, perplexity_cutoff
from antivenom.screen.quality.ngram_lm import NGramPerplexity
from antivenom.screen.scoring.scorer import score_texts

YEARS = (2005, 2008, 2012, 2015, 2018, 2021)


@dataclass(frozen=True)
class DatedTexts:
    """Texts, their decimal years, and which half they are in."""

    texts: list[str]
    dates: np.ndarray
    half: np.ndarray

    @classmethod
    def read(cls, path: str, *, seed: int = 0) -> "DatedTexts":
        """A Parquet file with the columns `text` and `created` (ISO days)."""
        table = pq.read_table(path, columns=["text", "created"])
        dates = np.array([decimal_year(str(day)[:10]) for day in table.column("created").to_pylist()])
        half = generator(seed, "cut-off halves").permutation(len(dates)) < len(dates) // 2
        return cls(table.column("text").to_pylist(), dates, half)

    def bits(self, learn: np.ndarray, ask: np.ndarray) -> np.ndarray:
        """Bits per word of the texts `ask` under a bigram model of the texts `learn`."""
        model = NGramPerplexity(order=2, unit="word").fit([self.texts[i] for i in np.flatnonzero(learn)])
        scores = score_texts(model, [self.texts[i] for i in np.flatnonzero(ask)])
        return scores.columns["bits_per_unit"].to_numpy(zero_copy_only=False)

    def seen(self, year: int, **options) -> PerplexityCutoff:
        """All texts, those learnt among them."""
        everything = np.ones(len(self.dates), bool)
        return perplexity_cutoff(self.bits(self.dates < year, everything), self.dates, **options)

    def held_out(self, year: int, **options) -> PerplexityCutoff:
        """Texts that were not learnt, with a baseline."""
        ask = ~self.half
        losses = self.bits(self.half & (self.dates < year), ask)
        return perplexity_cutoff(losses, self.dates[ask], baseline=self.bits(self.half, ask), **options)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--splits", type=int, default=10, help="random halves, for `held out`")
    options = parser.parse_args()
    data = DatedTexts.read(options.path)
    print("seen\n\n| trained before | n | rise | p | minimum |\n|---|---|---|---|---|")
    for year in YEARS:
        c = data.seen(year, draws=options.draws)
        low = f"{c.minimum:.1f} [{c.minimum_low:.1f}, {c.minimum_high:.1f}]"
        print(f"| {year} | {c.n} | {c.rise:.0f} [{c.rise_low:.0f}, {c.rise_high:.0f}] | {c.p:.3f} | {low} |")
    splits = [DatedTexts.read(options.path, seed=seed) for seed in range(options.splits)]
    print(f"\nheld out, {len(splits)} random halves\n")
    print(
        "| trained before | rise, median (least to most) | intervals that hold the year | width, median | minimum, median |"
    )
    print("|---|---|---|---|---|")
    for year in YEARS:
        found = [half.held_out(year, draws=options.draws) for half in splits]
        rises = [(c.rise, c.rise_low, c.rise_high) for c in found if c.rise is not None]
        at = [rise for rise, _, _ in rises]
        hold = sum(low <= year <= high for _, low, high in rises)
        width = np.median([high - low for _, low, high in rises])
        low = np.median([c.minimum for c in found])
        middle = f"{np.median(at):g} ({min(at):.0f} to {max(at):.0f})"
        print(f"| {year} | {middle} | {hold} of {len(found)} | {width:.1f} | {low:g} |")


if __name__ == "__main__":
    main()
