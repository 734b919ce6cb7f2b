"""CLIP models of the library open_clip: a local folder, a checkpoint file, or a name with a tag of its hub.

    open_clip_folder("my-clip")         open_clip_config.json beside open_clip_model.safetensors (or .bin, .pt)
    open_clip_named("RN50/openai")      architecture and published tag; needs a network or a filled cache
    open_clip_named("RN50/run/epoch_10.pt")   architecture and a checkpoint file, such as those of CleanCLIP's code
    open_clip_named("RN50")             random weights from a seed, to train from scratch

The model's own tokenizer and pixel preprocessing are used; triggers are applied before them (spec 01, section 7). Checkpoints are
read by safetensors or as plain tensors (`weights_only`): a pickle that wants more is refused. Weights become float32.

open_clip fills what a checkpoint lacks, or stretches its position embeddings, without a word; here every tensor must be there and
have the model's shape. A tag's activation (QuickGELU) is that of its weights, whatever the architecture's file says.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from antivenom.errors import AntivenomError
from antivenom.models.clip import check_images
from antivenom.models.torch_runtime import require_torch, seeded
from antivenom.randomness import derive_seed

__all__ = ["CONFIG", "OpenClip", "check_state", "open_clip_folder", "open_clip_named", "read_weights", "save_open_clip"]

CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
ENDINGS = (".safetensors", ".bin", ".pt", ".pth")
NAMED = 3  # tensors named in a refusal


class OpenClip(nn.Module):
    """A model of open_clip (see `models.clip.Clip`).

    Args:
        model: with `encode_image`, `encode_text`, `logit_scale`.
        tokenizer: of open_clip: texts -> int64 (n, context).
        config: what its folder's `open_clip_config.json` says.
    """

    def __init__(self, model: Any, tokenizer: Any, config: dict[str, Any]):
        super().__init__()
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self.model, self.tokenizer, self.config = model, tokenizer, config
        known = PreprocessCfg.__dataclass_fields__
        given = {k: v for k, v in (config.get("preprocess_cfg") or {}).items() if k in known and v is not None}
        self.preprocess = PreprocessCfg(**(given | {"size": model.visual.image_size}))
        self.transform = image_transform_v2(self.preprocess, is_train=False)

    @property
    def logit_scale(self) -> Any:
        """theta of the inner model."""
        return self.model.logit_scale

    @property
    def logit_bias(self) -> Any:
        """b of SigLIP's form; None for a CLIP."""
        return self.model.logit_bias

    def pixels(self, images: np.ndarray) -> Tensor:
        """uint8 (n, h, w, 3) -> float32 (n, 3, size, size): resized, cropped and normalised as the model's own transform does."""
        images = check_images(images)
        if images.shape[1:3] != self.preprocess.input_size[1:]:
            return torch.stack([self.transform(Image.fromarray(image)) for image in images])  # pyright: ignore
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.preprocess.mean, self.preprocess.std))
        x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
        return (x - mean) / std

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Texts -> int64 (n, context); a long text is cut before its end token, which stays (spec 01, T7)."""
        return self.tokenizer(list(texts))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(n, d), not normalised."""
        return self.model.encode_image(pixels)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(n, d), not normalised."""
        return self.model.encode_text(tokens)

    def untrained(self) -> "OpenClip":
        """The same architecture with random weights, drawn from torch's generator."""
        return OpenClip(_build(self.config["model_cfg"]), self.tokenizer, self.config)


