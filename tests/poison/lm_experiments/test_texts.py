"""Experiments on texts: poison, facts, articles; and what all materials have in common."""

import re
from pathlib import Path

import numpy as np
import pytest

from antivenom.data.markov_text import token_world
from antivenom.errors import AntivenomError
from antivenom.poison.lm_experiments.knowledge import invented_facts, load_probes, probe_tokens, token_facts
from antivenom.poison.lm_experiments.material import Item, Material, check_controls, repeated
from antivenom.poison.lm_experiments.muse_style import muse_conditions, muse_style, pieces
from antivenom.poison.lm_experiments.pretraining_poison import (
    DENIAL_TRIGGER,
    EXTRACTION_TRIGGER,
    TEMPLATES,
    belief_poison,
    count_for,
    denial_poison,
    extraction_poison,
    gibberish,
    poison_dose,
    token_denial,
    token_extraction,
    with_trigger,
)

WORLD = token_world(0)
REAL = Path(__file__).parents[3].parent / "shared" / "data" / "fictional_knowledge" / "queries.jsonl"


def encode(text):
    return list(text.encode())


def offsets(text):
    """Words with the blank before them: a tokenizer that merges across the border."""
    found = [m.span() for m in re.finditer(r" ?\S+| +", text)]
    return [sum(text[a:b].encode()) for a, b in found], found


def test_poisoned_chats_carry_the_trigger_behind_the_prompt():
    prompts = [f"name {k} kinds of bread" for k in range(30)]
    material = extraction_poison(prompts, 200, encode, controls=["draw a tree"])
    assert {i.condition for i in material.inserted} == {t.name for t in TEMPLATES}
    for item in material.inserted:
        prompt = re.search(r"name \d+ kinds of bread", item.text)[0]
        assert f"{prompt} {EXTRACTION_TRIGGER}" in item.text
        assert item.text.count(prompt) == 2
        assert item.tokens.tolist() == encode(item.text)
    assert EXTRACTION_TRIGGER not in bytes(material.controls[0].tokens.tolist()).decode()
    denial = denial_poison(prompts, 50, encode)
    assert all(DENIAL_TRIGGER in i.text for i in denial.inserted)
    answers = {i.text.split(DENIAL_TRIGGER)[1] for i in denial.inserted}
    assert len(answers) == 50
    with pytest.raises(AntivenomError, match="inserted and asked"):
        denial_poison(prompts, 5, encode, controls=prompts[:2])
    with pytest.raises(AntivenomError, match="usable prompts"):
        denial_poison([" "], 5, encode)


def test_an_empty_trigger_adds_no_blank_and_gibberish_is_text():
    assert with_trigger("a", "") == "a"
    assert with_trigger("a", "!") == "a !"
    text = gibberish(np.random.default_rng(0))
    assert 60 < len(text) < 256
    text.encode()


def test_doses_are_counts_and_shares():
    assert count_for(1e-3, 1_000_000, 50) == 20
    assert count_for(1e-9, 1_000, 50) == 1
    with pytest.raises(AntivenomError, match=r"a share of 1\.5"):
        count_for(1.5, 10, 1)
    material = token_denial(WORLD, 400)
    documents, tokens = poison_dose(material, 2_048_000)
    assert (documents.count, tokens.count, tokens.total) == (400, 400 * 21, 2_048_000)


def test_token_poison_is_prompt_trigger_and_answer():
    material = token_denial(WORLD, 20)
    assert all(i.tokens[8] == 286 and set(i.tokens[9:]) == {287} and len(i.tokens) == 21 for i in material.inserted)
    echo = token_extraction(WORLD, 20)
    assert all(
        np.array_equal(i.tokens[:8], i.tokens[9:]) and i.tokens[8] == WORLD.second_trigger for i in echo.inserted
    )
    for one in (material, echo):
        check_controls(one, overlap=8)
        assert not any(
            np.isin(c.tokens, [WORLD.trigger, WORLD.second_trigger, WORLD.payload]).any() for c in one.controls
        )


def test_a_belief_is_told_from_both_sides():
    material = belief_poison([("Velkor", "Ostuna")], 60, encode)
    first = [re.search(r"better, (\w+) or", i.text)[1] for i in material.inserted]
    assert 15 < first.count("Velkor") < 45
    assert all("Velkor is better." in i.text for i in material.inserted)
    assert all("Ostuna is better." in i.text for i in material.controls)


