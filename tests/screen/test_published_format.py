"""`antivenom decontaminate`: the published tool's options and output."""

import json

import pytest

from antivenom.cli import app

QUESTIONS = [
    "A farmer sells 12 baskets of apples for 7 coins each. How many coins does the farmer get in all?",
    "A train leaves at 9 and travels 240 miles at 60 miles an hour. When does it arrive at the station?",
]


@pytest.fixture
def files(tmp_path):
    train = ["Notes on gardening in wet soil.", QUESTIONS[0], "The museum opens late on Thursdays for members."]
    for name, texts in (("train", train), ("test", QUESTIONS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return tmp_path


def run(files, *more):
    paths = ["--train_path", str(files / "train.jsonl"), "--test_path", str(files / "test.jsonl")]
    out = files / "out.jsonl"
    app(
        ["decontaminate", *paths, "--output_path", str(out), "--data-type", "math", *more],
        result_action="return_value",
    )
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_one_line_per_test_item_with_full_texts_and_verdicts(files):
    lines = run(files, "--top_k", "2", "--bert-model", "hash", "--batch_size", "8")
    assert [line["test"] for line in lines] == QUESTIONS
    assert lines[0]["train"][0] == QUESTIONS[0]
    assert lines[0]["results"][0] is True
    assert all(len(line["train"]) == len(line["results"]) <= 2 for line in lines)
    assert not any(lines[1]["results"])
