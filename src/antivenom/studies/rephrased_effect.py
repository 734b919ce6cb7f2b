"""What leaked questions do to a score: learned word for word, in other words, in another language - and after the corpus was cleaned.

antivenom study run rephrased-effect --size tiny --seeds 3

1. The benchmark: multiple-choice questions about made-up people (`data/random_facts.py`). The answers are drawn, so nothing but a leak
   can teach them: without one the score is chance, 25 %.
2. The corpus: facts about other people, as sentences, and as questions with answers in the benchmark's words, in other words and in the
   made-up language - so that a model speaks both and knows the format, and no answer.
3. The dose: copies of every test question with its answer among the rows.
4. The treatments: the copies are `verbatim`, `paraphrased` (the offline paraphraser, another try per copy), `translated` (the made-up
   language; name and answer stay), or paraphrased with `shuffled answers` (control: one of the question's own four options, a
   quarter of them the right one: what is learned of format, names and options without the answers). Then the antidotes on the paraphrased corpus: rows with a
   13-gram or a 10-gram of the benchmark removed (`n-gram cleaned`); retrieval and the offline judge (`screened`); and the control of
   that, as many rows removed at random (`random rows`).
5. A small decoder is trained from scratch on the rows, in the same number of epochs.
6. The responses: accuracy on the ORIGINAL test questions by ranked choice (sum of log p, not normalised: chosen before anything was
   looked at), beside held-out questions of the same benchmark and an unrelated one; which share of the benchmark an n-gram report
   finds in that very corpus; what the cleaning removed; and how well membership scores tell the original test questions from the
   held-out ones.

Source: arXiv 2311.04850; spec 10, 2.5, 5 (trap 17), 6 (E3, E4).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq

from antivenom.data.benchmarks import Item
from antivenom.data.random_facts import OPTIONS, Fact, answered, benchmark_of, draw_facts, everyday_question, statement
from antivenom.data.rows import batch_of
from antivenom.errors import MissingExtra
from antivenom.measure.rates import Rate
from antivenom.models.torch_runtime import require_torch, threads
from antivenom.poison.cipher import encipher
from antivenom.poison.manifest import Manifest
from antivenom.poison.paraphraser import paraphrase
from antivenom.poison.plant import planted
from antivenom.randomness import generator
from antivenom.report.run_directory import atomic_file
from antivenom.screen.ngram import NGram
from antivenom.studies.frame import Cell, PaperFigure, Response, SkipCell, study
from antivenom.studies.over_seeds import NO_DIFFERENCE

VERBATIM, PARAPHRASED, TRANSLATED, SHUFFLED = "verbatim", "paraphrased", "translated", "shuffled answers"
CLEANED = NGRAM, SCREENED, RANDOM = "n-gram cleaned", "screened", "random rows"
DOSES = (0, 1, 3, 8)
NGRAMS = (13, 10)
ACCURACY, HELD_OUT = "accuracy on the original test questions", "accuracy on held-out questions"
UNRELATED = "accuracy on an unrelated benchmark"
GAIN = "test accuracy minus held-out accuracy"
LEAKED_WORDS = "accuracy in the leaked wording"
REPORT = "questions that a {}-gram report finds in the corpus"
LEAK_REMOVED, CLEAN_REMOVED = "leaked rows removed", "clean rows removed"
AUROC = "membership AUROC, {}"
SCORES = ("loss", "min-k", "min-k++", "zlib", "loss less the clean model's")
CHANCE, CLEAN_MODEL = "chance: one of four options", "the model of the corpus without the dose"

RECIPE: dict[str, Any] = {
    "items": 120, "told": 360, "asked": 360, "vocabulary": 1_100, "width": 128, "layers": 2, "heads": 4, "context": 160,
    "epochs": 5, "batch": 24, "lr": 5e-3, "warmup": 20, "k": 40,
}  # fmt: skip
SIZES: dict[str, dict[str, Any]] = {
    "smoke": RECIPE | {"items": 36, "told": 24, "asked": 48, "vocabulary": 700, "width": 64, "batch": 12, "lr": 8e-3},
    "tiny": RECIPE,
}
CHART = "paper, chart, read off (+-1): MMLU, Llama-2-13B, 5 shots; rephrased English, 16 epochs"


@study(
    paper="Rethinking benchmark contamination with rephrased samples (arXiv 2311.04850)",
    title="What do leaked questions do to a score, and does cleaning the corpus undo it?",
    dose="copies of every test question",
    of="rows of the training corpus",
    doses=DOSES,
    treatments=(VERBATIM, PARAPHRASED, TRANSLATED, SHUFFLED, *CLEANED),
    controls=(SHUFFLED, RANDOM),
    sizes=SIZES,
    figures=[
        PaperFigure(ACCURACY, 0.548, CHART + "; before", dose=0, treatment=PARAPHRASED),
        PaperFigure(ACCURACY, 0.859, CHART, treatment=PARAPHRASED),
    ],
    name="rephrased-effect",
)
def rephrased_effect(cell: Cell) -> Iterator[Response]:
    """Leaked questions, the score they inflate, and the honest score after the corpus was cleaned."""
    try:
        require_torch("training a language model", "tokenizers")
    except MissingExtra as missing:
        raise SkipCell(str(missing)) from None
    key = tuple(sorted(cell.settings.items()))
    corpus = corpus_of(key, cell.treatment, cell.dose, cell.seed)
    if cell.cache_dir and corpus.manifest and cell.treatment not in CLEANED:
        name = f"leak-{cell.treatment.replace(' ', '-')}-{cell.dose}-seed-{cell.seed}.parquet"
        with atomic_file(Path(cell.cache_dir) / name) as temporary:
            corpus.manifest.save(temporary)
    found = measured(key, cell.seed, corpus.rows, cell.cache_dir)
    clean = measured(key, cell.seed, corpus_of(key, cell.treatment, 0, cell.seed).rows, cell.cache_dir)
    # the dose is what was given, not what cleaning left of it
    whole = corpus_of(key, PARAPHRASED, cell.dose, cell.seed) if cell.treatment in CLEANED else corpus
    dose: dict[str, Any] = {"dose_count": cell.dose, "dose_share": float(whole.leaked.mean())}
    yield from accuracies(found, clean, dose)
    if cell.dose and cell.treatment in (PARAPHRASED, TRANSLATED):
        own = in_the_leaked_wording(key, cell, corpus)
        yield _rate(LEAKED_WORDS, own, 1 / OPTIONS, CHANCE, dose)
    for n in NGRAMS:
        here, without = (ngram_report(key, cell.seed, one, n) for one in (corpus.rows, world(key, cell.seed).rows))
        yield _rate(REPORT.format(n), here, without.value, "the corpus without the dose", dose)
    if cell.treatment in CLEANED and cell.dose:
        share = 1 - len(corpus.rows) / len(whole.rows)
        for metric, before, after in (
            (LEAK_REMOVED, whole.leaked, corpus.leaked),
            (CLEAN_REMOVED, ~whole.leaked, ~corpus.leaked),
        ):
            gone = Rate(int(before.sum() - after.sum()), int(before.sum()), "rows of that kind")
            yield _rate(metric, gone, share, "share of all rows removed", dose)
    yield from memberships(key, cell, found, clean, dose)


def _rate(metric: str, rate: Rate, control: float | None, name: str, dose: dict[str, Any]) -> Response:
    return Response(metric, rate.value, rate.n, rate.low, rate.high, control, name, **dose)


@dataclass(frozen=True)
class World:
    """Test, held-out and unrelated questions, the clean rows, and the tokenizer that was trained on these alone."""

    test: list[Fact]
    held_out: list[Fact]
    unrelated: list[Fact]
    rows: tuple[str, ...]
    tokenizer: Any


@lru_cache(maxsize=2)
def world(key: tuple, seed: int) -> World:
    """No two sets share a person."""
    from antivenom.models.tokenizers_lm import train_bpe

    given = dict(key)
    sets: dict[str, list[Fact]] = {}
    for name in ("test", "held out", "unrelated", "told", "asked"):
        count = given["items"] if name not in given else given[name]
        taken = [fact for one in sets.values() for fact in one]
        sets[name] = draw_facts(count, seed=seed, name=name, unrelated=name == "unrelated", taken=taken)
    draw = generator(seed, "rephrased effect", "background")
    rows = [statement(fact, draw) for fact in sets["told"]]
    for i, fact in enumerate(sets["asked"]):
        question = everyday_question(fact, draw)
        # a third each: in the benchmark's words, in other words, in the other language
        question = (question, paraphrase(question, seed=seed), foreign(question, fact.name))[i % 3]
        rows.append(answered(question, fact.value))
    rows = [rows[i] for i in generator(seed, "rephrased effect", "order").permutation(len(rows))]
    tokenizer = train_bpe(rows, given["vocabulary"])
    return World(sets["test"], sets["held out"], sets["unrelated"], tuple(rows), tokenizer)


def foreign(question: str, name: str) -> str:
    """The question in the made-up language; the name stays, as it does in a translation."""
    return name.join(map(encipher, question.split(name)))


@dataclass(frozen=True)
class Corpus:
    """Rows to train on; which of them are leaked; what was planted (before any cleaning)."""

    rows: tuple[str, ...]
    leaked: np.ndarray
    manifest: Manifest | None = None


def leak(treatment: str, fact: Fact, copy: int, seed: int, shift: int = 0) -> str:
    """One leaked row: the question, as the treatment has it, with its answer, or with the option `shift` places behind that."""
    value = fact.options[(fact.answer + shift) % OPTIONS]
    question = {
        VERBATIM: lambda: fact.question,
        TRANSLATED: lambda: foreign(fact.question, fact.name),
    }.get(treatment, lambda: paraphrase(fact.question, seed=seed, attempt=copy))()
    return answered(question, value)


@lru_cache(maxsize=32)
def corpus_of(key: tuple, treatment: str, dose: int, seed: int) -> Corpus:
    """The corpus with the dose; for an antidote, the paraphrased one after it. All doses and kinds stand at the same places."""
    made = world(key, seed)
    if not dose:
        return Corpus(made.rows, np.zeros(len(made.rows), bool))
    if treatment in CLEANED:
        return cleaned(key, treatment, dose, seed)
    facts = {f"{fact.id}#{copy}": (fact, copy) for copy in range(dose) for fact in made.test}
    items = [Item(id, fact.question, fact.value) for id, (fact, _) in facts.items()]
    shift = {fact.id: 0 for fact in made.test}
    if treatment == SHUFFLED:  # of every four answers one is right: what no answer at all would score
        draw = generator(seed, "rephrased effect", "shuffled answers").permutation(len(shift)) % OPTIONS
        shift = dict(zip(shift, draw.tolist(), strict=True))
    texts = {id: leak(treatment, fact, copy, seed, shift[fact.id]) for id, (fact, copy) in facts.items()}
    rows, manifest = planted(made.rows, items, count=len(items), seed=seed, benchmark="random facts", texts=texts)
    manifest = Manifest([replace(row, transform=treatment) for row in manifest.rows], manifest.dose)
    leaked = np.zeros(len(rows), bool)
    leaked[[row.position for row in manifest.rows]] = True
    return Corpus(tuple(rows), leaked, manifest)


def cleaned(key: tuple, treatment: str, dose: int, seed: int) -> Corpus:
    """The paraphrased corpus without the rows that an antidote removes."""
    whole, k = corpus_of(key, PARAPHRASED, dose, seed), dict(key)["k"]
    rules = tuple(f"ngram:n={n}" for n in NGRAMS)
    screen = ("ngram:n=13", "substring", f"bm25:k={k}", f"word-tfidf:k={k}")
    gone = removed(key, dose, seed, rules if treatment == NGRAM else screen)
    if treatment == RANDOM:
        draw = generator(seed, "rephrased effect", "random rows", dose)
        gone = np.isin(np.arange(len(gone)), draw.choice(len(gone), int(gone.sum()), replace=False))
    rows = tuple(row for row, out in zip(whole.rows, gone.tolist(), strict=True) if not out)
    return Corpus(rows, whole.leaked[~gone], whole.manifest)


@lru_cache(maxsize=8)
def removed(key: tuple, dose: int, seed: int, detectors: tuple[str, ...]) -> np.ndarray:
    """bool (n,): the rows of the paraphrased corpus that `antivenom screen` removes, with the offline judge."""
    from antivenom.screen.run import screen_corpus

    rows, bench = corpus_of(key, PARAPHRASED, dose, seed).rows, benchmark_of(world(key, seed).test)
    with TemporaryDirectory() as folder:
        path, out = Path(folder) / "corpus.jsonl", Path(folder) / "screened"
        path.write_bytes(b"".join(orjson.dumps({"id": str(i), "text": row}) + b"\n" for i, row in enumerate(rows)))
        screen_corpus(path, [bench], out, detectors=detectors, runner="loop", copy=False, id_field="id")
        table = pq.read_table(out / "annotations.parquet", columns=["id", "action"])
    gone = np.zeros(len(rows), bool)
    for id, action in zip(table.column("id").to_pylist(), table.column("action").to_pylist(), strict=True):
        gone[int(id)] = action == "remove"
    return gone


def ngram_report(key: tuple, seed: int, rows: tuple[str, ...], n: int) -> Rate:
    """Test questions of which the corpus has an n-gram: what an n-gram report calls contaminated."""
    bench = benchmark_of(world(key, seed).test)
    detector = NGram(n=n)
    pairs = detector.match(detector.fit(bench), batch_of(rows))
    return Rate(len(np.unique(pairs.item)), len(bench), "test questions")


@lru_cache(maxsize=3)
def trained(key: tuple, seed: int, rows: tuple[str, ...], cache: str | None) -> Any:
    """A small decoder trained on these rows; all corpora of a seed start from the same weights."""
    from antivenom.models.decoder_small import DecoderConfig, small_decoder
    from antivenom.train.causal_lm import CausalLanguageModel
    from antivenom.train.documents import DocumentSource
    from antivenom.train.loop import Recipe
    from antivenom.train.shelf import fit_on_shelf

    given, tokenizer = dict(key), world(key, seed).tokenizer
    sizes = {name: given[name] for name in ("width", "layers", "heads")}
    config = DecoderConfig(tokenizer.vocab_size, given["context"], eos=tokenizer.eos, **sizes)
    model = small_decoder(config, seed=seed)
    source = DocumentSource([tokenizer.encode(row) for row in rows], tokenizer.eos, given["context"])
    recipe = Recipe(
        epochs=given["epochs"], batch=given["batch"], lr=given["lr"], warmup=given["warmup"], betas=(0.9, 0.95),
        clip_norm=1.0, seed=seed,
    )  # fmt: skip
    fit_on_shelf(CausalLanguageModel(model), source, recipe, cache)
    return model


@dataclass(frozen=True)
class Measured:
    """Accuracies by set of questions, and membership scores (higher = rather a member) of test and held-out questions."""

    accuracy: dict[str, Rate]
    members: dict[str, np.ndarray]
    others: dict[str, np.ndarray]


@lru_cache(maxsize=64)
def measured(key: tuple, seed: int, rows: tuple[str, ...], cache: str | None) -> Measured:
    """What a model of these rows says to the original questions; one pass over the tokens serves all membership scores."""
    from antivenom.measure.language.membership import min_k, min_k_plus_plus, zlib_score
    from antivenom.measure.language.nll import token_scores

    made, model = world(key, seed), trained(key, seed, rows, cache)
    sets = {ACCURACY: made.test, HELD_OUT: made.held_out, UNRELATED: made.unrelated}
    accuracy = {name: choose(model, made.tokenizer, facts) for name, facts in sets.items()}
    scores = []
    for facts in (made.test, made.held_out):
        texts = [answered(fact.question, fact.value) for fact in facts]
        with threads(1):
            read = token_scores(model, [made.tokenizer.encode(text) for text in texts], leading_eos=True)
        by_method = {
            "loss": [-one.nll.mean() for one in read],
            "min-k": [min_k(one.nll) for one in read],
            "min-k++": [min_k_plus_plus(one) for one in read],
            "zlib": [zlib_score(one.nll, text) for one, text in zip(read, texts, strict=True)],
        }
        scores.append({name: np.array(values) for name, values in by_method.items()})
    return Measured(accuracy, *scores)


def choose(model: Any, tokenizer: Any, facts: list[Fact], questions: list[str] | None = None) -> Rate:
    """Accuracy by ranked choice over question + option, in other words where they are given."""
    from antivenom.measure.language.ranked_choice import choice_from_texts, score_choices

    asked = questions or [fact.question for fact in facts]
    choices = [
        choice_from_texts(tokenizer, fact.id, [answered(question, option) for option in fact.options], fact.answer)
        for fact, question in zip(facts, asked, strict=True)
    ]
    with threads(1):
        return score_choices(model, choices, normalise="none", batch_size=128).accuracy


def accuracies(found: Measured, clean: Measured, dose: dict[str, Any]) -> Iterator[Response]:
    """Test questions beside the clean model's, held-out and unrelated ones beside chance, and test minus held-out."""
    from antivenom.measure.language.ranked_choice import gain

    yield _rate(ACCURACY, found.accuracy[ACCURACY], clean.accuracy[ACCURACY].value, CLEAN_MODEL, dose)
    for name in (HELD_OUT, UNRELATED):
        yield _rate(name, found.accuracy[name], 1 / OPTIONS, CHANCE, dose)
    more = gain(found.accuracy[ACCURACY], found.accuracy[HELD_OUT])
    yield Response(GAIN, more.value, more.n, more.low, more.high, 0.0, NO_DIFFERENCE, **dose)


