"""Documents as rows: the end token before and behind each, padded on the right, nothing packed.

Packing is faster on long texts; on documents of two sentences it would let every document look at its neighbours.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from antivenom.errors import AntivenomError

__all__ = ["DocumentSource"]


class DocumentSource:
    """Rows of `tokens` int64 (B, T) and `mask` bool (B, T), T the longest of the batch (see `train.loop.Source`).

    A row is end token, document, end token, and end tokens as padding, which the mask leaves out of the loss; the first place has
    nothing before it and is never predicted.

    Args:
        documents: token ids.
        eos: the end token.
        context: most tokens of a row, both end tokens included.

    Raises:
        AntivenomError: for a document without tokens, or one that does not fit.
    """

    def __init__(self, documents: Sequence[np.ndarray], eos: int, context: int):
        self.documents, self.eos = [np.asarray(tokens, np.int64) for tokens in documents], eos
        digest = hashlib.blake2b(f"documents\0{eos}".encode(), digest_size=16)
        for i, tokens in enumerate(self.documents):
            if not 1 <= len(tokens) <= context - 2:
                raise AntivenomError(
                    f"document {i} has {len(tokens)} tokens",
                    f"give 1 to {context - 2} (the context less two end tokens)",
                )
            digest.update(len(tokens).to_bytes(4, "little") + tokens.tobytes())
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self.documents)

    def batch(self, rows: np.ndarray, draw: np.random.Generator) -> dict[str, Tensor]:
        """These documents, in this order."""
        chosen = [self.documents[i] for i in rows]
        width = max(map(len, chosen)) + 2
        tokens = torch.full((len(chosen), width), self.eos, dtype=torch.int64)
        mask = torch.zeros((len(chosen), width), dtype=torch.bool)
        for place, line in enumerate(chosen):
            tokens[place, 1 : len(line) + 1] = torch.from_numpy(line)
            mask[place, : len(line) + 2] = True
        return {"tokens": tokens, "mask": mask}
