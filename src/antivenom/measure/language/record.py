"""What stands next to every figure of a language model: which model, measured how (spec 02, traps 14 and 22).

A figure without the hash of its weights can belong to any model: a forgotten environment variable once had the base model evaluated
in place of the trained one.
"""

from importlib.metadata import version
from typing import Any

import torch

from antivenom.errors import AntivenomError
from antivenom.models.causal_lm import model_hash

__all__ = ["evaluation_record", "same_evaluation"]


def evaluation_record(model: Any, **settings: Any) -> dict[str, Any]:
    """The weights' hash, what the model is, the settings of the evaluation, device, precision, threads and versions.

    Args:
        model: a `CausalLM`.
        settings: everything else that the figure depends on (batch size, leading end token, seed, tokens, revision ...).
    """
    parameter = next(iter(model.parameters()))
    return {
        "model_hash": model_hash(model),
        "model": model.describe(),
        "settings": dict(sorted(settings.items())),
        "device": str(parameter.device),
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "versions": {"antivenom": version("antivenom"), "numpy": version("numpy"), "torch": torch.__version__},
    }


def same_evaluation(a: dict[str, Any], b: dict[str, Any]) -> None:
    """Refuse to put figures side by side that were measured in different ways; the models may differ.

    Raises:
        AntivenomError: naming the first setting that differs.
    """
    for key in ("settings", "dtype"):
        one, two = a[key], b[key]
        if one != two:
            names = [n for n in sorted({*one, *two}) if one.get(n) != two.get(n)] if isinstance(one, dict) else [key]
            raise AntivenomError(f"two evaluations differ in '{names[0]}'", "measure both arms with the same settings")
