"""`antivenom toxicr`: train a detector of toxic comments on your own labels, score with it, see why."""

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from antivenom.errors import AntivenomError

__all__ = ["left_out", "option_pairs", "register", "toxicr", "typed"]

toxicr = App(name="toxicr", help="Toxic comments, trainable (ToxiCR): train, score, evaluate.")
MANY = Annotated[list[str] | None, Parameter(consume_multiple=True)]
CHUNK = 2_000
LEAK = 0.01  # share of test rows with a copy in training above which their figures are announced as flattered


def register(app: App, group: Group) -> None:
    """Add the verbs."""
    toxicr.group = group
    app.command(toxicr)


@toxicr.command
def train(
    data: Path,
    *,
    out: Path,
    algorithm: str = "linear+",
    vectorizer: str | None = None,
    text: str | None = None,
    label: str | None = None,
    split: bool = False,
    keyword: bool = False,
    profanity: bool = True,
    anger: bool = False,
    emoticon: bool = False,
    mode: Literal["fixed", "strict_paper"] = "fixed",
    threshold: str = "0.5",
    lexicons: str = "",
    option: MANY = None,
    test: Path | None = None,
    seed: int = 0,
) -> int:
    """Learn from labelled comments; the data report comes first.

    Parameters
    ----------
    data:
        CSV, TSV, JSONL (.gz), Parquet or XLSX with a text and a 0/1 label column.
    out:
        The model directory to write.
    algorithm:
        majority, lexicon, dt, rf, gbt, svm, lr, linear+, stack, cnn, lstm, bilstm, gru, attn, bert, albert, sbert.
    vectorizer:
        tfidf or ngrams; corpus, fasttext, glove or word2vec for the networks.
    text:
        The text column (found by itself when it has a usual name).
    label:
        The label column.
    split:
        Split identifiers into their words.
    keyword:
        Drop words of programming languages.
    profanity, anger, emoticon:
        Count these beside the text.
    mode:
        `strict_paper` preprocesses as the published tool does, its defects included.
    threshold:
        Toxic from this probability on, or `f1`.
    lexicons:
        A folder with your own word lists.
    option:
        Options of the learner: `min_df=5 class_weight=balanced resample=smote model=FOLDER`.
    test:
        Labelled comments to test on; those that are also in training are reported and left out.
    seed:
        Of everything drawn at random.
    """
    from antivenom.screen.toxicr.dataset import read_labelled
    from antivenom.screen.toxicr.estimator import ToxiCR

    if (out / "model.json").exists():
        raise AntivenomError(f"{out} already holds a model", "give a new folder with --out")
    rows = read_labelled(data, text=text, label=label)
    _print_report(data, rows)
    model = ToxiCR(
        algorithm,
        vectorizer,
        split_identifier=split,
        remove_keywords=keyword,
        count_profanity=profanity,
        count_anger=anger,
        count_emoticon=emoticon,
        mode=mode,
        threshold=typed(threshold),
        lexicons=lexicons,
        options=option_pairs(option or []),
        seed=seed,
    )
    assert rows.labels is not None
    model.fit(rows.texts, rows.labels.tolist())
    model.save(out)
    _say(f"steps: {' -> '.join(model.preprocessing_.order)} -> counts")
    _say(f"trained {model.algorithm} on {len(rows):,} rows; threshold {model.threshold_:.3f}; written to {out}")
    if test is not None:
        held = read_labelled(test, text=text, label=label)
        _print_report(test, held)
        _print_test(model, rows.texts, held)
    return 0


@toxicr.command
def score(
    files: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    *,
    model: Path,
    out: Path | None = None,
    text: str | None = None,
) -> int:
    """Score comments: one JSON line each, or the reason why not.

    Parameters
    ----------
    files:
        CSV, TSV, JSONL (.gz), Parquet or XLSX; none, or `-`: one text per line from standard input.
    model:
        A model directory.
    out:
        The file to write; without it, standard output.
    text:
        The text column.
    """
    import orjson

    from antivenom.report.run_directory import atomic_file
    from antivenom.screen.toxicr.estimator import ToxiCR
    from antivenom.terminal_toxicr import print_done

    learned = ToxiCR.load(model)
    records = (record for name in files or ["-"] for record in _scored(learned, name, text))
    if out is None:
        for record in records:
            sys.stdout.buffer.write(orjson.dumps(record) + b"\n")
        sys.stdout.flush()
        return 0
    count = toxic = unscored = 0
    with atomic_file(out) as temporary, Path(temporary).open("wb") as target:
        for record in records:
            target.write(orjson.dumps(record) + b"\n")
            count, toxic, unscored = count + 1, toxic + bool(record["toxic"]), unscored + (record["score"] is None)
    told = f"{toxic:,} toxic (threshold {learned.threshold_:.3f}), {unscored:,} without a score"
    print_done(f"{count:,} texts: {told}; written to {out}")
    return 0


@toxicr.command
def explain(text: str, *, model: Path, top: int = 10) -> int:
    """Say which words make a verdict, and by how much (log odds).

    Parameters
    ----------
    text:
        The comment.
    model:
        A model directory.
    top:
        At most that many words.
    """
    from antivenom.screen.toxicr.estimator import ToxiCR, cannot_score

    learned = ToxiCR.load(model)
    why = cannot_score(text)
    if why:
        _say(f"cannot score: {why}")
        return 0
    p = float(learned.score([text])[0])
    verdict = "toxic" if p >= learned.threshold_ else "not toxic"
    _say(f"P(toxic) {p:.3f}: {verdict} (threshold {learned.threshold_:.3f})")
    for e in learned.explain(text)[:top]:
        _say(
            f"{e.weight:+8.3f}  {e.start:>5}-{e.stop:<5} {text[e.start : e.stop]!r}"
            + (f"  ({e.what})" if e.what else "")
        )
    return 0


