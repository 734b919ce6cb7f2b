"""`antivenom toxicr evaluate`, `ablate`, `compare`, `tune`: how good is a detector of toxic comments, and is another one better?"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from antivenom.cli_toxicr import left_out, option_pairs, typed
from antivenom.errors import AntivenomError

if TYPE_CHECKING:
    from antivenom.measure.toxicr.evaluation import Labelled
    from antivenom.measure.toxicr.setups import Setup

__all__ = ["register"]

MANY = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]
LEARNER = Group("The learner")
READING = Group("Reading the file")
Protocol = Literal["grouped", "random", "deduplicated"]


def register(toxicr: App) -> None:
    """Add the verbs to `antivenom toxicr`."""
    for verb in (evaluate, ablate, compare, tune):
        toxicr.command(verb)


@Parameter(name="*", group=READING)
@dataclass(frozen=True)
class Columns:
    """Where text and label are.

    Parameters
    ----------
    text:
        The text column (found by itself when it has a usual name).
    label:
        The label column, 0 or 1.
    """

    text: str | None = None
    label: str | None = None

    def read(self, path: Path) -> "Labelled":
        """The comments of a file; what was left out is said."""
        from antivenom.measure.toxicr.evaluation import Labelled
        from antivenom.screen.toxicr.dataset import read_labelled
        from antivenom.terminal_toxicr import print_check

        rows = read_labelled(path, text=self.text, label=self.label)
        if said := left_out(path, rows):
            print_check(said)
        if rows.labels is None or not len(rows):
            raise AntivenomError(f"{path} holds no comment with a label", "give a file with texts and labels 0 or 1")
        return Labelled(rows.texts, rows.labels, rows.positions)


@Parameter(name="*", group=LEARNER)
@dataclass(frozen=True)
class Steps:
    """The optional preprocessing steps.

    Parameters
    ----------
    profanity:
        Count profane words beside the text.
    keyword:
        Drop words of programming languages.
    split:
        Split identifiers into their words.
    """

    profanity: bool = True
    keyword: bool = False
    split: bool = False


@Parameter(name="*", group=LEARNER)
@dataclass(frozen=True)
class Making:
    """How a learner is made.

    Parameters
    ----------
    vectorizer:
        As for `train`; the default of each algorithm.
    anger:
        Count angry words beside the text.
    emoticon:
        Count emoticons beside the text.
    mode:
        `strict_paper` preprocesses as the published tool does.
    lexicons:
        A folder with your own word lists.
    option:
        Options of the learner: `min_df=5 class_weight=balanced`.
    """

    vectorizer: str | None = None
    anger: bool = False
    emoticon: bool = False
    mode: Literal["fixed", "strict_paper"] = "fixed"
    lexicons: str = ""
    option: MANY = None

    def setup(self, algorithm: str, steps: Steps) -> "Setup":
        """For one algorithm."""
        from antivenom.measure.toxicr.setups import Setup

        return Setup(
            algorithm,
            self.vectorizer,
            anger=self.anger,
            emoticon=self.emoticon,
            mode=self.mode,
            lexicons=self.lexicons,
            options=option_pairs(self.option or []),
            **asdict(steps),
        )


@Parameter(name="*")
@dataclass(frozen=True)
class Running:
    """What every run is told.

    Parameters
    ----------
    seed:
        Of folds and learners; 999 gives the paper's fold seeds.
    overwrite:
        Replace another run in --out.
    """

    seed: int = 999
    overwrite: bool = False

    def options(self) -> dict[str, Any]:
        """With the command line, and where progress is said."""
        from antivenom.terminal_toxicr import print_check, print_done

        command = ["antivenom", *sys.argv[1:]]
        return asdict(self) | {"command": command, "tell": print_check, "done": print_done}


AS_GIVEN, STEPS, HOW, RUNNING = Columns(), Steps(), Making(), Running()


def evaluate(
    data: Path,
    *,
    out: Path,
    algorithms: MANY = None,
    folds: int = 10,
    repeats: int = 1,
    protocol: Literal["grouped", "random", "deduplicated", "both"] = "grouped",
    test: Path | None = None,
    near: float | None = None,
    threshold: str | None = None,
    errors: bool = False,
    steps: Steps = STEPS,
    published: Annotated[bool, Parameter(group=LEARNER)] = False,
    running: Running = RUNNING,
    making: Making = HOW,
    columns: Columns = AS_GIVEN,
) -> int:
    """Cross-validate learners; data checks come first.

    Parameters
    ----------
    data:
        CSV, TSV, JSONL (.gz), Parquet or XLSX with a text and a 0/1 label column.
    out:
        A run directory; an evaluation that was stopped goes on.
    algorithms:
        As for `train`, or `scorer:SPEC`: a scorer as it is (`scorer:toxicity`). Default: majority lexicon lr.
    folds:
        In each repeat.
    repeats:
        Each with other folds (the paper has 5).
    protocol:
        `grouped`: copies stay together; `random`: as published; `both` of these; `deduplicated`: one row of each text.
    test:
        Train on the whole of DATA and test on this file instead of folds.
    near:
        Also keep near-duplicates together, from this Jaccard similarity on.
    threshold:
        Also score at a threshold found on inner folds: `f1`, `recall=0.9`, `precision=0.9`.
    errors:
        Write the rows that were judged wrongly.
    published:
        Each algorithm with the steps the paper found best for it.
    """
    from antivenom.terminal_toxicr import print_evaluation

    names = algorithms or ["majority", "lexicon", "lr"]
    made = [making.setup(name, steps) for name in names]
    setups = [setup.published() for setup in made] if published else made
    rows = columns.read(data)
    if test is not None:
        from antivenom.measure.toxicr.across import evaluate_across

        found = evaluate_across(rows, columns.read(test), setups, out, **running.options())
    else:
        from antivenom.measure.toxicr.evaluation import evaluate as cross_validate

        protocols = ("grouped", "random") if protocol == "both" else (protocol,)
        options: dict[str, Any] = {"folds": folds, "repeats": repeats, "near": near, "threshold": threshold}
        found = cross_validate(rows, setups, out, protocols=protocols, errors=errors, **options, **running.options())
    print_evaluation(found, out)
    return 0


def ablate(
    data: Path,
    *,
    out: Path,
    algorithm: str = "lr",
    folds: int = 5,
    repeats: int = 1,
    protocol: Protocol = "grouped",
    near: float | None = None,
    running: Running = RUNNING,
    making: Making = HOW,
    columns: Columns = AS_GIVEN,
) -> int:
    """What each optional preprocessing step brings: all 8 combinations.

    Parameters
    ----------
    data:
        As for `evaluate`.
    out:
        A run directory; a run that was stopped goes on.
    algorithm:
        The learner.
    folds:
        In each repeat; all combinations have the same folds.
    repeats:
        Each with other folds.
    protocol:
        As for `evaluate`.
    near:
        As for `evaluate`.
    """
    from antivenom.measure.toxicr.comparison import ablate as all_steps
    from antivenom.terminal_toxicr import print_ablation

    found = all_steps(
        columns.read(data),
        making.setup(algorithm, STEPS),
        out,
        protocols=(protocol,),
        folds=folds,
        repeats=repeats,
        near=near,
        **running.options(),
    )
    print_ablation(found, out)
    return 0


def compare(
    first: Path,
    second: Path,
    *,
    a: Annotated[str | None, Parameter(name="--a")] = None,
    b: Annotated[str | None, Parameter(name="--b")] = None,
) -> int:
    """Paired tests of two evaluations on the same folds.

    Parameters
    ----------
    first:
        An evaluation.json, or its folder.
    second:
        Another; the same one twice compares the learners of one evaluation with its first.
    a:
        A learner of the first, as its table calls it; by default those that both have.
    b:
        A learner of the second.
    """
    from antivenom.measure.toxicr.comparison import compare_evaluations
    from antivenom.terminal_toxicr import print_comparison

    print_comparison(compare_evaluations(first, second, first=a, second=b))
    return 0


def tune(
    data: Path,
    *,
    out: Path,
    algorithm: str = "lr",
    goal: str = "f1",
    grid: MANY = None,
    folds: int = 5,
    inner: int = 3,
    protocol: Protocol = "grouped",
    steps: Steps = STEPS,
    running: Running = RUNNING,
    making: Making = HOW,
    columns: Columns = AS_GIVEN,
) -> int:
    """Choose threshold and options on inner folds, never on test rows.

    Parameters
    ----------
    data:
        As for `evaluate`.
    out:
        A run directory; a run that was stopped goes on.
    algorithm:
        The learner (or `scorer:SPEC`).
    goal:
        Of the threshold: `f1`, `recall=0.9` or `precision=0.9`.
    grid:
        Values of options to choose from: `c=0.1,1,10 min_df=5,20`.
    folds:
        Outer folds, on whose test rows the choice is measured.
    inner:
        Inner folds of each one's training rows, on which it is made.
    protocol:
        Of the outer folds, as for `evaluate`; inner folds keep copies together.
    """
    from antivenom.measure.toxicr.tuning import tune as choose
    from antivenom.terminal_toxicr import print_tuning

    found = choose(
        columns.read(data),
        making.setup(algorithm, steps),
        out,
        goal=goal,
        grid=_grid(grid or []),
        protocol=protocol,
        folds=folds,
        inner=inner,
        **running.options(),
    )
    print_tuning(found, out)
    return 0


def _grid(pairs: list[str]) -> dict[str, list[Any]]:
    """`key=v1,v2,...` pairs."""
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        key, equals, values = pair.partition("=")
        listed = [typed(value) for value in values.split(",") if value]
        if not equals or not key or not listed:
            raise AntivenomError(f"the grid '{pair}'", "write key=value,value,...")
        found[key.replace("-", "_")] = listed
    return found
