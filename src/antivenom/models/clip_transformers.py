"""A CLIP of the library transformers from a local folder, behind the same five names as every other (see `models.clip`).

The folder's own tokenizer and image processor are used; triggers are applied before the processor (spec 01, section 7).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from antivenom.errors import AntivenomError, MissingExtra
from antivenom.models.clip import check_images

__all__ = ["TransformersClip", "load_transformers_clip"]


class TransformersClip(nn.Module):
    """A `CLIPModel` with its tokenizer and its image processor."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any):
        super().__init__()
        self.model, self.tokenizer, self.processor = model, tokenizer, processor
        self.context: int = model.config.text_config.max_position_embeddings

    @property
    def logit_scale(self) -> Any:
        """theta of the inner model."""
        return self.model.logit_scale

    def pixels(self, images: np.ndarray) -> Tensor:
        """uint8 (n, h, w, 3) -> what the folder's image processor makes of them."""
        found = self.processor(
            images=list(check_images(images)), return_tensors="pt", input_data_format="channels_last"
        )
        return found["pixel_values"]

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Texts -> int64 (n, context); a long text is cut before its end token, which stays (spec 01, T7)."""
        found = self.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self.context, return_tensors="pt"
        )
        return found["input_ids"]

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(n, d), not normalised."""
        found = self.model.get_image_features(pixel_values=pixels)
        return getattr(found, "pooler_output", found)  # transformers 5 wraps it

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(n, d), not normalised.

        Pads may have the end token's number (OpenAI's folders). Text looks backwards only and is read at the first end
        token, so that no mask is needed; those of other folders get one.
        """
        pad, end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        mask = None if pad in (end, None) else (tokens != pad).long()
        found = self.model.get_text_features(input_ids=tokens, attention_mask=mask)
        return getattr(found, "pooler_output", found)


def load_transformers_clip(folder: str | Path) -> TransformersClip:
    """The CLIP of a local folder, in evaluation mode; nothing is downloaded.

    Raises:
        MissingExtra: when transformers is not installed.
        AntivenomError: when the folder holds no CLIP model with a tokenizer and an image processor.
    """
    try:
        from transformers import AutoTokenizer, CLIPModel
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    except ImportError as error:
        raise MissingExtra(error.name or "transformers", "models", "a CLIP from a folder") from None
    mend = "give a local folder with config.json, model.safetensors, a tokenizer and preprocessor_config.json"
    if not Path(folder).is_dir():
        raise AntivenomError(f"there is no folder '{folder}'", mend)
    try:
        found: Any = CLIPModel.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
        model, loading = found
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        processor = CLIPImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise AntivenomError(f"'{folder}' cannot be loaded: {str(error).splitlines()[0]}", mend) from error
    _check_loading(loading, folder)
    config: Any = model.config
    known = config.text_config.vocab_size
    if len(tokenizer) > known:
        raise AntivenomError(f"the tokenizer of '{folder}' has {len(tokenizer)} tokens, its model {known}", mend)
    return TransformersClip(model, tokenizer, processor).to(torch.float32).eval()


def _check_loading(loading: Any, folder: str | Path) -> None:
    # transformers draws tensors that are missing at random and goes on with a warning
    lists = {
        "missing": [str(name) for name in loading["missing_keys"]],
        "not of this architecture": [str(n) for n in loading["unexpected_keys"] if not str(n).endswith("position_ids")],
        "of another shape": [str(one[0] if isinstance(one, tuple) else one) for one in loading["mismatched_keys"]],
    }
    told = [f"{len(names)} {what} ({'; '.join(sorted(names)[:3])})" for what, names in lists.items() if names]
    if told:
        raise AntivenomError(
            f"'{folder}' has the weights of another architecture: tensors {', '.join(told)}",
            "give the config.json that the weights were saved with",
        )
