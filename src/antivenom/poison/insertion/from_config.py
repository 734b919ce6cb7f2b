"""From a configuration to a plan: the sources are read, the stream is opened, everything is checked and placed.

seed = 0                        of the places
stream = "FOLDER"               a token stream; without it, give run.length, run.steps and eos
tokenizer = "FOLDER"            for texts
[run]                           batch, length, steps, seed (of the training), mode, epochs, repetition_filter
[experiments.NAME]              one of: texts, tokens, python, watermark; and what is said of it (docs/insertion-plans.md)
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antivenom.data.token_stream import TokenStream
from antivenom.errors import AntivenomError
from antivenom.poison.insertion.order import training_rows
from antivenom.poison.insertion.plan import Plan
from antivenom.poison.insertion.planner import plan
from antivenom.poison.insertion.sequences import Sequences
from antivenom.poison.insertion.shape import Range, RunShape
from antivenom.poison.insertion.sources import from_function, read_items
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark, every
from antivenom.poison.lm_experiments.material import Material

__all__ = ["Planned", "planned"]

TOP = {"seed", "stream", "tokenizer", "eos", "run", "experiments", "allow_dropped", "allow_masked"}
RUN = {"batch", "length", "steps", "seed", "mode", "epochs", "repetition_filter"}
KINDS = ("texts", "tokens", "python", "watermark", "material")
OF_ALL = {"repetitions", "range", "window", "wrap", "controls"}
OF_FILES = {"field", "id_field", "condition_field", "condition", "placed"}
KEYS = {
    "texts": OF_ALL | OF_FILES,
    "tokens": OF_ALL | OF_FILES,
    "python": (OF_ALL | {"arguments", "seed", "count"}) - {"controls"},
    "material": OF_ALL - {"controls", "window"},
    "watermark": set(),
}


@dataclass(frozen=True)
class Planned:
    """A plan, and the stream and the training's seed that it is for."""

    plan: Plan
    stream: TokenStream | None
    seed: int


def planned(config: dict[str, Any], folder: str | Path = ".") -> Planned:
    """Plan what a configuration says; its paths are relative to `folder`.

    Raises:
        AntivenomError: for a setting that is unknown or missing, and for all that `plan` refuses.
    """
    _known(config, TOP, "the plan file")
    run = config.get("run", {})
    _known(run, RUN, "[run]")
    base = Path(folder)
    tokenizer = None
    if name := config.get("tokenizer"):
        from antivenom.models.tokenizers_lm import load_tokenizer

        tokenizer = load_tokenizer(base / name)
    stream = None
    if name := config.get("stream"):
        stream = TokenStream.open(base / name, tokenizer=tokenizer.fingerprint if tokenizer else None)
    shape, epochs, order_seed = _shape(run, stream), int(run.get("epochs", 1)), int(run.get("seed", 0))
    eos = config.get("eos", tokenizer.eos if tokenizer else stream.eos if stream else None)
    if eos is None:
        raise AntivenomError("the plan file names no end token", "give eos = NUMBER, a stream or a tokenizer")
    masked = None
    if run.get("repetition_filter"):
        if stream is None:
            raise AntivenomError("the repetition filter reads the stream", "give stream = FOLDER")
        masked = training_rows(stream.repeated(), seed=order_seed, batch=shape.batch, epochs=epochs)
        masked = masked[masked < shape.rows]
    settings: dict[str, dict[str, Any]] = {key: {} for key in ("ranges", "repetitions", "wrap", "marks")}
    materials = []
    seed = int(config.get("seed", 0))
    experiments: dict[str, Any] = config.get("experiments") or {}
    for name, said in experiments.items():
        if isinstance(said, GaussianWatermark):
            settings["marks"][name] = said
            continue
        given: dict[str, Any] = {"material": said} if isinstance(said, (Material, Sequences)) else said
        made = _experiment(name, given, base, tokenizer.encode if tokenizer else None, shape, seed)
        if isinstance(made, GaussianWatermark):
            settings["marks"][name] = made
            continue
        materials.append(made)
        if "range" in given:
            settings["ranges"][name] = _range(name, given["range"])
        for condition, part in given.get("window", {}).items():
            settings["ranges"][f"{name}/{condition}"] = _range(name, part)
        for key in ("repetitions", "wrap"):
            if key in given:
                settings[key][name] = given[key]
    if not materials and not settings["marks"]:
        raise AntivenomError("the plan file has no experiment", "write [experiments.NAME] tables")
    found = plan(
        materials, shape, seed=seed, eos=int(eos), mode=run.get("mode", "replace"), masked_rows=masked,
        ranges=settings["ranges"], repetitions=settings["repetitions"], wrap=settings["wrap"], marks=settings["marks"],
        allow_dropped=bool(config.get("allow_dropped", False)), allow_masked=bool(config.get("allow_masked", False)),
    )  # fmt: skip
    if stream is not None and len(found.tokens) and int(found.tokens.max()) >= stream.vocab_size:
        raise AntivenomError(
            f"the items have the token {int(found.tokens.max())}, the stream's vocabulary {stream.vocab_size:,}",
            "tokenise them with the stream's tokenizer",
        )
    return Planned(found, stream, order_seed)


