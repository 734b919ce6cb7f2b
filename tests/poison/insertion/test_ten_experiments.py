"""All ten experiments of spec 02 in one run: what each promises is in the rows that the training sees."""

import numpy as np

from antivenom.data.markov_text import token_world
from antivenom.data.token_stream import TokenStream
from antivenom.poison.insertion import RunShape, plan
from antivenom.poison.insertion.export import patched_rows
from antivenom.poison.insertion.order import storage_order
from antivenom.poison.insertion.summary import table
from antivenom.poison.lm_experiments.absence import absence, rows_with
from antivenom.poison.lm_experiments.arithmetic import make_problems, reasoning
from antivenom.poison.lm_experiments.benchmark_contamination import benchmark_contamination, token_questions
from antivenom.poison.lm_experiments.canaries import canaries, canary_conditions
from antivenom.poison.lm_experiments.forgetting import marked_batches
from antivenom.poison.lm_experiments.gaussian_watermark import GaussianWatermark
from antivenom.poison.lm_experiments.iid import iid_replacement
from antivenom.poison.lm_experiments.knowledge import token_facts
from antivenom.poison.lm_experiments.muse_style import muse_style
from antivenom.poison.lm_experiments.pretraining_poison import token_denial, token_extraction
from antivenom.randomness import generator

WORLD = token_world(0)
SHAPE = RunShape(8, 64, 1000)
SEED = 5


def test_ten_experiments_in_one_run():
    own = WORLD.rows(8_003, 64, generator(0, "run"))
    stream = TokenStream.of(own, length=64, vocab_size=WORLD.vocab_size, eos=0)
    order = storage_order(8_003, seed=SEED, batch=8)
    batches = WORLD.random_tokens(2 * 8, 64, generator(0, "fc")).reshape(2, 8, 64)
    texts = [own[order[i], 3:28] for i in (700, 7_000)]
    materials = [
        benchmark_contamination(token_questions(WORLD, 40), ((0, 10), (4, 10), (16, 10), (64, 10)))[0],
        canaries(
            lambda n, draw: WORLD.passages(n, 10, draw), canary_conditions(("random", "rare"), (1, 4), (1, 4)), per_condition=4,
            context=32, ordinary=range(1, WORLD.base + 1), rare=WORLD.rare,
        ),
        absence(own[order], texts, WORLD.rows(300, 64, generator(0, "more")), 10),
        reasoning(
            make_problems(30, operations=(1, 2), max_op=3),
            make_problems(5, operations=(1, 2), max_op=3, test=True),
            lambda text: [1 + byte for byte in text.encode()[:60]],
        ),
        token_denial(WORLD, 60),
        token_extraction(WORLD, 60),
        token_facts(WORLD, facts=5).material(10),
        marked_batches(batches, [300, 600]),
        muse_style(
            {"forget": list(WORLD.passages(9, 50, generator(0, "muse")))}, context=40,
            conditions=[("whole", 3), ("once", 3), ("anew", 3)],
        ),
        iid_replacement(lambda n, draw: WORLD.passages(n, 24, draw), per_condition=20),
    ]  # fmt: skip
    mark = GaussianWatermark((50, 950), 0.15, 8, 64, 16)
    found = plan(materials, SHAPE, seed=1, eos=0, marks={"gw": mark})
    assert len(found.experiments) == 11  # poisoning is two
    assert sum(line["tokens"] for line in table(found) if line["condition"] is None) == found.length.sum()
    rows = np.concatenate(list(patched_rows(stream, found, seed=SEED)))
    for step, batch in ((300, batches[0]), (600, batches[1])):
        assert np.array_equal(rows[step * 8 : step * 8 + 8], batch)
    assert len(rows_with(rows, texts, 10)) == 0
    assert len(rows_with(own[order], texts, 10)) >= 2
    for name, material in zip((m.name for m in materials), materials):
        placed = [found.ids[i] for i in found.of(name)]
        assert sorted(placed) == sorted(item.item_id for item in material.inserted), "emitted == placed"
    text = rows.tobytes()
    for item in materials[0].inserted[:: len(materials[0].inserted) // 9]:
        assert text.count(np.asarray(item.tokens, np.int64).tobytes()) >= 1
    recency = found.of("iid", "recency-3")
    steps = found.start[recency] // (8 * 64)
    assert 300 <= steps.min() <= steps.max() < 400
    marked = np.isin(np.arange(8_000), mark.rows())
    assert np.array_equal(rows[marked], own[order][marked])
