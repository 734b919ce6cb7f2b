"""Training order and storage order: which row of the file the training sees when (spec 02, 2.2, trap 6).

    order of epoch e = generator(seed, "order", e).permutation(n)       the loader's, see `train.loop`
    training row t   = step * batch + row                               storage row = order[t mod (steps per epoch * batch)]

The rows that fill no batch are left out of an epoch.
"""

import numpy as np

from antivenom.errors import AntivenomError
from antivenom.randomness import generator

__all__ = ["olmo_order", "storage_order", "training_rows"]


def storage_order(n: int, *, seed: int, batch: int, epochs: int = 1) -> np.ndarray:
    """int64: the storage row of every training row, epoch after epoch.

    Raises:
        AntivenomError: when the rows fill no batch.
    """
    used = n // batch * batch
    if not used:
        raise AntivenomError(f"{n} rows do not fill a batch of {batch}", "give more rows or a smaller batch")
    return np.concatenate([generator(seed, "order", epoch).permutation(n)[:used] for epoch in range(epochs)])


def training_rows(stored: np.ndarray, *, seed: int, batch: int, epochs: int = 1) -> np.ndarray:
    """Training rows, sorted, of the storage rows where `stored` (bool, one per storage row) is true."""
    stored = np.asarray(stored, bool)
    return np.flatnonzero(stored[storage_order(len(stored), seed=seed, batch=batch, epochs=epochs)])


def olmo_order(n: int, *, seed: int, epoch: int = 0) -> np.ndarray:
    """int64 (n,): the `global_indices` of OLMo's loader, for exports that it reads (spec 02, 2.2): PCG64 of seed + epoch, shuffled."""
    indices = np.arange(n)
    np.random.Generator(np.random.PCG64(seed + epoch)).shuffle(indices)
    return indices