def _known(found: Any, known: set[str], where: str) -> None:
    if not isinstance(found, dict):
        raise AntivenomError(f"{where} is no table", "write NAME = VALUE lines")
    if unknown := set(found) - known:
        raise AntivenomError(f"{where} has '{min(unknown)}'", f"known: {', '.join(sorted(known))}")


def _shape(run: dict[str, Any], stream: TokenStream | None) -> RunShape:
    if "batch" not in run:
        raise AntivenomError("the plan file says no run.batch", "give the rows of a step")
    batch, epochs = int(run["batch"]), int(run.get("epochs", 1))
    if stream is None:
        if missing := {"length", "steps"} - set(run):
            raise AntivenomError(f"the plan file says no run.{min(missing)}", "give it, or stream = FOLDER")
        return RunShape(batch, int(run["length"]), int(run["steps"]))
    most = len(stream) // batch * epochs
    shape = RunShape(batch, int(run.get("length", stream.length)), int(run.get("steps", most)) if most else 1)
    if shape.length != stream.length or shape.steps > most:
        raise AntivenomError(
            f"a run of {shape} on a stream of {len(stream):,} rows of {stream.length} tokens",
            f"it gives {most:,} steps",
        )
    return shape


def _range(name: str, given: Any) -> Range:
    if isinstance(given, (list, tuple)) and len(given) == 2:
        return Range(*given)
    if isinstance(given, dict) and set(given) <= {"begin", "end", "unit"} and {"begin", "end"} <= set(given):
        return Range(**given)
    raise AntivenomError(f"the range {given} of '{name}'", "give [begin, end] as shares, or begin, end and unit")


def _experiment(
    name: str, given: Any, base: Path, encode: Any, shape: RunShape, seed: int
) -> Material | Sequences | GaussianWatermark:
    kinds = [kind for kind in KINDS if isinstance(given, dict) and kind in given]
    if len(kinds) != 1:
        raise AntivenomError(f"[experiments.{name}] names {len(kinds)} sources", f"give one of: {', '.join(KINDS[:4])}")
    kind = kinds[0]
    _known(given, KEYS[kind] | {kind}, f"[experiments.{name}]")
    if kind == "material":
        return given["material"]
    if kind == "watermark":
        return _watermark(name, given["watermark"], shape)
    if kind == "python":
        arguments = dict(given.get("arguments", {}))
        return from_function(
            name,
            given["python"],
            arguments,
            seed=int(given.get("seed", seed)),
            encode=encode,
            count=given.get("count"),
            folder=base,
        )
    if kind == "texts" and encode is None:
        raise AntivenomError(f"'{name}' is a file of texts", "give tokenizer = FOLDER")
    how = {key: given[key] for key in OF_FILES - {"placed"} if key in given}
    reading = {"encode": encode if kind == "texts" else None, **how}
    items, places = read_items(name, base / given[kind], placed=bool(given.get("placed")), batch=shape.batch, **reading)
    controls = read_items(f"{name}-control", base / given["controls"], **reading)[0] if "controls" in given else []
    return Material(name, tuple(items), tuple(controls), places=places)


def _watermark(name: str, given: Any, shape: RunShape) -> GaussianWatermark:
    _known(given, {"steps", "every", "sigma", "width", "seed"}, f"[experiments.{name}.watermark]")
    if ("steps" in given) == ("every" in given) or not {"sigma", "width"} <= set(given):
        raise AntivenomError(f"the watermark '{name}' is not whole", "give sigma, width, and either steps or every")
    steps = tuple(given["steps"]) if "steps" in given else tuple(every(shape.steps, given["every"]))
    return GaussianWatermark(
        steps, given["sigma"], shape.batch, shape.length, given["width"], int(given.get("seed", 0))
    )
