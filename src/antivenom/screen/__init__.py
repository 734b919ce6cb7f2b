"""Find bad data in a corpus.

>>> from antivenom.screen import screen_corpus, explain            # doctest: +SKIP
>>> screen_corpus("corpus.jsonl", ["humaneval"], "run").counts     # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from antivenom.screen.explanation import explain
    from antivenom.screen.run import ScreenResult, screen_corpus

__all__ = ["ScreenResult", "explain", "screen_corpus"]

HOMES = {"ScreenResult": "run", "screen_corpus": "run", "explain": "explanation"}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used."""
    import importlib

    if name not in HOMES:
        raise AttributeError(f"module 'antivenom.screen' has no attribute '{name}'")
    return getattr(importlib.import_module(f"antivenom.screen.{HOMES[name]}"), name)
