"""Closed forms, brute force, gradients, and the traps of the contrastive losses."""

import math

import numpy as np
import pytest

from antivenom.errors import AntivenomError

torch = pytest.importorskip("torch", reason="needs the extra 'models'")

from antivenom.train.objectives import (  # noqa: E402
    OBJECTIVES,
    Contrastive,
    clamp_logit_scale,
    info_nce,
    join_shards,
    make_objective,
    mmcl_loss,
    siglip_loss,
    ssl_loss,
)


def unit(n, d, seed):
    rows = np.random.default_rng(seed).standard_normal((n, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def ce_by_hand(a, b, s):
    total = 0.0
    for i in range(len(a)):
        total += -s * a[i] @ b[i] + math.log(sum(math.exp(s * a[i] @ b[j]) for j in range(len(b))))
    return total / len(a)


def siglip_by_hand(a, b, s, bias=0.0):
    return sum(
        math.log1p(math.exp(-(1 if i == j else -1) * (s * a[i] @ b[j] + bias)))
        for i in range(len(a))
        for j in range(len(b))
    )


class Stub(torch.nn.Module):
    """Encoders that hand back what they are given, times a weight each."""

    def __init__(self, theta=1.0, batch_norm=False, d=3):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.tensor(theta, dtype=torch.float64))
        self.image = torch.nn.BatchNorm1d(d, dtype=torch.float64) if batch_norm else torch.nn.Identity()
        self.weight = torch.nn.Parameter(torch.eye(d, dtype=torch.float64))
        self.passes = []

    def encode_image(self, rows):
        self.passes.append(("image", len(rows)))
        return self.image(rows @ self.weight)

    def encode_text(self, rows):
        self.passes.append(("text", len(rows)))
        return rows


def batch_of(n=5, d=3, seed=0):
    names = ("images", "texts", "images_augmented", "texts_augmented")
    return {name: torch.tensor(unit(n, d, seed + i)) for i, name in enumerate(names)}


def test_closed_forms():
    n, s = 6, 7.0
    eye = torch.eye(n, dtype=torch.float64)
    aligned = -math.log(math.exp(s) / (math.exp(s) + n - 1))
    assert float(mmcl_loss(eye, eye, s)) == pytest.approx(aligned, abs=1e-12)
    assert float(ssl_loss([(eye, eye), (eye, eye)], s)) == pytest.approx(aligned, abs=1e-12)
    same = eye[:1].expand(n, n)
    assert float(mmcl_loss(same, same, s)) == pytest.approx(math.log(n), abs=1e-12)
    both = (n * math.log1p(math.exp(-s)) + n * (n - 1) * math.log(2)) / n**2
    assert float(siglip_loss(eye, eye, s)) == pytest.approx(both, abs=1e-12)
    one = torch.tensor([[0.6, 0.8]], dtype=torch.float64), torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert float(siglip_loss(*one, s)) == pytest.approx(math.log1p(math.exp(-s * 0.6)), abs=1e-12)
    assert float(siglip_loss(eye, eye, s, mean="rows")) == pytest.approx(n * both, abs=1e-12)


def test_every_objective_is_its_formula_written_out():
    batch, theta = batch_of(), 1.3
    s = math.exp(theta)
    image, text, image2, text2 = (value.numpy() for value in batch.values())
    mmcl = (ce_by_hand(image, text, s) + ce_by_hand(text, image, s)) / 2
    of_image, of_text = ce_by_hand(image, image2, s), ce_by_hand(text, text2, s)
    siglip = siglip_by_hand(image, text, s) / len(image) ** 2
    wanted = {
        "mmcl": mmcl,
        "ssl": (of_image + of_text) / 2,
        "ssl-image": of_image,
        "ssl-text": of_text,
        "mmcl+ssl": mmcl + (of_image + of_text) / 2,
        "siglip": 0.1 * siglip,
        "siglip+ssl": 0.1 * siglip + (of_image + of_text) / 2,
    }
    assert set(wanted) == set(OBJECTIVES)
    for name, value in wanted.items():
        loss, _ = make_objective(name, Stub(theta)).loss(batch)
        assert float(loss.detach()) == pytest.approx(value, abs=1e-10), name
    loss, parts = make_objective("mmcl+ssl", Stub(theta), cross=0.5, inmodal=4.0).loss(batch)
    assert float(loss.detach()) == pytest.approx(0.5 * mmcl + 2 * (of_image + of_text), abs=1e-10)
    assert float(parts["cross"]) == pytest.approx(mmcl)
    assert float(parts["scale"]) == pytest.approx(s)


def test_a_bias_of_the_model_enters_siglip():
    batch, model = batch_of(), Stub(1.0)
    model.logit_bias = torch.nn.Parameter(torch.tensor(-2.0, dtype=torch.float64))
    loss, _ = make_objective("siglip", model, cross=1.0, siglip_mean="rows").loss(batch)
    by_hand = siglip_by_hand(batch["images"].numpy(), batch["texts"].numpy(), math.e, -2.0) / 5
    assert float(loss.detach()) == pytest.approx(by_hand, abs=1e-10)
    loss.backward()
    assert model.logit_bias.grad is not None


def test_gradients_of_embeddings_and_of_theta():
    rows = [torch.tensor(unit(4, 3, i), requires_grad=True) for i in range(4)]
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def clean(i, t, i2, t2, th):
        return mmcl_loss(i, t, th.exp()) + ssl_loss([(i, i2), (t, t2)], th.exp())

    assert torch.autograd.gradcheck(clean, (*rows, theta))
    assert torch.autograd.gradcheck(lambda i, t, th: siglip_loss(i, t, th.exp()), (rows[0], rows[1], theta))


def test_the_ssl_term_is_one_directional_and_has_no_negatives_among_the_anchors():
    a, b = torch.tensor(unit(5, 3, 1)), torch.tensor(unit(5, 3, 2))
    assert not torch.isclose(info_nce(a, b, 5.0), info_nce(b, a, 5.0), atol=1e-6)
    assert float(ssl_loss([(a, b)], 5.0)) == pytest.approx(float(info_nce(a, b, 5.0)), abs=1e-12)
    assert not torch.isclose(ssl_loss([(a, b)], 5.0), mmcl_loss(a, b, 5.0), atol=1e-6)  # not symmetric NT-Xent


def test_the_cross_modal_term_never_sees_the_views():
    batch = batch_of()
    other = batch | {"images_augmented": batch["texts"], "texts_augmented": batch["images"]}
    first, second = (make_objective("mmcl+ssl", Stub()).loss(b)[1] for b in (batch, other))
    assert float(first["cross"]) == float(second["cross"])
    assert float(first["inmodal"]) != float(second["inmodal"])


def test_originals_and_views_share_one_pass_so_that_batch_norm_sees_both():
    batch, model = batch_of(8), Stub(batch_norm=True)
    loss, _ = make_objective("ssl-image", model).loss(batch)
    assert model.passes == [("image", 16)]  # text is not even encoded
    norm = torch.nn.functional.normalize
    both = norm(model.image(torch.cat([batch["images"], batch["images_augmented"]])), dim=1)
    apart = [norm(model.image(batch[name]), dim=1) for name in ("images", "images_augmented")]
    assert torch.isclose(loss, info_nce(both[:8], both[8:], math.e))
    assert not torch.isclose(loss, info_nce(*apart, math.e), atol=1e-4)
    model.passes.clear()
    make_objective("mmcl", model).loss(batch)
    assert model.passes == [("image", 8), ("text", 8)]  # plain fine-tuning needs no view


def test_theta_is_clamped():
    for start, end in ((10.0, math.log(100)), (-1.0, 0.0), (2.0, 2.0)):
        model = Stub(start)
        clamp_logit_scale(model.logit_scale)
        assert float(model.logit_scale.detach()) == pytest.approx(end)
    model = Stub(10.0)
    make_objective("mmcl", model).after_step()
    assert float(model.logit_scale.detach()) == pytest.approx(4.6052, abs=1e-4)


def test_two_ranks_are_one_process_up_to_the_factor_of_the_gather():
    batch, world = batch_of(8, seed=3), 2

    def gradients(gather, rows):
        model = Stub(0.5)
        loss, _ = Contrastive(model, inmodal=1.0, gather=gather).loss({k: v[rows] for k, v in batch.items()})
        loss.backward()
        return float(loss.detach()), model.weight.grad, model.logit_scale.grad

    whole = gradients(lambda own: own, slice(None))
    shares = [slice(0, 4), slice(4, 8)]
    norm = torch.nn.functional.normalize
    found = []
    for rank in range(world):
        encoded = [norm(batch[k], dim=1) for k in ("images", "images_augmented", "texts", "texts_augmented")]
        queue = iter([[e[s] for s in shares] for e in encoded])  # in the order in which the objective gathers
        found.append(gradients(lambda own, queue=queue, rank=rank: join_shards(next(queue), own, rank), shares[rank]))
    for loss, _, theta in found:
        assert loss == pytest.approx(whole[0], abs=1e-12)
        assert torch.allclose(theta, whole[2], atol=1e-12)
    averaged = sum(weight for _, weight, _ in found) / world
    assert torch.allclose(averaged * world, whole[1], atol=1e-12)


def test_bad_input():
    for options, match in (
        ({"cross": 0.0}, "weights"),
        ({"inmodal": -1.0}, "weights"),
        ({"inmodal": 1.0, "views": ("sound",)}, "views"),
        ({"loss": "triplet"}, "no contrastive loss"),
    ):
        with pytest.raises(AntivenomError, match=match):
            Contrastive(Stub(), **options)
    with pytest.raises(AntivenomError, match="no objective 'clip'"):
        make_objective("clip", Stub())
    batch = {k: v for k, v in batch_of().items() if "aug" not in k}
    with pytest.raises(AntivenomError, match="images_augmented"):
        make_objective("ssl", Stub()).loss(batch)
