"""Deep clustering: the clusters, the heads, what is trained when, and a resumed run."""

from itertools import pairwise

import numpy as np
import pytest

from antivenom.data.image_world import draw_pairs
from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from torch.nn import functional as F  # noqa: E402

from antivenom.models.clip import embed_images  # noqa: E402
from antivenom.models.clip_small import SmallConfig, small_clip  # noqa: E402
from antivenom.repair.cures import find_cure  # noqa: E402
from antivenom.repair.record import CleanPairs  # noqa: E402
from antivenom.train.clustering import HEADS, DeepClustering, spherical_kmeans  # noqa: E402
from antivenom.train.loop import Recipe, fit, model_hash  # noqa: E402
from antivenom.train.numbered import Numbered  # noqa: E402
from antivenom.train.objectives import make_objective  # noqa: E402
from antivenom.train.pairs import PairSource  # noqa: E402

WORLD = draw_pairs(64, name="clean", size=16, seed=1)
RECIPE = Recipe(epochs=3, batch=16, lr=1e-2, no_decay=("bn", "ln", "bias", "logit_scale", HEADS))


def tiny():
    return small_clip(WORLD.captions, config=SmallConfig(size=16, width=4, dim=8, text_width=8), seed=2)


def setting(recipe=RECIPE, **options):
    goal = DeepClustering(tiny(), WORLD.images, recipe, **({"clusters": 6, "weight": 2.0} | options))
    rows = PairSource(goal.model.clip, WORLD.images, WORLD.captions, views=goal.views, ids=WORLD.ids)
    return goal, Numbered(rows)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_kmeans_recovers_well_separated_directions():
    draw = np.random.default_rng(0)
    true = np.linalg.qr(draw.standard_normal((8, 8)))[0][:5]
    which = np.arange(200) % 5
    rows = unit(true[which] + 0.05 * draw.standard_normal((200, 8)))
    for seed in range(5):
        found = spherical_kmeans(rows, 5, seed=seed)
        assert np.allclose(np.linalg.norm(found, axis=1), 1)
        match = (found @ true.T).argmax(1)
        assert sorted(match) == list(range(5))
        assert (found * true[match]).sum(1).min() > 0.99
        means = unit(np.stack([rows[which == m].sum(0) for m in match]))
        assert np.allclose(found, means)  # the fixed point: normalised sums of their own rows


def test_kmeans_never_makes_the_sum_of_cosines_smaller():
    rows = unit(np.random.default_rng(1).standard_normal((120, 6)))

    def value(iterations):
        return (rows @ spherical_kmeans(rows, 7, iterations=iterations, seed=3).T).max(1).sum()

    values = [value(i) for i in range(8)]
    assert all(b >= a - 1e-9 for a, b in pairwise(values))
    assert values[-1] > values[0]


def test_fewer_rows_than_clusters_are_refused_and_every_cluster_has_a_row():  # U14
    rows = unit(np.random.default_rng(2).standard_normal((9, 4)))
    labels = (rows @ spherical_kmeans(rows, 9).T).argmax(1)
    assert len(set(labels)) == 9
    with pytest.raises(AntivenomError, match="10 clusters of 9 rows"):
        spherical_kmeans(rows, 10)
    with pytest.raises(AntivenomError, match="3 of them distinct"):
        spherical_kmeans(np.repeat(rows[:3], 4, axis=0), 4)
    with pytest.raises(AntivenomError, match="65 clusters"):
        setting(clusters=65)


def test_the_loss_is_the_contrastive_one_plus_the_weighted_cross_entropy():
    goal, data = setting()
    goal.model.eval()
    batch = data.batch(np.arange(16), np.random.default_rng(0))
    loss, found = goal.loss(batch)
    plain, _ = make_objective("mmcl", goal.model.clip).loss(batch)
    rows = embed_images(goal.model.clip, WORLD.images)
    centroids = goal.model.centroids.numpy()
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-6)
    label = (rows[:16] @ centroids.T).argmax(1)
    head = goal.model.heads[0]
    logits = rows[:16] @ head.weight.detach().numpy().T
    by_hand = np.mean([np.log(np.exp(row).sum()) - row[y] for row, y in zip(logits, label, strict=True)])
    assert found["clustering"].item() == pytest.approx(by_hand, rel=1e-4)
    assert loss.item() == pytest.approx(plain.item() + 2 * by_hand, rel=1e-5)
    assert not head.bias.any()
    assert 0.005 < head.weight.std() < 0.015


