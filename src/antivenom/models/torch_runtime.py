"""torch with a fixed seed and a fixed number of threads, for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from antivenom.errors import MissingExtra

__all__ = ["eval_mode", "require_torch", "seeded", "threads"]


def require_torch(purpose: str, *others: str) -> None:
    """Raise `MissingExtra`, naming the purpose, when torch, or one of the other modules, is not installed."""
    try:
        for name in ("torch", *others):
            import_module(name)
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "models", purpose) from None


@contextmanager
def threads(n: int | None) -> Iterator[None]:
    """torch with n threads (None: as it is), and as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def seeded(seed: int, n_threads: int | None = None) -> Iterator[None]:
    """torch's random numbers from a seed; the caller's own sequence goes on afterwards as if nothing had been drawn."""
    import torch

    with threads(n_threads), torch.random.fork_rng():
        torch.manual_seed(seed % (1 << 63))
        yield


@contextmanager
def eval_mode(model: Any) -> Iterator[None]:
    """The model in evaluation mode and without gradients; every module is back in its own mode afterwards.

    In training mode batch normalisation would use, and move, the statistics of the evaluated batch (spec 01, T15).
    """
    import torch

    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before.items():
            module.training = training
