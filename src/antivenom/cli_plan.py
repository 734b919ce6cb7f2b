"""`antivenom plan`: put many experiments into one training run; look at, compare, export and take apart such a plan."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from antivenom.errors import AntivenomError

__all__ = ["register"]

plan = App(name="plan", help="Insertion plans: many data experiments inside one training run.")
MANY = Annotated[list[str] | None, Parameter(consume_multiple=True)]


def register(app: App, group: Group) -> None:
    """Add the verbs."""
    plan.group = group
    app.command(plan)


@plan.command
def make(
    config: Path, *, out: Path | None = None, dry_run: bool = False, set: MANY = None, conditions: bool = False
) -> int:
    """Plan what a file says; print what goes in, its share of the run, collisions and dropped items.

    Parameters
    ----------
    config:
        A plan file: .toml, .yaml or .py (see docs/insertion-plans.md).
    out:
        The plan to write: .parquet, or .json to read it yourself.
    dry_run:
        Write nothing.
    set:
        Overrides: `run.steps=100 experiments.bc.repetitions=1.5`.
    conditions:
        A line per condition, too.
    """
    from antivenom.poison.insertion.config import read_config
    from antivenom.poison.insertion.from_config import planned
    from antivenom.poison.insertion.plan_file import save_plan
    from antivenom.poison.insertion.summary import table
    from antivenom.terminal_plan import print_plan, print_written

    if (out is None) == (not dry_run):
        raise AntivenomError("a plan is written, or it is not", "give --out FILE or --dry-run")
    found = planned(read_config(config, set or ()), config.parent).plan
    print_plan(found, table(found), conditions=conditions)
    if out is not None:
        save_plan(found, out)
        print_written("plan", out)
    return 0


@plan.command
def show(file: Path, *, conditions: bool = False) -> int:
    """The table of a plan.

    Parameters
    ----------
    file:
        A plan.
    conditions:
        A line per condition, too.
    """
    from antivenom.poison.insertion.plan_file import load_plan
    from antivenom.poison.insertion.summary import table
    from antivenom.terminal_plan import print_plan

    found = load_plan(file)
    print_plan(found, table(found), conditions=conditions)
    return 0


@plan.command
def owner(file: Path, *, step: int, row: int, column: int) -> int:
    """Whose token stands at a place of the training.

    Parameters
    ----------
    file:
        A plan.
    step:
        Of the training, from 0.
    row:
        Of the batch, from 0.
    column:
        Of the row, from 0.
    """
    from antivenom.poison.insertion.plan_file import load_plan
    from antivenom.terminal_plan import print_owner

    found = load_plan(file)
    shape = found.shape
    if not (0 <= step < shape.steps and 0 <= row < shape.batch and 0 <= column < shape.length):
        raise AntivenomError(f"step {step}, row {row}, column {column} is not in {shape}", "give a place of the run")
    print_owner(found.owner(step, row, column), step, row, column)
    return 0


@plan.command
def diff(a: Path, b: Path) -> int:
    """What plan B does differently from plan A; exit code 1 when there is a difference.

    Parameters
    ----------
    a:
        A plan.
    b:
        Another.
    """
    from antivenom.poison.insertion.plan_file import load_plan
    from antivenom.poison.insertion.summary import difference
    from antivenom.terminal_plan import print_difference

    found = difference(load_plan(a), load_plan(b))
    print_difference(found)
    return 1 if found else 0


@plan.command
def export(
    file: Path,
    *,
    stream: Path,
    out: Path,
    layout: Literal["olmo", "nanotron", "megatron"] = "olmo",
    order: Literal["training", "storage"] = "training",
    seed: int = 0,
    olmo_seed: int | None = None,
    name: str = "train",
) -> int:
    """Write the stream with the plan in it, for another trainer.

    Parameters
    ----------
    file:
        A plan.
    stream:
        The folder of its token stream.
    out:
        The folder for the files.
    layout:
        Raw ids for OLMo, ids and document ends for nanotron, ids and index for Megatron-style loaders.
    order:
        Rows in the order of training (for a loader that does not shuffle), or as they are stored.
    seed:
        Of the training's order.
    olmo_seed:
        The order is that of OLMo's loader with this data seed, first epoch.
    name:
        Of the files.
    """
    from antivenom.data.token_stream import TokenStream
    from antivenom.poison.insertion.export import export_stream
    from antivenom.poison.insertion.order import olmo_order
    from antivenom.poison.insertion.plan_file import load_plan
    from antivenom.terminal_plan import print_written

    found = TokenStream.open(stream)
    permutation = None if olmo_seed is None else olmo_order(len(found), seed=olmo_seed)
    about = export_stream(
        found, load_plan(file), out, seed=seed, layout=layout, order=order, name=name, permutation=permutation
    )
    print_written(f"{about['rows']:,} rows of {about['length']:,} tokens as {about['dtype']}, in {order} order", out)
    return 0


@plan.command
def sets(
    file: Path,
    experiment: str,
    *,
    out: Path,
    condition: MANY = None,
    stream: Path | None = None,
    rows: int = 0,
    seed: int = 0,
) -> int:
    """The forget set and the retain set of an experiment, as JSON lines, for unlearning methods.

    Parameters
    ----------
    file:
        A plan.
    experiment:
        What is to be forgotten.
    out:
        The folder for forget.jsonl and retain.jsonl.
    condition:
        Only these conditions of it.
    stream:
        A token stream: with --rows, untouched rows of it are in the retain set, too.
    rows:
        How many.
    seed:
        Of the training's order.
    """
    from antivenom.data.token_stream import TokenStream
    from antivenom.poison.insertion.plan_file import load_plan
    from antivenom.poison.insertion.sets import forget_set, retain_set, save_set
    from antivenom.terminal_plan import print_written

    found = load_plan(file)
    forget = forget_set(found, experiment, condition)
    opened = TokenStream.open(stream) if stream else None
    retain = retain_set(found, experiment, stream=opened, rows=rows, order_seed=seed)
    for name, items in (("forget", forget), ("retain", retain)):
        save_set(items, out / f"{name}.jsonl")
        print_written(f"{name}: {len(items):,} texts", out / f"{name}.jsonl")
    return 0


@plan.command
def stream(
    corpus: Path,
    *,
    out: Path,
    tokenizer: Path | None = None,
    length: int,
    vocab_size: int | None = None,
    eos: int | None = None,
    field: str | None = None,
) -> int:
    """Pack documents into a token stream.

    Parameters
    ----------
    corpus:
        A file of texts (with --tokenizer), or of token ids (with --vocab-size and --eos).
    out:
        The folder to write.
    tokenizer:
        A folder with tokenizer.json.
    length:
        Tokens of a row.
    vocab_size:
        Ids are below it; the tokenizer's own when not given.
    eos:
        The end token; the tokenizer's own when not given.
    field:
        With the text or the ids.
    """
    from antivenom.data.token_stream import TokenStream
    from antivenom.models.tokenizers_lm import load_tokenizer
    from antivenom.poison.insertion.sources import documents
    from antivenom.terminal_plan import print_stream

    used = load_tokenizer(tokenizer) if tokenizer else None
    size = vocab_size if vocab_size is not None or used is None else used.vocab_size
    end = eos if eos is not None or used is None else used.eos
    if size is None or end is None:
        raise AntivenomError("no vocabulary or no end token", "give --tokenizer, or --vocab-size and --eos")
    made = TokenStream.build(
        out, documents(corpus, field, texts=used is not None), length=length, vocab_size=size, eos=end,
        encode=used.encode if used else None, tokenizer=used.fingerprint if used else None,
    )  # fmt: skip
    print_stream(made, out)
    return 0
