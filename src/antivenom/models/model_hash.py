"""Which weights are these: one hash for a model, or for its state without the model (spec 02, trap 22)."""

import hashlib
from collections.abc import Mapping
from typing import Any

__all__ = ["model_hash", "state_hash"]


def model_hash(model: Any) -> str:
    """Hash of all weights and buffers by name, 16 hex digits: which model a figure belongs to."""
    return state_hash(model.state_dict())


def state_hash(state: Mapping[str, Any]) -> str:
    """`model_hash` of the model with this state: names, shapes, types and bytes, in the order of the names."""
    import torch

    digest = hashlib.blake2b(digest_size=8)
    for name, value in sorted(state.items()):
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}\0{tuple(value.shape)}\0{value.dtype}\0".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