def test_the_gradient_of_the_head_s_cross_entropy():
    draw = np.random.default_rng(4)
    x, w, b = (torch.from_numpy(draw.standard_normal(s)).requires_grad_() for s in ((5, 3), (4, 3), (4,)))
    label = torch.tensor([0, 3, 1, 1, 2])
    assert torch.autograd.gradcheck(
        lambda x, w, b: F.cross_entropy(F.linear(F.normalize(x, dim=1), w, b), label), (x, w, b)
    )


def test_each_epoch_has_a_fresh_head_and_the_others_rest():  # U14
    goal, data = setting()
    before = [head.weight.detach().clone() for head in goal.model.heads]
    seen, centroids = [], []

    def note(epoch, model):
        seen.append([not torch.equal(h.weight, b) for h, b in zip(model.heads, before, strict=True)])
        centroids.append(model.centroids.clone())

    fit(goal, data, RECIPE, after_epoch=note)
    assert seen == [[True, False, False], [True, True, False], [True, True, True]]
    assert int(goal.model.steps) == 12
    assert not torch.equal(centroids[0], centroids[1])
    longer, data = setting()
    kept = []
    fit(longer, data, RECIPE, after_epoch=lambda epoch, model: kept.append(model.heads[0].weight.detach().clone()))
    assert torch.equal(kept[0], kept[2])  # the head of the first epoch is not touched any more: no moments, no decay


@pytest.mark.parametrize("at", [3, 4, 6])
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, at):
    whole, data = setting()
    fit(whole, data, RECIPE)

    class Killed(Exception):
        pass

    def stop(step):
        if step == at + 1:
            raise Killed

    broken, data = setting(recipe := Recipe(**(RECIPE.__dict__ | {"checkpoint_every": at})))
    with pytest.raises(Killed):
        fit(broken, data, recipe, out=tmp_path, after_step=stop)
    again, data = setting(recipe)
    assert fit(again, data, recipe, out=tmp_path).resumed_from == at
    assert model_hash(again.model) == model_hash(whole.model)


def test_an_oracle_s_labels_keep_one_head_and_it_learns_them():
    recipe = Recipe(**(RECIPE.__dict__ | {"epochs": 60, "lr": 3e-2}))
    goal, data = setting(recipe, clusters=10, labels=WORLD.labels, weight=5.0)
    assert len(goal.model.heads) == 1
    fit(goal, data, recipe)
    logits = goal.model.heads[0](torch.from_numpy(embed_images(goal.model.clip, WORLD.images)))
    assert (logits.argmax(1).numpy() == WORLD.labels).mean() > 0.5  # of 10 classes
    assert not goal.model.centroids.any()  # nothing was clustered
    with pytest.raises(AntivenomError, match="pseudo-labels"):
        setting(clusters=5, labels=WORLD.labels)


def test_the_cure_changes_the_clip_and_says_what_it_did():
    pairs = CleanPairs(WORLD.images, WORLD.captions, WORLD.ids, WORLD.labels, WORLD.class_names)
    recipe = Recipe(epochs=2, batch=16, lr=1e-2)
    done = find_cure("deep-clustering")(tiny().eval(), pairs, recipe, 0)
    assert done.record.settings == {"clusters": 4, "weight": 5.0, "objective": "mmcl+ssl", "oracle": False}
    assert HEADS in done.record.recipe["no_decay"]  # the record is what was done
    plain = find_cure("deep-clustering")(tiny().eval(), pairs, recipe, 0, weight=0.0)
    clean = find_cure("cleanclip")(tiny().eval(), pairs, recipe, 0)
    assert plain.record.hash_after == clean.record.hash_after  # without the term it is CleanCLIP
    assert plain.record.hash_after != done.record.hash_after
    oracle = find_cure("deep-clustering")(tiny().eval(), pairs, recipe, 0, labels=WORLD.labels)
    assert oracle.record.settings["clusters"] == 10
