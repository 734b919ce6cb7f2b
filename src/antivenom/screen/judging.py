"""The judge's pass: every retrieved pair gets one of three verdicts, every pair a kind and a flag."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from antivenom.data.benchmarks import Benchmark
from antivenom.data.rows import Block
from antivenom.screen.evidence import ITEM_CHARACTERS, shared_spans
from antivenom.screen.judges import LLMJudge, is_generic, make_judge
from antivenom.screen.parts import part, write_table
from antivenom.screen.stages import EVIDENCE_SCHEMA

__all__ = ["Judging"]

SPANS = pa.list_(pa.struct([("start", pa.int32()), ("stop", pa.int32())]))
JUDGED_SCHEMA = pa.schema(
    [
        *EVIDENCE_SCHEMA,
        pa.field("verdict", pa.string()),
        pa.field("probability", pa.float32()),
        pa.field("judge_reason", pa.string()),
        pa.field("flagged", pa.bool_()),
        pa.field("kind", pa.string()),
        pa.field("row_spans", SPANS),
        pa.field("item_spans", SPANS),
    ]
)


@dataclass
class Judging:
    """A judge with what it needs to know about items and detectors."""

    judge: Any
    items: Benchmark
    thresholds: list[float | None]

    @classmethod
    def of(cls, spec: str, items: Benchmark, labels: list[str], detectors: dict[str, Any], options: dict) -> "Judging":
        """From the judge's name as typed (`none` for no judge)."""
        judge = None if spec == "none" else make_judge(spec, **options)
        return cls(judge, items, [getattr(detectors[label], "threshold", None) for label in labels])

    @property
    def params(self) -> dict[str, Any] | None:
        """What determines the verdicts."""
        return self.judge.params if self.judge else None

    def run(self, work: Path, blocks: list[Block]) -> dict | None:
        """Judge block by block (bounded memory); a block whose part is already there is not judged again."""
        totals = {"same": 0, "different": 0, "undecided": 0}
        if self.judge and hasattr(self.judge, "use_cache"):
            self.judge.use_cache(work.parent / "judge-cache.sqlite")
        pending = [block for block in blocks if not part(work, "judged", block.index).exists()]
        if isinstance(self.judge, LLMJudge):
            estimates = Counter({"calls": 0, "cached": 0, "prompt_tokens": 0, "completion_tokens": 0})
            for block in pending:
                evidence = pq.read_table(part(work, "evidence", block.index)).to_pylist()
                estimates.update(self.judge.estimate(self._questions(evidence)[1]))
            self.judge.ask(dict(estimates))
        for block in blocks:
            path = part(work, "judged", block.index)
            if not path.exists():
                write_table(self._judge(pq.read_table(part(work, "evidence", block.index))), path)
            for verdict in pq.read_table(path, columns=["verdict"]).column("verdict").to_pylist():
                if verdict:
                    totals[verdict] += 1
        if not self.judge:
            return None
        if isinstance(self.judge, LLMJudge):
            self.judge.close()
        return {**self.judge.params, **getattr(self.judge, "statistics", {}), **totals}

    def _questions(self, pairs: list[dict]) -> tuple[dict[tuple[int, int, int], int], list[tuple[str, str, str]]]:
        """What the judge has to read: each window once, and none that a rule has settled. (key -> number, questions)."""
        certain = {(pair["row"], pair["item"]) for pair in pairs if pair["rank"] is None}
        asked: dict[tuple[int, int, int], int] = {}
        questions: list[tuple[str, str, str]] = []
        for pair in pairs if self.judge else ():
            key = (pair["row"], pair["item"], pair["start"])
            if pair["rank"] is not None and key[:2] not in certain and key not in asked:
                asked[key] = len(questions)
                item = self.items.items[pair["item"]]
                questions.append((self.items.text(pair["item"]), pair["window"], item.kind))
        return asked, questions

    def _judge(self, evidence: pa.Table) -> pa.Table:
        pairs = evidence.to_pylist()
        certain = {(pair["row"], pair["item"]) for pair in pairs if pair["rank"] is None}
        asked, questions = self._questions(pairs)
        verdicts = self.judge.judge_pairs(questions) if questions else []
        for pair in pairs:
            pair |= {"verdict": None, "probability": None, "judge_reason": None, "flagged": False, "kind": "candidate"}
            key = (pair["row"], pair["item"], pair["start"])
            if pair["rank"] is None:
                pair |= {"flagged": True, "kind": "verbatim"}
            elif key[:2] in certain:
                pair["kind"] = "verbatim"  # retrieval agrees with a rule: counted in the agreement, not judged
                pair["flagged"] = True
            elif key in asked:
                verdict = verdicts[asked[key]]
                probability = verdict.probability
                known = probability is not None and math.isfinite(probability)
                pair |= {"verdict": verdict.label, "probability": probability if known else None}
                pair["judge_reason"] = verdict.reason
                pair["flagged"] = verdict.label == "same"
            else:
                threshold = self.thresholds[pair["detector"]]
                pair["flagged"] = threshold is not None and pair["score"] >= threshold
            if pair["flagged"] and pair["kind"] == "candidate":
                pair["kind"] = "generic" if is_generic(self.items.text(pair["item"])) else "rephrased"
            shown = pair["flagged"] or pair["verdict"] == "undecided" or pair["rank"] == 1
            if shown and pair["row_excerpt"] is not None:
                spans = shared_spans(pair["row_excerpt"], self.items.text(pair["item"])[:ITEM_CHARACTERS])
                for side, found in zip(("row_spans", "item_spans"), spans):
                    pair[side] = [{"start": start, "stop": stop} for start, stop in found]
        return pa.Table.from_pylist(pairs, schema=JUDGED_SCHEMA)
