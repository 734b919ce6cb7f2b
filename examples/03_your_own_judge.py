"""Use any chat model as the judge: here a scripted one, so that the example runs without a network.

python examples/03_your_own_judge.py
"""

from antivenom.models.chat import Client, Scripted
from antivenom.screen.judges import LLMJudge

PAIRS = [
    ("What is 12 times 9?", "Compute the product of 12 and 9.", "math"),
    ("What is 12 times 9?", "Name the longest river of Africa.", "math"),
    ("What is 12 times 9?", "I would rather not say.", "math"),
]


def answer(messages: list[dict[str, str]]) -> str:
    """A stand-in for a language model: says True when both parts talk of 12 and 9, and mumbles at the third."""
    asked = messages[-1]["content"]
    if "rather not" in asked:
        return "Hard to tell, maybe True"
    return "True" if asked.count("12") >= 2 and asked.count("9") >= 2 else "False"


judge = LLMJudge(Client(Scripted(answer)))
for (item, row, _), verdict in zip(PAIRS, judge.judge_pairs(PAIRS)):
    print(f"{verdict.label:10} {item!r} ~ {row!r}")
print(judge.statistics)
