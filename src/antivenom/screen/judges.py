"""Judges: is this training text the same item as that benchmark item? Three answers: same, different, undecided.

A judge has `name`, `params` (the record), `statistics` (counts so far), and `judge_pairs([(item, row, kind), ...])`.
`undecided` is a result of its own: a failed call, an unclear answer, an answer that depends on the order of the parts
or on words addressed to the judge, or a pair that the judge cannot read. It is never counted as clean.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from antivenom.errors import AntivenomError
from antivenom.models.chat import ChatModel, Client, LocalHF, OpenAICompatible
from antivenom.screen.generic import generic_score, is_generic
from antivenom.screen.injection import injection_report, mask_injections
from antivenom.screen.judge_prompts import INSTRUCTIONS, instruction_kind, judge_messages
from antivenom.screen.offline_judge import OfflineJudge
from antivenom.screen.verdict import Verdict

__all__ = [
    "INSTRUCTIONS",
    "Judge",
    "LLMJudge",
    "OfflineJudge",
    "Verdict",
    "generic_score",
    "injection_report",
    "is_generic",
    "judge_messages",
    "make_judge",
    "mask_injections",
    "parse_answer",
]

Answer = Literal["same", "different", "undecided"]
TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
WRAPPING = " \t\r\n\f\v*_`\"'“”‘’«»([{<#>-~|=:.,;!"
ORDINARY_ENDS = re.compile(r"\s*(?:$|[.!,;:)\]}*`\"'”’\n]|[-–—]\s|\(|because\b|since\b|as\b)", re.IGNORECASE)


class Judge(Protocol):
    """What the screen asks of a judge."""

    @property
    def name(self) -> str:
        """What the judge is called in records."""
        ...

    @property
    def params(self) -> dict[str, Any]:
        """Everything that determines the verdicts, as plain data."""
        ...

    @property
    def statistics(self) -> dict[str, Any]:
        """Counts of what was done so far."""
        ...

    def judge_pairs(self, pairs: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """One verdict per (item text, row text, kind), in order."""
        ...


def parse_answer(text: str | None) -> bool | None:
    """True, False, or None when the answer is neither, by its FIRST word alone.

    The text is NFKC-normalised and stripped of marks around the first word (quotes, `**`, brackets, list signs); the
    word must be `true` or `false` in any case and be followed by an end, punctuation or a reason. Nothing is ever
    searched for inside the text, so that "not True" and "I think True" are no answers.

    >>> parse_answer("**False**."), parse_answer("true, because ..."), parse_answer("not True")
    (False, True, None)
    """
    if not text:
        return None
    clean = unicodedata.normalize("NFKC", text).lstrip(WRAPPING)
    token = TOKEN.match(clean)
    if token is None or token.group().casefold() not in ("true", "false"):
        return None
    if not ORDINARY_ENDS.match(clean, token.end()):
        return None  # "True or False", "False positives are ..."
    return token.group().casefold() == "true"


@dataclass
class LLMJudge:
    """A chat model as the judge, through a `Client` (cache, retries, concurrency).

    Args:
        client: around any `ChatModel`.
        kind: of instruction for all pairs, in place of each pair's own.
        order_check: ask for (A, B) and (B, A); verdicts that differ become undecided.
        compat: `paper` for the published tool's message layout.
        temperature: 0 is repeatable (the published tool: 0.3).
        confirm: asked with the cost estimate before the first call; when it says no, nothing is spent and the run
            stops.
    """

    client: Client
    kind: str | None = None
    order_check: bool = False
    compat: str | None = None
    temperature: float = 0.0
    max_tokens: int = 4
    confirm: Callable[[str], bool] | None = None
    _counts: Counter = field(default_factory=Counter)
    _estimate: dict[str, int] | None = None
    _asked: bool = False

    @property
    def name(self) -> str:
        """The model's name."""
        return self.client.model.name

    @property
    def params(self) -> dict[str, Any]:
        """Everything that determines the verdicts."""
        return {
            "model": self.name,
            "kind": self.kind or "by item",
            "order_check": self.order_check,
            "compat": self.compat,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    @property
    def statistics(self) -> dict[str, Any]:
        """Calls made, answered from the cache, failed; unclear answers, order disagreements, rows with injections."""
        counts = {
            key: self._counts[key]
            for key in ("unclear", "order_checked", "order_disagreed", "injections", "injections_moved")
        }
        return {**self.client.counts, **counts, "cost_estimate": self._estimate}

    def use_cache(self, path: str | Path) -> None:
        """Keep answers in this file, unless a cache was named already."""
        self.client.use_cache(path)

    def close(self) -> None:
        """Close the cache."""
        self.client.close()

    def prompts(self, pairs: Sequence[tuple[str, str, str]]) -> list[list[dict[str, str]]]:
        """Every prompt that these pairs will need, without repetition of pairs."""
        return [prompt for pair in pairs for prompt in self._prompts(*pair)]

    def estimate(self, pairs: Sequence[tuple[str, str, str]]) -> dict[str, int]:
        """Calls, cached answers and tokens for these pairs (see `Client.estimate`)."""
        return self.client.estimate(self.prompts(pairs), temperature=self.temperature, max_tokens=self.max_tokens)

    def judge_pairs(self, pairs: Sequence[tuple[str, str, str]]) -> list[Verdict]:
        """One verdict per pair; see the module's text for what is undecided.

        Raises:
            AntivenomError: when `confirm` says no to the estimate.
        """
        if not pairs:
            return []
        prompts = [self._prompts(*pair) for pair in pairs]
        flat = [prompt for group in prompts for prompt in group]
        if not self._asked:
            self.ask(self.client.estimate(flat, temperature=self.temperature, max_tokens=self.max_tokens))
        answers = iter(self.client.complete(flat, temperature=self.temperature, max_tokens=self.max_tokens))
        return [self._verdict(pair[1], [next(answers) for _ in group]) for pair, group in zip(pairs, prompts)]

    def ask(self, estimate: dict[str, int]) -> None:
        """Have the cost confirmed, once; whoever knows all pairs calls this before the first of them is judged.

        Raises:
            AntivenomError: when the answer is no.
        """
        self._estimate = estimate
        if estimate["calls"] == 0:
            return
        self._asked = True
        if self.confirm is None:
            return
        question = (
            f"The judge '{self.name}' will be called {estimate['calls']:,} times ({estimate['cached']:,} answers "
            f"are cached), about {estimate['prompt_tokens']:,} prompt and {estimate['completion_tokens']:,} completion "
            "tokens. Go on?"
        )
        if not self.confirm(question):
            raise AntivenomError(
                f"the judge '{self.name}' was not confirmed, nothing was spent", "give --yes, or --judge offline"
            )

    def _prompts(self, item: str, row: str, kind: str) -> list[list[dict[str, str]]]:
        """[(A, B)], then (B, A) when the order is checked, then the same with the row's suspicious sentences masked."""
        kind = self.kind or kind
        rows = [row]
        if injection_report(row):
            rows.append(mask_injections(row))
        prompts = []
        for text in rows:
            prompts.append(judge_messages(item, text, kind, compat=self.compat))
            if self.order_check:
                prompts.append(judge_messages(text, item, kind, compat=self.compat))
        return prompts

    def _verdict(self, row: str, answers: list[str | None]) -> Verdict:
        findings = injection_report(row)
        width = 2 if self.order_check else 1
        label, reason = self._one(answers[:width])
        if not findings:
            return Verdict(label, None, reason)
        self._counts["injections"] += 1
        masked, _ = self._one(answers[width:], count=False)
        note = f"the row addresses the judge ({'; '.join(findings)})"
        if masked != label:
            self._counts["injections_moved"] += 1
            return Verdict(
                "undecided", None, f"{note}; the verdict is '{label}' with these words and '{masked}' without them"
            )
        return Verdict(label, None, f"{reason}; {note}, the verdict is the same without these words")

    def _one(self, answers: list[str | None], count: bool = True) -> tuple[Answer, str]:
        parsed = [parse_answer(answer) for answer in answers]
        if any(answer is None for answer in answers):
            return "undecided", "the call failed"
        if None in parsed:
            self._counts["unclear"] += count
            unclear = next(a for a, p in zip(answers, parsed) if p is None) or ""
            return "undecided", f"the answer is neither True nor False: {unclear[:60]!r}"
        if len(parsed) == 2:
            self._counts["order_checked"] += count
            if parsed[0] != parsed[1]:
                self._counts["order_disagreed"] += count
                return "undecided", "the answer depends on the order of the two texts"
        return ("same" if parsed[0] else "different"), f"{self.name} says {'True' if parsed[0] else 'False'}"


def make_judge(spec: str, *, workers: int = 4, confirm: Callable[[str], bool] | None = None, **options: Any) -> Judge:
    """A judge from its name as typed.

    Args:
        spec: `offline`; `hf:FOLDER-OR-NAME` for a local Hugging Face model; `https://host/v1#model` (or `http://`) for
            any endpoint that speaks the OpenAI chat format, with the key in the variable `OPENAI_API_KEY` when it
            wants one.
        workers: parallel calls to an endpoint.
        confirm: see `LLMJudge`; local judges cost nothing and do not ask.
        options: `kind`, `order_check`, `compat`, `temperature`, `cache`, `retries`, `timeout`, `api_key_env`, and
            `threshold` for the offline judge.

    Raises:
        AntivenomError: for a name of no known form, or an unknown option.
    """
    model: ChatModel
    if spec == "offline":
        return OfflineJudge(**_only(options, ("kind", "threshold"), spec))
    if spec.startswith("hf:"):
        _only(options, ("kind", "order_check", "compat", "temperature", "cache"), spec)
        model, workers, confirm = LocalHF(spec.removeprefix("hf:")), 1, None
    elif spec.startswith(("https://", "http://")):
        base, _, name = spec.partition("#")
        if not name:
            raise AntivenomError(f"the judge '{spec}' names no model", "write it as https://host/v1#model-name")
        known = ("kind", "order_check", "compat", "temperature", "cache", "retries", "timeout", "api_key_env")
        _only(options, known, spec)
        model = OpenAICompatible(base, name, **{k: options.pop(k) for k in ("timeout", "api_key_env") if k in options})
    else:
        raise AntivenomError(
            f"there is no judge '{spec}'", "choose from: offline, none, hf:FOLDER-OR-NAME, https://host/v1#model-name"
        )
    client = Client(model, workers=workers, **{k: options.pop(k) for k in ("cache", "retries") if k in options})
    return LLMJudge(client, confirm=confirm, **options)


def _only(options: dict[str, Any], known: tuple[str, ...], spec: str) -> dict[str, Any]:
    foreign = sorted(set(options) - set(known))
    if foreign:
        raise AntivenomError(f"the judge '{spec}' has no option '{foreign[0]}'", f"choose from: {', '.join(known)}")
    if options.get("kind") is not None:
        instruction_kind(options["kind"])
    return options
