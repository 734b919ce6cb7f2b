"""Image-caption pairs from every format; bad pictures and captions; bounded memory."""

import csv
import io
import json
import re
import struct
import tarfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from antivenom.data.image_store import ImageStore, Place, decode
from antivenom.data.image_text import open_pairs
from antivenom.data.image_world import draw_pairs
from antivenom.data.images import png_bytes, resize
from antivenom.errors import AntivenomError

PAIRS = draw_pairs(12, seed=5, size=16)


def encoded(image, kind="PNG", **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same twelve pairs in every format."""
    base = tmp_path_factory.mktemp("pairs")
    (base / "pictures").mkdir()
    names = [f"pictures/{i}.png" for i in range(12)]
    data = [png_bytes(image) for image in PAIRS.images]
    for name, content in zip(names, data, strict=True):
        (base / name).write_bytes(content)
    labels = [PAIRS.class_names[i] for i in PAIRS.labels]
    for ending, mark in (("csv", ","), ("tsv", "\t")):
        with (base / f"pairs.{ending}").open("w", newline="") as out:
            lines = csv.writer(out, delimiter=mark)
            lines.writerow(["image", "caption", "shape"])
            lines.writerows(zip(names, PAIRS.captions, labels, strict=True))
    pq.write_table(pa.table({"jpg": data, "title": PAIRS.captions, "shape": labels}), base / "bytes.parquet")
    pq.write_table(pa.table({"path": names, "caption": PAIRS.captions, "shape": labels}), base / "paths.parquet")
    struct_column = [{"bytes": content, "path": None} for content in data]
    saved = pa.table({"image": struct_column, "text": PAIRS.captions, "shape": labels})
    for place in (base / "saved", base / "splits" / "train"):
        place.mkdir(parents=True)
        with (
            pa.OSFile(str(place / "data-00000-of-00001.arrow"), "wb") as sink,
            pa.ipc.new_stream(sink, saved.schema) as w,
        ):
            w.write_table(saved, max_chunksize=5)
        (place / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (base / "splits" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    for name, mode in (("shard.tar", "w"), ("shard.tar.gz", "w:gz")):
        with tarfile.open(base / name, mode) as tar:
            for i, (content, caption, label) in enumerate(zip(data, PAIRS.captions, labels, strict=True)):
                about = json.dumps({"shape": label}).encode()
                for member, raw in (
                    (f"{i:03}.png", content),
                    (f"{i:03}.txt", caption.encode()),
                    (f"{i:03}.json", about),
                ):
                    info = tarfile.TarInfo(member)
                    info.size = len(raw)
                    tar.addfile(info, io.BytesIO(raw))
    (base / "flat").mkdir()
    lines = [json.dumps({"file_name": f"{i}.png", "text": caption}) for i, caption in enumerate(PAIRS.captions)]
    (base / "flat" / "metadata.jsonl").write_text("\n".join(lines))
    for i, content in enumerate(data):
        (base / "flat" / f"{i}.png").write_bytes(content)
        place = base / "classes" / labels[i].replace(" ", "_")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.png").write_bytes(content)
    return base


FORMATS = {
    "pairs.csv": "shape", "pairs.tsv": "shape", "bytes.parquet": "shape", "paths.parquet": "shape", "saved": "shape",
    "splits": "shape", "shard.tar": "shape", "shard.tar.gz": "shape", "flat": None,
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_pairs(folder, name):
    pairs = open_pairs(
        folder / name, size=16, label=FORMATS[name], caption="title" if name == "bytes.parquet" else None
    )
    assert len(pairs) == pairs.rows_in == 12
    assert len(set(pairs.ids)) == 12
    order = [PAIRS.captions.index(c) for c in pairs.captions] if name != "flat" else [0, 1, 10, 11, *range(2, 10)]
    if len(set(PAIRS.captions)) == 12 or name == "flat":
        np.testing.assert_array_equal(pairs.images[:], PAIRS.images[order])
    assert sorted(pairs.captions) == sorted(PAIRS.captions)
    np.testing.assert_array_equal(
        np.sort(pairs.images[:].sum((1, 2, 3))), np.sort(PAIRS.images.sum((1, 2, 3), dtype=int))
    )
    if FORMATS[name]:
        assert pairs.labels == tuple(PAIRS.class_names[i] for i in PAIRS.labels)
    assert len(open_pairs(folder / name, size=16, limit=5, caption="title" if name == "bytes.parquet" else None)) == 5


def test_folders_of_classes_need_no_captions(folder):
    pairs = open_pairs(folder / "classes", caption="folder", size=16)
    assert pairs.labels == pairs.captions
    assert sorted(pairs.labels) == sorted(PAIRS.class_names[i] for i in PAIRS.labels)


def picture_modes():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (9, 7), np.uint8)
    colour = rng.integers(0, 256, (9, 7, 4), np.uint8)
    sixteen = Image.fromarray(rng.integers(0, 65536, (9, 7)).astype(np.uint16))
    return {
        "grey": encoded(Image.fromarray(grey)),
        "palette": encoded(Image.fromarray(colour[..., :3]).quantize(16)),
        "rgba": encoded(Image.fromarray(colour)),
        "cmyk": encoded(Image.fromarray(colour[..., :3]).convert("CMYK"), "JPEG"),
        "sixteen": encoded(sixteen),
    }


def bad_pictures():
    good = png_bytes(PAIRS.images[0])

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + good[33:]
    return {
        "one": (png_bytes(np.zeros((1, 1, 3), np.uint8)), "1 x 1 pixels"),
        "cut": (good[: len(good) // 2], "broken or cut off"),
        "bomb": (bomb, "too many pixels"),
        "text": (b"not a picture at all", "no image"),
        "empty": (b"", "empty|no image"),
    }


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_pictures_of_every_mode_are_kept_and_broken_ones_set_aside_with_the_reason(tmp_path, form):
    kept, bad = picture_modes(), bad_pictures()
    content = kept | {name: raw for name, (raw, _) in bad.items()}
    captions = [f"a {name} picture" for name in content]
    if form == "csv":
        for name, raw in content.items():
            (tmp_path / name).write_bytes(raw)
        lines = "".join(f"{name},{caption}\n" for name, caption in zip(content, captions, strict=True))
        more = "nowhere.png,gone\nhttps://example.org/x.png,far\n,none\n"
        (tmp_path / "x.csv").write_text("image,caption\n" + lines + more)
    else:
        pq.write_table(pa.table({"image": list(content.values()), "caption": captions}), tmp_path / "x.parquet")
    pairs = open_pairs(tmp_path / f"x.{form}", size=8)
    assert list(pairs.captions) == captions[: len(kept)]
    for at, raw in enumerate(kept.values()):
        np.testing.assert_array_equal(pairs.images[at], decode(raw, 8))
    reasons = {q.excerpt: q.reason for q in pairs.quarantined}
    for name, (_, reason) in bad.items():
        assert re.search(reason, reasons[f"a {name} picture"])
    if form == "csv":
        assert "not there" in reasons["gone"]
        assert "web address" in reasons["far"]
        assert "missing" in reasons["none"]
    assert pairs.rows_in == len(content) + (3 if form == "csv" else 0)


def test_captions_are_kept_or_set_aside_with_the_reason(tmp_path):
    captions = ["a cat", None, "", "  ", "12345", "word " * 5_000, "一只猫", "قطة"]
    data = [png_bytes(PAIRS.images[i]) for i in range(len(captions))]
    pq.write_table(pa.table({"image": data, "caption": captions}), tmp_path / "x.parquet")
    pairs = open_pairs(tmp_path / "x.parquet", size=16)
    assert pairs.captions == ("a cat", "12345", "word " * 5_000, "一只猫", "قطة")
    assert pairs.notes == {
        "captions of digits alone": 1, "captions over 77 words": 1, "captions without a Latin letter": 2,
    }  # fmt: skip
    assert sorted(q.position for q in pairs.quarantined) == [2, 3, 4]
    assert {"the caption is empty"} < set(pairs.reasons())
    pq.write_table(pa.table({"image": data, "caption": [float("nan")] * len(data)}), tmp_path / "nan.parquet")
    with pytest.raises(AntivenomError, match="no usable pair"):
        open_pairs(tmp_path / "nan.parquet", size=16)


def test_ids_are_given_or_the_pictures_names_and_never_meet(tmp_path):
    for i in (0, 1):
        (tmp_path / f"{i}.png").write_bytes(png_bytes(PAIRS.images[i]))
    (tmp_path / "five.csv").write_text("image,caption\n0.png,one\n0.png,two\n1.png,three\n")
    assert open_pairs(tmp_path / "five.csv", size=16).ids == ("0.png", "0.png#2", "1.png")
    (tmp_path / "ids.csv").write_text("id,image,caption\na,0.png,one\na,0.png,two\nb,1.png,three\n")
    pairs = open_pairs(tmp_path / "ids.csv", size=16)
    assert pairs.ids == ("a", "b")
    assert pairs.captions == ("one", "three")
    assert "earlier row" in pairs.quarantined[0].reason


def test_columns_that_are_not_there_are_named(folder, tmp_path):
    with pytest.raises(AntivenomError, match=r"no column 'photo'(?s:.*)image, caption, shape"):
        open_pairs(folder / "pairs.csv", image="photo")
    with pytest.raises(AntivenomError, match=r"no field 'words'(?s:.*)image, caption, shape"):
        open_pairs(folder / "pairs.csv", caption="words")
    with pytest.raises(AntivenomError, match="no column 'class'"):
        open_pairs(folder / "bytes.parquet", caption="title", label="class")
    with pytest.raises(AntivenomError, match="no split 'test'"):
        open_pairs(folder / "splits", split="test")
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(AntivenomError, match="holds no pictures"):
        open_pairs(tmp_path / "x.txt")


@pytest.mark.parametrize("name", ["pairs.csv", "shard.tar", "bytes.parquet"])
def test_memory_is_bounded_and_the_pixels_are_the_same(folder, name):
    caption = "title" if name == "bytes.parquet" else None
    room = 4 * 16 * 16 * 3
    small = open_pairs(folder / name, size=16, cache_bytes=room, caption=caption).images
    large = open_pairs(folder / name, size=16, caption=caption).images
    rows = np.array([11, 3, 3, 7, 0, 11])
    np.testing.assert_array_equal(small[rows], large[rows])
    np.testing.assert_array_equal(small[2:9], large[2:9])
    np.testing.assert_array_equal(small[np.arange(12) % 2 == 0], large[::2])
    assert len(small.cache) <= 4 < len(large.cache) == 12
    before = large.decoded
    assert large.fingerprint == small.fingerprint
    assert large.decoded == before  # all of them were there
    part = small.take([5, 1])
    np.testing.assert_array_equal(part[:], large[[5, 1]])


def test_a_picture_that_changes_after_it_was_checked_is_named(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(png_bytes(PAIRS.images[0]))
    store = ImageStore([Place(str(path))], 16, cache_bytes=0, names=["row x"])
    assert store.check() == {}
    store.cache.clear()
    path.write_bytes(b"gone bad")
    with pytest.raises(AntivenomError, match="row x"):
        store[0]


def test_a_picture_is_squashed_as_the_attacks_do_it(tmp_path):
    wide = np.random.default_rng(1).integers(0, 256, (10, 30, 3), np.uint8)
    np.testing.assert_array_equal(decode(png_bytes(wide), 8), resize(wide, 8))


def test_a_store_trains_like_the_array_it_stands_for(folder):
    pytest.importorskip("torch", reason="needs the extra 'models'")
    from antivenom.models.clip import embed_images
    from antivenom.models.clip_small import small_clip
    from antivenom.train.loop import Recipe, fit, model_hash
    from antivenom.train.objectives import make_objective
    from antivenom.train.pairs import PairSource

    store = open_pairs(folder / "pairs.csv", size=16, cache_bytes=1)
    hashes = []
    for images in (store.images, PAIRS.images):
        model = small_clip(PAIRS.captions, seed=1)
        goal = make_objective("mmcl+ssl", model)
        rows = PairSource(model, images, list(PAIRS.captions), views=goal.views, ids=range(12))
        found = fit(goal, rows, Recipe(2, 4, 1e-3))
        assert 0 <= found.data_seconds <= found.seconds
        hashes.append(model_hash(model))
        np.testing.assert_allclose(embed_images(model, images, batch=5), embed_images(model, PAIRS.images), atol=1e-6)
    assert hashes[0] == hashes[1]
