"""What is asked of labelled texts before anything learns from them: copies, contradictions, leaks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from antivenom.data.duplicates import duplicate_groups, refuse_overlap
from antivenom.errors import AntivenomError

__all__ = ["distinct_labelled", "require_model"]


def distinct_labelled(
    texts: Sequence[str], labels: Sequence[Any], evaluation: Sequence[str] | None = None
) -> tuple[list[str], np.ndarray, dict[str, int]]:
    """Each text once, and how many rows that took away.

    A text with copies counts once; one whose copies carry different labels is left out: nothing can be learnt from it.

    Args:
        texts: one per row.
        labels: one per row.
        evaluation: texts a score will be taken on; none of them may be among `texts`.

    Returns:
        texts, their labels, and {"rows", "copies", "contradictory"}.

    Raises:
        AntivenomError: for labels that do not fit the texts, and for evaluation texts among the training texts.
    """
    if len(texts) != len(labels):
        raise AntivenomError(f"{len(texts)} texts and {len(labels)} labels", "give one label per text")
    if evaluation is not None:
        refuse_overlap(texts, evaluation)
    groups = duplicate_groups(texts)
    y = np.asarray(labels)
    first = np.unique(groups, return_index=True)[1]
    agree = np.ones(len(first), bool)
    agree[np.unique(groups[y != y[first][groups]])] = False
    kept = first[agree]
    record = {"rows": len(texts), "contradictory": int((~agree).sum())}
    record["copies"] = len(texts) - len(first)
    return [str(texts[i]) for i in kept], y[kept], record


def require_model(model: str, name: str, learn: str) -> str:
    """The path of a scorer's model file.

    Raises:
        AntivenomError: when none was named: no scorer scores with weights nobody chose.
    """
    if not model:
        raise AntivenomError(f"the scorer '{name}' has no model", f"give one with {name}:model=FILE, or {learn}")
    return model
