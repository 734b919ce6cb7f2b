"""Learners in files that cannot run code: skops, with every type that may come out of one named here. Never a pickle."""

from pathlib import Path
from typing import Any

from antivenom.errors import AntivenomError

__all__ = ["TRUSTED", "load_learner", "save_learner"]

TRUSTED = ("sklearn.tree._tree.Tree",)
"""What trees are made of, beside what skops itself trusts (numpy arrays, scikit-learn's estimators)."""
FILE = "learner.skops"


def save_learner(model: Any, folder: Path, name: str = FILE) -> None:
    """Write a fitted scikit-learn estimator."""
    import skops.io

    skops.io.dump(model, Path(folder) / name)


def load_learner(folder: Path, kind: type, name: str = FILE) -> Any:
    """Read it back.

    Raises:
        AntivenomError: when it is absent, damaged, holds a type that is not trusted, or is no `kind`.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    path = Path(folder) / name
    mend = "give a model directory that 'antivenom toxicr train' wrote whole"
    try:
        strange = sorted(set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED))
        if strange:
            raise AntivenomError(f"{path} holds types that are not trusted: {', '.join(strange)}", mend)
        found = skops.io.load(path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        raise AntivenomError(f"{path} holds types that are not trusted: {error}", mend) from error
    except AntivenomError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise AntivenomError(f"{path} cannot be read: {type(error).__name__}: {error}", mend) from error
    if type(found) is not kind:
        raise AntivenomError(f"{path} holds a {type(found).__name__}, not a {kind.__name__}", mend)
    return found
