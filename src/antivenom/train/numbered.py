"""Rows that know their place: what an objective needs that treats some rows of the data differently."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Numbered"]


class Numbered:
    """A source (see `train.loop.Source`) whose batches also hold `rows`, int64 (n,): their places in the data."""

    def __init__(self, source: Any):
        self.source, self.fingerprint = source, source.fingerprint

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """The source's batch of these rows, and `rows`."""
        return self.source.batch(rows, draw) | {"rows": torch.from_numpy(np.asarray(rows, np.int64))}
