"""One door to every CLIP, and the way back: a model is saved in the format that it came in.

| spec | what it is |
|---|---|
| a folder | what it holds: `clip_small.json`, `open_clip_config.json`, or `config.json` of a CLIP of transformers |
| `open_clip:FOLDER`, `transformers:FOLDER` | the same, where a folder holds both |
| `open_clip:RN50`, `open_clip:RN50/openai`, `open_clip:RN50/FILE` | see `models.clip_open.open_clip_named` |
| `small:conv`, `small:vit`, `small:packaged` | a new small CLIP that knows the words of the captions it will be trained on |
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from antivenom.errors import AntivenomError
from antivenom.models.torch_runtime import require_torch

__all__ = ["image_size", "load_clip", "model_format", "save_clip"]

SMALL = "clip_small.json"
FORMS = "a folder, open_clip:NAME, open_clip:FOLDER, transformers:FOLDER, small:conv, small:vit or small:packaged"


def load_clip(spec: str | Path, *, captions: Sequence[str] | None = None, size: int = 32, seed: int = 0) -> Any:
    """A CLIP in evaluation mode (see `models.clip.Clip`).

    Args:
        spec: see the head of this module.
        captions: a new small CLIP knows the words of these, and no others.
        size: of a new small CLIP's images, in pixels.
        seed: of random weights.

    Raises:
        MissingExtra: when torch, transformers or open_clip is needed and not installed.
        AntivenomError: when there is no such model, its weights cannot be fetched or are of another architecture.
    """
    require_torch("a CLIP", "safetensors")
    from antivenom.models.clip_open import open_clip_folder, open_clip_named

    text = str(spec).removeprefix("local-dir:")
    kind, _, rest = text.partition(":")
    if kind == "small" and not Path(text).is_dir():
        return _new_small(rest, captions, size, seed)
    if kind == "open_clip" and rest:
        rest = rest.removeprefix("local-dir:")
        return open_clip_folder(rest) if Path(rest).is_dir() else open_clip_named(rest, seed=seed)
    if kind == "transformers" and rest:
        return _transformers(rest)
    folder = Path(text)
    if not folder.is_dir():
        raise AntivenomError(f"there is no CLIP '{spec}'", f"give {FORMS}")
    form = model_format(folder)
    if form == "small":
        from antivenom.models.clip_small import load_small_clip

        return load_small_clip(folder)
    return open_clip_folder(folder) if form == "open_clip" else _transformers(folder)


def model_format(folder: str | Path) -> str:
    """What a folder holds: `small`, `open_clip` or `transformers`; open_clip's wins where there are both.

    Raises:
        AntivenomError: when it holds none of them.
    """
    place = Path(folder)
    for name, form in ((SMALL, "small"), ("open_clip_config.json", "open_clip"), ("config.json", "transformers")):
        if (place / name).is_file():
            return form
    raise AntivenomError(
        f"'{folder}' holds no CLIP", f"a folder has {SMALL}, open_clip_config.json or config.json beside its weights"
    )


def image_size(model: Any) -> int:
    """The side of the pictures that a model takes, in pixels."""
    if hasattr(model, "preprocess"):
        return int(model.preprocess.input_size[-1])
    if hasattr(model, "processor"):
        size = model.processor.crop_size or model.processor.size
        return int(size["height"] if "height" in size else size["shortest_edge"])
    return int(model.config.size)


def save_clip(model: Any, folder: str | Path) -> str:
    """Save a model in the format it came in; the format's name. The folder appears file by file.

    Raises:
        AntivenomError: for a model of another make.
    """
    from antivenom.models.clip_open import OpenClip, save_open_clip
    from antivenom.models.clip_small import ClipSmall, save_small_clip
    from antivenom.models.clip_transformers import TransformersClip

    if isinstance(model, ClipSmall):
        save_small_clip(model, folder)
        return "small"
    if isinstance(model, OpenClip):
        save_open_clip(model, folder)
        return "open_clip"
    if isinstance(model, TransformersClip):
        for part in (model.model, model.tokenizer, model.processor):
            part.save_pretrained(str(folder))
        return "transformers"
    raise AntivenomError(f"a {type(model).__name__} has no format to be saved in", "save its state_dict yourself")


def _new_small(tower: str, captions: Sequence[str] | None, size: int, seed: int) -> Any:
    from antivenom.models.clip_small import SmallConfig, small_clip

    if not captions:
        raise AntivenomError(
            f"small:{tower} is a new model and has no words yet", "train one first, or give the folder of a trained one"
        )
    longest = max(len(caption.split()) for caption in captions)
    return small_clip(
        captions, config=SmallConfig(tower=tower, size=size), context=min(max(16, longest + 1), 77), seed=seed
    ).eval()


def _transformers(folder: str | Path) -> Any:
    from antivenom.models.clip_transformers import load_transformers_clip

    try:
        kind = json.loads((Path(folder) / "config.json").read_bytes()).get("model_type")
    except (OSError, ValueError, AttributeError):
        kind = None  # the loader says what is wrong with the folder
    if kind not in (None, "clip"):
        raise AntivenomError(
            f"'{folder}' holds a model of type '{kind}', no CLIP",
            "give a folder whose config.json says model_type clip",
        )
    return load_transformers_clip(folder)