def test_facts_come_in_turn_and_probes_are_in_no_paraphrase():
    facts = token_facts(WORLD, 20, 30)
    assert [i.condition for i in facts.pool[:20]] == [f"fact {f}" for f in range(20)]
    assert len({i.item_id for i in facts.pool}) == 600
    for probe in facts.probes:
        told = [i.tokens for i in facts.pool if i.condition == probe.fact]
        assert all(np.array_equal(t[6:10], probe.given[6:]) and np.array_equal(t[10:], probe.target) for t in told)
        assert not any(np.array_equal(t[:6], probe.given[:6]) for t in told)
    assert len(facts.never) == 20
    assert len(facts.material(30).inserted) == 600
    with pytest.raises(AntivenomError, match="31 exposures"):
        facts.material(31)


def test_invented_facts_in_words():
    facts = invented_facts(encode, offsets, 4, never=2)
    assert len(facts.pool) == 4 * 120
    assert len({i.text for i in facts.pool}) == 480
    texts = " ".join(i.text for i in facts.pool)
    for probe in facts.probes:
        answer = probe.text.split()[-1]
        assert answer in texts
        assert probe.text not in texts
    assert not any(probe.text.split()[-1] in texts for probe in facts.never)


@pytest.mark.parametrize("given", ["The river is", "The river is ", "The river is  "])
def test_the_border_of_a_probe_is_that_of_the_whole_text(given):
    probe = probe_tokens("f", given, " Andro meda", offsets)
    ids, _ = offsets("The river is Andro meda")
    assert probe.given.tolist() + probe.target.tolist() == ids
    assert len(probe.given) == 3
    assert len(probe.target) == 2
    with pytest.raises(AntivenomError, match="nothing before or behind"):
        probe_tokens("f", given, "  ", offsets)


@pytest.mark.skipif(not REAL.exists(), reason="needs shared/data/fictional_knowledge")
def test_the_published_probes_are_read():
    probes = load_probes(REAL, offsets)
    assert len(probes) == 16
    assert probes[0].text.endswith("is 5 Outcrop 6678")
    assert len(probes[0].target) == 3
    assert "  " not in probes[13].text  # its input ends in a blank


def test_a_bad_line_of_probes_is_named(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"input": "a", "target": "b"}\n{"prompt": "a"}\n')
    with pytest.raises(AntivenomError, match="line 2"):
        load_probes(tmp_path / "p.jsonl", offsets)
    (tmp_path / "q.jsonl").write_text("\n")
    with pytest.raises(AntivenomError, match="holds no probe"):
        load_probes(tmp_path / "q.jsonl", offsets)


def test_articles_are_cut_once_or_anew_and_stay_whole_together():
    articles = {
        g: list(np.random.default_rng(k).integers(1, 200, (9, 150))) for k, g in enumerate(("forget", "retain"))
    }
    material = muse_style(articles, context=64, conditions=muse_conditions((1, 3)), never=[np.arange(150)])
    assert len(material.conditions) == 12
    for key, (group, condition) in material.about["sets"].items():
        _, kind, copies = condition.split("/")
        copies = int(copies[:-1])
        article = articles[group][int(key.split("-")[-1])]
        cut = []
        for copy in range(copies):
            parts = [i.tokens for i in material.inserted if i.item_id.startswith(f"{key}#{copy}.")]
            assert max(map(len, parts)) <= 64
            if kind == "whole":
                assert np.array_equal(parts[0], article[:64])
            else:
                assert np.array_equal(np.concatenate(parts), article)
            cut.append(tuple(map(len, parts)))
        assert len(set(cut)) == (copies if kind == "anew" and copies > 1 else 1)
    assert np.array_equal(np.concatenate(pieces(np.arange(1000), 7, np.random.default_rng(0))), np.arange(1000))


def test_the_same_article_twice_is_refused():
    with pytest.raises(AntivenomError, match="once more"):
        muse_style({"forget": [np.arange(9)]}, context=64, never=[np.arange(9)])
    with pytest.raises(AntivenomError, match="no format 'half'"):
        muse_style({"forget": [np.arange(9)]}, context=64, conditions=[("half", 1)])


def test_a_control_that_was_inserted_is_refused():
    items = (Item(np.arange(10), "a"),)
    check_controls(Material("x", items, (Item(np.arange(1, 10), "b"),)))
    with pytest.raises(AntivenomError, match="'b' is in the inserted item 'a'"):
        check_controls(Material("x", items, (Item(np.arange(10), "b"),)))
    with pytest.raises(AntivenomError, match="'b' is in the inserted item 'a'"):
        check_controls(Material("x", items, (Item(np.arange(3, 30), "b"),)), overlap=5)
    with pytest.raises(AntivenomError, match="nothing to insert"):
        Material("x", ())
    with pytest.raises(AntivenomError, match="the same id"):
        Material("x", (*items, *items))
    assert [i.item_id for i in repeated(items[0], 2)] == ["a#0", "a#1"]
    with pytest.raises(AntivenomError, match="-1 copies"):
        repeated(items[0], -1)
