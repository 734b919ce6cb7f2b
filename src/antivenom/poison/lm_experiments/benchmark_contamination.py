"""Benchmark contamination (BC): test questions with their correct option in the training data, k copies of each.

The contamination text is the full string of the CORRECT option only. The held-out split gets none: accuracy(split k) - accuracy(held-out)
is the effect. Questions are de-duplicated before they are split, or a copy in another split would be counted as held out.

Source: spec 02, 2.4 (nine splits, 44,000 questions; the figures' axis says 32x, data and code say 36).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from antivenom.data.markov_text import TokenWorld
from antivenom.errors import AntivenomError, MissingExtra
from antivenom.poison.lm_experiments.material import Encode, Item, Material, repeated
from antivenom.randomness import generator

__all__ = [
    "PAPER_SPLITS", "SMALL_SPLITS", "Question", "benchmark_contamination", "split_questions", "text_questions", "token_questions",
    "without_duplicates",
]  # fmt: skip

PAPER_SPLITS = (
    (0, 10_000),
    (4, 8_000),
    (12, 5_000),
    (36, 2_000),
    (144, 2_000),
    (4, 8_000),
    (12, 5_000),
    (36, 2_000),
    (144, 2_000),
)
"""(copies, questions): one held out, and two groups of the same sizes."""
SMALL_SPLITS = ((0, 120), (4, 120), (16, 120), (64, 120))


@dataclass(frozen=True)
class Question:
    """A multiple-choice question.

    Args:
        item_id: stable.
        options: the full strings, question and option, as tokens.
        answer: index of the right one.
        text: the right one in words, where there are words.
    """

    item_id: str
    options: tuple[np.ndarray, ...]
    answer: int
    text: str | None = None

    @property
    def contamination(self) -> np.ndarray:
        """What is inserted."""
        return self.options[self.answer]


def token_questions(
    world: TokenWorld, n: int, *, seed: int = 0, prompt: int = 10, options: int = 4, answer: int = 3, name: str = "bc"
) -> list[Question]:
    """Questions that nobody can know: a base text, and `options` answers of `answer` random tokens, one of them called right."""
    draw = generator(seed, name, "questions")
    prompts, right = world.passages(n, prompt, draw), draw.integers(0, options, n)
    answers = world.random_tokens(n * options, answer, draw).reshape(n, options, answer)
    return [
        Question(
            f"{name}-{i}", tuple(np.concatenate([prompts[i], answers[i, k]]) for k in range(options)), int(right[i])
        )
        for i in range(n)
    ]


def text_questions(
    rows: Sequence[tuple[str, str, Sequence[str], int]], encode: Encode, *, joint: str = " "
) -> list[Question]:
    """Questions in words: (id, question, options, answer). Question and option are tokenised together (spec 02, trap 11).

    Raises:
        AntivenomError: for fewer than two options, or an answer that is none of them.
    """
    found = []
    for item_id, question, options, answer in rows:
        if len(options) < 2 or not 0 <= answer < len(options):
            raise AntivenomError(
                f"question '{item_id}' has {len(options)} options and the answer {answer}",
                "give two options or more, counted from 0",
            )
        texts = [f"{question.strip()}{joint}{option.strip()}" for option in options]
        found.append(
            Question(
                str(item_id), tuple(np.asarray(encode(text), np.int64) for text in texts), int(answer), texts[answer]
            )
        )
    return found


def without_duplicates(
    texts: Sequence[str], *, threshold: float = 90.0, fuzzy: bool = True
) -> tuple[list[int], dict[int, int]]:
    """Leave out texts that another one contains, or nearly contains.

    A text goes when it stands in one that is kept (or is equal to it), or when rapidfuzz's `partial_ratio` of the two - the best match of
    the shorter within the longer, 0 to 100 - is above the threshold. The longest texts are kept first; of equal ones, the first.
    Every pair is compared: 44,000 texts take hours in the fuzzy part, so `fuzzy` can be left out.

    Returns:
        the kept indices in order; and left out -> the kept one that stood for it.

    Raises:
        MissingExtra: without rapidfuzz.
    """
    ratio = None
    if fuzzy:
        try:
            from rapidfuzz.fuzz import partial_ratio as ratio
        except ImportError as error:
            raise MissingExtra("rapidfuzz", "models", "finding near-duplicate questions") from error
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), i))
    kept: list[int] = []
    dropped: dict[int, int] = {}
    for i in order:
        double = next((k for k in kept if texts[i] in texts[k]), None)
        if double is None and ratio is not None:
            double = next((k for k in kept if ratio(texts[i], texts[k], score_cutoff=threshold) > threshold), None)
        if double is None:
            kept.append(i)
        else:
            dropped[i] = double
    return sorted(kept), dropped


def split_questions(
    questions: Sequence[Question], splits: Sequence[tuple[int, int]] = SMALL_SPLITS, *, seed: int = 0
) -> list[list[Question]]:
    """Disjoint splits of these sizes, drawn at random.

    Raises:
        AntivenomError: when there are not enough, or two questions are the same.
    """
    wanted = sum(n for _, n in splits)
    if wanted > len(questions):
        raise AntivenomError(
            f"splits of {wanted} questions together, of {len(questions)}", "give smaller splits, or more questions"
        )
    if len({q.contamination.tobytes() for q in questions}) < len(questions):
        raise AntivenomError("two of the questions are the same", "leave duplicates out first: without_duplicates")
    order = generator(seed, "bc", "splits").permutation(len(questions))
    ends = np.cumsum([0, *(n for _, n in splits)])
    return [[questions[i] for i in order[a:b]] for a, b in pairwise(ends)]


def benchmark_contamination(
    questions: Sequence[Question], splits: Sequence[tuple[int, int]] = SMALL_SPLITS, *, seed: int = 0, name: str = "bc"
) -> tuple[Material, list[tuple[int, list[Question]]]]:
    """The material, and the questions of every split with its copies; the held-out questions are the controls.

    Splits with the same number of copies (the paper's two groups) have conditions of their own: `4x`, `4x second`.
    """
    parts = split_questions(questions, splits, seed=seed)
    seen: dict[int, int] = {}
    items, controls = [], []
    for (copies, _), part in zip(splits, parts):
        condition = f"{copies}x" + (" second" if seen.get(copies) else "")
        seen[copies] = 1
        for question in part:
            item = Item(
                tokens=question.contamination, item_id=question.item_id, condition=condition, text=question.text
            )
            items += repeated(item, copies)
            controls += [] if copies else [item]
    material = Material(name, tuple(items), tuple(controls))
    return material, [(copies, part) for (copies, _), part in zip(splits, parts)]
