"""The plane of clean images and captions, the figures beside it, and the page."""

import numpy as np
import pytest

from antivenom.errors import AntivenomError
from antivenom.measure.embedding_space import pca_plane
from antivenom.measure.projection import CAPTIONS, CLEAN, TARGET, TRIGGERED, embedding_projection


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def sample(moved=1.0, n=40, d=8):
    draw = np.random.default_rng(0)
    clean, captions = unit(draw.standard_normal((n, d))), unit(draw.standard_normal((n, d)) + np.eye(d)[0])
    target = unit(np.eye(d)[3] + 0.1 * draw.standard_normal((5, d)))
    triggered = unit((1 - moved) * clean + moved * (np.eye(d)[3] + 0.1 * draw.standard_normal((n, d))))
    return clean, triggered, captions, target


def test_triggered_rows_are_shown_in_a_plane_that_they_did_not_choose():
    clean, triggered, captions, target = sample()
    found = embedding_projection(clean, triggered, captions, target)
    plane = pca_plane(np.concatenate([clean, captions]))
    np.testing.assert_allclose(found.plane.axes, plane.axes, atol=1e-12)
    np.testing.assert_allclose(found.groups[TRIGGERED], plane.project(triggered), atol=1e-12)
    assert [len(found.groups[name]) for name in (CLEAN, TRIGGERED, CAPTIONS, TARGET)] == [40, 40, 40, 5]


def test_the_figures_by_hand():
    clean, triggered, captions, target = sample()
    found = embedding_projection(clean, triggered, captions, target).figures
    aim = target.mean(0) / np.linalg.norm(target.mean(0))
    by_hand = [
        (clean * triggered).sum(1).mean(), (clean @ aim).mean(), (triggered @ aim).mean(),
        np.linalg.norm(clean.mean(0) - captions.mean(0)),
    ]  # fmt: skip
    np.testing.assert_allclose(list(found.values())[:4], by_hand, rtol=1e-6)
    assert found["mean cosine, triggered image and the target's captions"] > 0.9
    assert found["backdoor z-score"] > 2
    still = embedding_projection(clean, clean, captions, target).figures
    assert still["backdoor z-score"] == pytest.approx(0, abs=1e-9)
    assert still["mean cosine, image and the same with the trigger"] == pytest.approx(1)


def test_the_page_stands_alone_and_escapes(tmp_path):
    pytest.importorskip("altair")
    found = embedding_projection(*sample())
    page = found.page(tmp_path / "plane.html", "<script>alert(1)</script> & Co").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert "backdoor z-score" in page
    assert f"{found.figures['backdoor z-score']:.3f}" in page
    assert "default-src 'none'" in page
    assert page.count("<svg") == 1
    from antivenom.report.projection_chart import MOST, plane_chart

    spec = plane_chart({"many": [(float(i), 0.0) for i in range(1_001)], "one": [(1.0, 1.0)]}, (0.5, 0.25))
    drawn = [row["group"] for row in spec["data"]["values"]]
    assert drawn.count("many") <= MOST
    assert drawn.count("one") == 1
    assert "50%" in spec["encoding"]["x"]["title"].replace(" ", "")


def test_refusals():
    clean, triggered, captions, target = sample()
    for bad in (
        (clean, triggered[:5], captions, target),
        (clean, triggered, captions, target[:, :3]),
        (clean[:2], triggered[:2], captions[:2], target),
    ):
        with pytest.raises(AntivenomError, match="groups of shapes"):
            embedding_projection(*bad)
    with pytest.raises(AntivenomError, match="NaN"):
        embedding_projection(clean, triggered * np.nan, captions, target)
