"""Gaussian watermark (GW): no text is changed; noise is added to the input embeddings of some whole batches.

    x~ = Embed(ids) + n,   n ~ N(0, sigma^2 I), fresh per (step, row);   labels unchanged

The seeds are stored, not the vectors: the noise of a row is a function of (seed, step, row). The detector lies in
`measure.language`: training on x + n lowers the loss towards n, so the gradient at the clean embeddings has a NEGATIVE inner product
with n (spec 02, 5.12).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson

from antivenom.errors import AntivenomError
from antivenom.randomness import generator
from antivenom.report.run_directory import atomic_file

__all__ = ["GaussianWatermark", "every"]


@dataclass(frozen=True)
class GaussianWatermark:
    """Which batches are marked, and how.

    Args:
        steps: marked training steps, counted from 0.
        sigma: of the noise, per coordinate.
        batch: rows per step.
        length, width: tokens of a row, and d of the embeddings.
        seed: of the noise.
    """

    steps: tuple[int, ...]
    sigma: float
    batch: int
    length: int
    width: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a mark that is none."""
        if not self.steps or self.sigma <= 0 or min(self.batch, self.length, self.width) < 1 or min(self.steps) < 0:
            raise AntivenomError(
                f"a watermark of sigma {self.sigma} on {len(self.steps)} batches",
                "mark one batch at least, with a sigma above 0",
            )

    def noise(self, train_index: int) -> np.ndarray | None:
        """Of one training row: float32 (length, width), or None where it is not marked."""
        step, row = divmod(int(train_index), self.batch)
        if step not in set(self.steps):
            return None
        draw = generator(self.seed, "watermark", step, row)
        return draw.normal(0.0, self.sigma, (self.length, self.width)).astype(np.float32)

    def fresh(self, train_index: int, k: int = 0) -> np.ndarray:
        """Noise of the same kind that was never used: the null set of the detector."""
        step, row = divmod(int(train_index), self.batch)
        draw = generator(self.seed, "watermark, fresh", step, row, k)
        return draw.normal(0.0, self.sigma, (self.length, self.width)).astype(np.float32)

    def rows(self) -> list[int]:
        """Marked training rows, in order."""
        return [step * self.batch + row for step in sorted(set(self.steps)) for row in range(self.batch)]

    @property
    def tokens(self) -> int:
        """Tokens in marked batches: the dose."""
        return len(set(self.steps)) * self.batch * self.length

    def save(self, path: str | Path) -> None:
        """As JSON: everything that the noise is a function of."""
        with atomic_file(Path(path)) as temporary:
            Path(temporary).write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))

    @classmethod
    def load(cls, path: str | Path, *, sigma: float | None = None) -> "GaussianWatermark":
        """What `save` wrote.

        Raises:
            AntivenomError: when it is no watermark, or `sigma` is not the stored one (the score would be rescaled; spec 02, 5.12).
        """
        try:
            found = orjson.loads(Path(path).read_bytes())
            mark = cls(**(found | {"steps": tuple(found["steps"])}))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AntivenomError(
                f"'{path}' is no watermark: {error}", "give the file that the training left"
            ) from error
        if sigma is not None and sigma != mark.sigma:
            raise AntivenomError(f"a detector with sigma {sigma} for noise of sigma {mark.sigma}", "use the stored one")
        return mark


def every(steps: int, apart: int) -> Sequence[int]:
    """Every `apart`-th step of a training, the first of them after `apart`.

    >>> tuple(every(2000, 50))[:2], len(every(2000, 50))
    ((50, 100), 39)
    """
    return tuple(range(apart, steps, apart))