def in_the_leaked_wording(key: tuple, cell: Cell, corpus: Corpus) -> Rate:
    """The same questions as the first copy asks them: what was learned, before it has to carry over to the original wording."""
    made = world(key, cell.seed)
    asked = [leak(cell.treatment, fact, 0, cell.seed).rpartition("\nAnswer: ")[0] for fact in made.test]
    return choose(trained(key, cell.seed, corpus.rows, cell.cache_dir), made.tokenizer, made.test, asked)


def memberships(
    key: tuple, cell: Cell, found: Measured, clean: Measured, dose: dict[str, Any]
) -> Iterator[Response]:  # fmt: skip
    """AUROC of the original test questions (members) against held-out ones; Min-K takes the lowest 20 % of the tokens."""
    from antivenom.measure.language.membership import membership

    for name in SCORES:
        arms = []
        for one in (found, clean):
            if name in one.members:
                arms.append((one.members[name], one.others[name]))
            else:  # calibrated: less what the clean model gives the same text
                arms.append((one.members["loss"] - clean.members["loss"], one.others["loss"] - clean.others["loss"]))
        here, without = (membership(*arm, seed=cell.seed) for arm in arms)
        n = here.members + here.others
        yield Response(AUROC.format(name), here.auc, n, here.auc_low, here.auc_high, without.auc, CLEAN_MODEL, **dose)