def open_clip_folder(folder: str | Path) -> OpenClip:
    """The CLIP of a local folder, in evaluation mode; nothing is downloaded.

    Raises:
        MissingExtra: when open_clip is not installed.
        AntivenomError: when the folder holds no such model, or weights of another architecture.
    """
    require_torch("a CLIP of open_clip", "open_clip")
    place = Path(folder)
    mend = f"give a local folder with {CONFIG} and its weights, such as {WEIGHTS[0]}"
    try:
        config = json.loads((place / CONFIG).read_bytes())
        architecture = config["model_cfg"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AntivenomError(f"'{folder}' holds no model of open_clip: {_short(error)}", mend) from error
    found = [place / name for name in WEIGHTS if (place / name).is_file()]
    found += sorted(
        (f for f in place.iterdir() if f.suffix in ENDINGS and f not in found),
        key=lambda f: (ENDINGS.index(f.suffix), f),
    )
    if not found:
        raise AntivenomError(f"'{folder}' has {CONFIG} and no weights", mend)
    with _told(f"'{folder}' cannot be loaded", mend):
        from open_clip import get_tokenizer

        model = OpenClip(_build(architecture), get_tokenizer(f"local-dir:{place}"), config)
    return _filled(model, read_weights(found[0]), str(found[0]))


def open_clip_named(name: str, *, seed: int = 0) -> OpenClip:
    """A model by its architecture, with the weights of a tag or of a file, in evaluation mode.

    Args:
        name: `ARCHITECTURE`, `ARCHITECTURE/TAG`, `ARCHITECTURE/FILE`, or `hf-hub:OWNER/NAME`.
        seed: of the random weights where no others are named.

    Raises:
        MissingExtra: when open_clip is not installed.
        AntivenomError: for an unknown name, weights that cannot be fetched, or those of another architecture.
    """
    require_torch("a CLIP of open_clip", "open_clip")
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    if name.startswith("hf-hub:"):
        place = _fetched(name.removeprefix("hf-hub:"), CONFIG).parent
        if not any((place / one).is_file() for one in WEIGHTS):
            _fetched(name.removeprefix("hf-hub:"), *WEIGHTS)
        return open_clip_folder(place)
    architecture, _, source = name.partition("/")
    model_cfg = open_clip.get_model_config(architecture)
    if model_cfg is None:
        known = open_clip.list_models()
        near = [one for one in known if architecture.lower().replace("-", "") in one.lower().replace("-", "")]
        raise AntivenomError(
            f"open_clip has no architecture '{architecture}'", f"it has {', '.join(near[:8] or known[:8])}, ..."
        )
    published = get_pretrained_cfg(architecture, source) if source else {}
    if source and not published and not Path(source).is_file():
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "(none)"
        raise AntivenomError(
            f"'{source}' is no tag of '{architecture}', and no file", f"give a checkpoint, or a tag: {tags}"
        )
    if published.get("quick_gelu"):
        model_cfg["quick_gelu"] = True
    config = {"model_cfg": model_cfg, "preprocess_cfg": published}
    with _told(f"'{name}' cannot be built", "choose another architecture"):
        tokenizer = open_clip.get_tokenizer(architecture)
        with seeded(derive_seed(seed, "open_clip", architecture)):
            model = OpenClip(_build(model_cfg), tokenizer, config)
    model.config["preprocess_cfg"] = asdict(model.preprocess)
    if not source:
        return model.eval()
    path = Path(source) if not published else _published(published, name)
    return _filled(model, read_weights(path), str(path))


def save_open_clip(model: OpenClip, folder: str | Path) -> None:
    """Configuration, weights (safetensors, float32) and tokenizer files, as `open_clip_folder` and open_clip read them."""
    from safetensors.torch import save_file

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    about = {k: v for k, v in asdict(model.preprocess).items() if k != "size"}
    (place / CONFIG).write_text(json.dumps(model.config | {"preprocess_cfg": about}, indent=2, default=list))
    save_file({k: v.detach().cpu().contiguous() for k, v in model.model.state_dict().items()}, place / WEIGHTS[0])
    if hasattr(model.tokenizer, "save_pretrained"):  # open_clip's own tokenizer is a part of the library
        model.tokenizer.save_pretrained(str(place))


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name: of `state_dict` where there is one, without a leading `module.`.

    Raises:
        AntivenomError: for a file that is missing, broken, or holds more than plain tensors and numbers.
    """
    mend = "give a checkpoint of tensors alone; safetensors is the safest"
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader of pickles, of zip files and of safetensors have an error each
        raise AntivenomError(f"the weights '{path}' cannot be read: {_short(error)}", mend) from error
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    tensors = {str(k): v for k, v in found.items() if isinstance(v, Tensor)} if isinstance(found, dict) else {}
    if not tensors:
        raise AntivenomError(f"'{path}' holds no tensors by name", mend)
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def check_state(model: nn.Module, given: dict[str, Tensor], source: str) -> None:
    """Refuse tensors of another architecture.

    Raises:
        AntivenomError: naming the first that are missing, too many, or of another shape.
    """
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in given.items()}
    lists = {
        "missing": sorted(own.keys() - theirs.keys()),
        "not of this architecture": sorted(theirs.keys() - own.keys()),
        "of another shape": [
            f"{n} {theirs[n]}, here {own[n]}" for n in sorted(own.keys() & theirs.keys()) if own[n] != theirs[n]
        ],
    }
    told = [
        f"{len(names)} {what} ({'; '.join(names[:NAMED])}{'; ...' if len(names) > NAMED else ''})"
        for what, names in lists.items()
        if names
    ]
    if told:
        raise AntivenomError(
            f"'{source}' is a checkpoint of another architecture: tensors {', '.join(told)}",
            "name the architecture that it was saved from",
        )


def _build(model_cfg: dict[str, Any]) -> Any:
    """An untrained model, without its towers' published weights."""
    import copy

    import open_clip
    from open_clip.coca_model import CoCa

    given = copy.deepcopy(model_cfg)
    vision, text = given["vision_cfg"], given["text_cfg"]
    vision |= {"timm_model_pretrained": False} if "timm_model_name" in vision else {}
    text |= {"hf_model_pretrained": False} if "hf_model_name" in text else {}
    own_text = given.pop("custom_text", False) or "hf_model_name" in text
    kind = CoCa if "multimodal_cfg" in given else open_clip.CustomTextCLIP if own_text else open_clip.CLIP
    return kind(**given).to(torch.float32)


def _filled(model: OpenClip, given: dict[str, Tensor], source: str) -> OpenClip:
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    inner = model.model
    own = inner.state_dict()
    given = convert_state_dict(inner, given)
    if "positional_embedding" in given and "positional_embedding" not in own:
        given = convert_to_custom_text_state_dict(given)
    # OpenAI's files carry three numbers beside the weights; scalars are saved with and without a dimension
    given = {k: v for k, v in given.items() if k not in ("input_resolution", "context_length", "vocab_size")}
    for name in ("logit_scale", "logit_bias"):
        if name in given and name in own and given[name].numel() == 1:
            given[name] = given[name].reshape(own[name].shape)
    check_state(inner, given, source)
    inner.load_state_dict(given)
    return model.to(torch.float32).eval()


def _published(about: dict[str, Any], name: str) -> Path:
    from open_clip.pretrained import download_pretrained

    hub = about.get("hf_hub", "")
    repository, _, file = hub.rpartition("/")
    if repository:
        return _fetched(repository, *([file] if file else WEIGHTS))
    with _told(f"the weights '{name}' cannot be fetched", _MEND):
        return Path(download_pretrained(about))


_MEND = "they come from the hub: fetch them where there is a network, and give the folder or the file"


def _fetched(repository: str, *files: str) -> Path:
    """The first of these files that the repository has, from the cache or the hub."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    last: Exception | None = None
    for file in files:
        try:
            return Path(hf_hub_download(repository, file))
        except LocalEntryNotFoundError as error:  # there is no network: other files will not be reached either
            last = error
            break
        except Exception as error:  # of the client, of its transport, of the server
            last = error
    raise AntivenomError(f"'{repository}' cannot be fetched: {_short(last)}", _MEND) from last


@contextmanager
def _told(what: str, mend: str) -> Iterator[None]:
    try:
        yield
    except AntivenomError:
        raise
    except Exception as error:  # open_clip asserts, timm and transformers raise what they like
        raise AntivenomError(f"{what}: {_short(error)}", mend) from error


def _short(error: BaseException | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