@toxicr.command
def preprocess(
    texts: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    *,
    split: bool = False,
    keyword: bool = False,
    profanity: bool = True,
    anger: bool = True,
    emoticon: bool = True,
    mode: Literal["fixed", "strict_paper"] = "fixed",
    lexicons: str = "",
) -> int:
    """Show what each step makes of a text, and the counts.

    Parameters
    ----------
    texts:
        Comments; none: one per line from standard input.
    split, keyword:
        The optional steps: identifiers split, programming words dropped.
    profanity, anger, emoticon:
        The counts.
    mode:
        `strict_paper`: as the published tool.
    lexicons:
        A folder with your own word lists.
    """
    from antivenom.screen.toxicr.preprocessing import Preprocessing

    steps = Preprocessing(
        mode,
        split_identifier=split,
        remove_keywords=keyword,
        count_profanity=profanity,
        count_anger=anger,
        count_emoticon=emoticon,
        lexicons=lexicons,
    )
    _say(f"steps: {' -> '.join(steps.order)} -> counts")
    for text in texts if texts is not None else (line.rstrip("\n") for line in sys.stdin):
        trace = steps.trace(text)
        _say(f"{'raw':16} {text!r}")
        for step in trace.steps:
            if step.changed or step.fired:
                _say(f"{step.name:16} {step.after!r}" + (f"  fired: {', '.join(step.fired)}" if step.fired else ""))
        _say(f"{'text':16} {trace.text!r}")
        _say(f"{'counts':16} {', '.join(f'{name} {n}' for name, n in trace.counts.items())}")
    return 0


def _scored(model: Any, name: str, text: str | None) -> Any:
    from antivenom.screen.toxicr.dataset import read_labelled
    from antivenom.screen.toxicr.estimator import cannot_score

    if name == "-":
        rows, unread = ((number, line.rstrip("\n")) for number, line in enumerate(sys.stdin, 1)), []
    else:
        found = read_labelled(name, text=text, labelled=False)
        rows = iter(list(zip(found.positions, found.texts, strict=True)))
        unread = [(n, "empty") for n in found.empty] + found.refused
    while part := list(islice(rows, CHUNK)):
        values = model.score([t for _, t in part])
        for (number, line), p in zip(part, values, strict=True):
            why = cannot_score(line)
            yield {
                "file": name,
                "position": number,
                "score": None if why else round(float(p), 5),
                "toxic": None if why else bool(p >= model.threshold_),
                "reason": f"cannot score: {why}" if why else "",
            }
    for number, why in unread:
        yield {"file": name, "position": number, "score": None, "toxic": None, "reason": f"cannot score: {why}"}


def _print_report(path: Path, rows: Any) -> None:
    r = rows.report()
    _say(
        f"{path.name}: {r['rows']:,} rows, {r['toxic']:,} toxic; {r['distinct']:,} distinct texts, "
        f"{r['rows_with_copies']:,} rows have a copy"
        if "toxic" in r
        else f"{path.name}: {r['rows']:,} rows"
    )
    if said := left_out(path, rows):
        _say(said)
    if r.get("contradictory_texts"):
        _say(
            f"{r['contradictory_texts']:,} texts carry both labels ({r['contradictory_rows']:,} rows): "
            f"no function of the text can be right on more than {r['ceiling']:.2%} of the rows"
        )


def left_out(path: Path, rows: Any) -> str:
    """Rows of a labelled file that are in no figure, in words; "" where there are none."""
    if not rows.empty and not rows.refused:
        return ""
    first = f" (row {rows.refused[0][0]}: {rows.refused[0][1]})" if rows.refused else ""
    said = f"{len(rows.empty):,} rows without text, {len(rows.refused):,} that cannot be read{first}"
    return f"{path.name}, left out: {said}"


def _print_test(model: Any, train_texts: list[str], held: Any) -> None:
    import numpy as np
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    from antivenom.data.duplicates import overlap
    from antivenom.terminal import error_console

    seen = overlap(train_texts, held.texts)
    if len(seen) and seen.mean() > LEAK:
        share = f"{int(seen.sum()):,} of {len(seen):,} test rows ({seen.mean():.0%})"
        error_console.print(f"LEAK: {share} are also in training; they are left out", style="bold red", markup=False)
    rows = np.flatnonzero(~seen)
    if not len(rows):
        _say("no test row is left: there is nothing to test on")
        return
    y, p = held.labels[rows], model.predict_proba([held.texts[i] for i in rows])[:, 1]
    verdict = p >= model.threshold_
    area = f"{roc_auc_score(y, p):.3f}" if 0 < y.sum() < len(y) else "-"
    f1 = f1_score(y, verdict) if y.any() or verdict.any() else 0.0
    _say(
        f"test on {len(rows):,} unseen rows: F1 toxic {f1:.3f}, accuracy {accuracy_score(y, verdict):.3f}, AUROC {area}"
    )


def option_pairs(pairs: list[str]) -> dict[str, Any]:
    """`key=value` pairs; numbers and true / false become such."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise AntivenomError(f"the option '{pair}'", "write key=value")
        found[key.replace("-", "_")] = typed(value)
    return found


def typed(value: str) -> Any:
    """A number, true or false where the word is one."""
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _say(line: str) -> None:
    sys.stdout.write("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line) + "\n")
