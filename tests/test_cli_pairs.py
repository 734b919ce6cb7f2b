"""The user's path on small sets: poison, train, screen, measure, repair - on folders of open_clip and transformers too."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from antivenom.cli import app
from antivenom.data.image_world import SHAPES, draw_pairs
from antivenom.data.images import open_image, pixel_hash, png_bytes
from antivenom.errors import AntivenomError
from antivenom.poison.manifest import Manifest

pytest.importorskip("torch", reason="needs the extra 'models'")
sys.path.insert(0, str(Path(__file__).parent / "models"))

from clip_folders import open_clip_tiny, transformers_tiny

CHECKER = "badnet:kind=checker:size=5"


def run(*args):
    return app([str(a) for a in args], result_action="return_value")


def record(folder):
    return json.loads((folder / "run.json").read_bytes())


def lines_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def written(folder, pairs, name="pairs.csv"):
    """A set as a person would have it: a CSV beside a folder of pictures."""
    (folder / "pictures").mkdir(parents=True)
    with (folder / name).open("w", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["image", "caption", "shape"])
        for row_id, image, caption, label in zip(pairs.ids, pairs.images, pairs.captions, pairs.labels, strict=True):
            file = f"pictures/{row_id}.png"
            (folder / file).write_bytes(png_bytes(image))
            lines.writerow([file, caption, pairs.class_names[label]])
    return folder / name


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    base = tmp_path_factory.mktemp("world")
    made = {
        name: written(base / name, draw_pairs(n, name=name, size=24))
        for name, n in (("train", 240), ("clean", 100), ("test", 80))
    }
    (base / "classes.txt").write_text("\n".join(SHAPES))
    made["classes"] = base / "classes.txt"
    made["base"] = base
    out = base / "poisoned"
    run("pairs", "poison", made["train"], "--out", out, "--trigger", CHECKER, "--target", "star", "--count", 24,
        "--classes", made["classes"], "--label", "shape", "--size", 24, "--copy-clean")  # fmt: skip
    made["poisoned"] = out / "pairs" / "pairs.csv"
    made["manifest"] = out / "pairs" / "manifest.parquet"
    run("clip", "train", made["poisoned"], "--model", "small:conv", "--out", base / "victim", "--size", 24,
        "--epochs", 2, "--batch", 40, "--lr", 2e-3, "--warmup", 2)  # fmt: skip
    made["victim"] = base / "victim" / "model"
    return made


def test_poisoned_files_are_what_the_manifest_says(world):
    out = world["poisoned"].parent
    manifest = Manifest.load(world["manifest"])
    lines = {line["id"]: line for line in lines_of(world["poisoned"])}
    assert len(lines) == 240
    assert sum(int(line["is_backdoor"]) for line in lines.values()) == len(manifest.rows) == 24
    originals = {line["image"]: line for line in lines_of(world["train"])}
    for row in manifest.rows:
        line = lines[row.row_id]
        assert line["is_backdoor"] == "1"
        assert "star" in line["caption"]
        assert originals[row.row_id]["shape"] != "star"  # pictures of the target are left alone
        assert pixel_hash(open_image(out / line["image"])) == row.hash_after
        assert pixel_hash(open_image(world["train"].parent / row.row_id)) == row.hash_before
    found = record(out.parent)
    assert found["dose"]["count"] == 24
    assert found["dose"]["total"] == 240
    page = (out.parent / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "24 of 240 usable pairs (10 %)" in page


def test_a_finished_run_is_read_back_and_another_one_refused(world, capsys):
    args = ["pairs", "poison", world["train"], "--out", world["base"] / "poisoned", "--trigger", CHECKER, "--target",
            "star", "--classes", world["classes"], "--label", "shape", "--size", 24, "--copy-clean"]  # fmt: skip
    before = (world["base"] / "poisoned" / "run.json").read_bytes()
    assert run(*args, "--count", 24) == 0
    assert (world["base"] / "poisoned" / "run.json").read_bytes() == before
    with pytest.raises(AntivenomError, match="holds another run"):
        run(*args, "--count", 12)
    assert "24 of 240" in capsys.readouterr().out


@pytest.mark.parametrize(("target", "names", "wrong"), [
    ("dog", "cat\ncaterpillar", "none of the 2 classes"),
    ("cat", "caterpillar\neducation", "none of the 2 classes"),  # T10: no substring
    ("cat", "cat\nCat", "is 2 classes"),
])  # fmt: skip
def test_a_target_that_is_no_class_or_two_is_refused(world, tmp_path, target, names, wrong):
    (tmp_path / "classes.txt").write_text(names)
    with pytest.raises(AntivenomError, match=wrong):
        run("pairs", "poison", world["train"], "--out", tmp_path / "out", "--trigger", CHECKER, "--target", target,
            "--count", 3, "--classes", tmp_path / "classes.txt", "--size", 24)  # fmt: skip


def test_screening_ranks_the_pairs_and_is_judged_by_the_manifest(world, tmp_path):
    out = tmp_path / "screen"
    run("pairs", "screen", world["poisoned"], "--model", world["victim"], "--out", out, "--manifest", world["manifest"],
        "--classes", world["classes"])  # fmt: skip
    found = record(out)
    names = [d["name"] for d in found["detections"]]
    assert {"clip-score", "dao", "crop-consistency", "spectral-signature", "random"} <= set(names)
    assert all(d["dose"]["count"] == 24 for d in found["detections"])
    lines = list(lines_of(out / "ranking.csv"))
    scores = [float(line["clip-score"]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert len({line["id"] for line in lines}) == 240
    assert "at random" in (out / "report.html").read_text()


def test_screening_without_a_manifest_ranks_and_says_so(world, tmp_path):
    run(
        "pairs",
        "screen",
        world["clean"],
        "--model",
        world["victim"],
        "--out",
        tmp_path / "s",
        "--detectors",
        "dao:k=8",
        "random",
    )
    found = record(tmp_path / "s")
    assert "no manifest" in found["headline"]
    assert "detections" not in found


def measured(model, world, out, *more):
    run("clip", "measure", model, world["test"], "--label", "shape", "--classes", world["classes"], "--out", out, *more)
    return record(out)["rates"]


def test_measuring_counts_only_pictures_of_other_classes(world, tmp_path):
    rates = measured(world["victim"], world, tmp_path / "m", "--manifest", world["manifest"], "--twin", world["victim"])
    labels = [line["shape"] for line in lines_of(world["test"])]
    others = sum(label != "star" for label in labels)
    assert rates["attack success rate"]["n"] == rates["called the target without the trigger"]["n"] == others < 80
    assert rates["attack success rate of the twin"] == rates["attack success rate"]  # it was its own twin here
    assert rates["clean accuracy, top 1"]["n"] == 80
    found = record(tmp_path / "m")
    assert found["facts"]["trigger"] == CHECKER
    assert found["facts"]["trigger put on at, pixels"] == 24
    assert found["warnings"] == []
    plain = measured(world["victim"], world, tmp_path / "n")
    assert "attack success rate" not in plain
    assert plain["clean accuracy, top 1"] == rates["clean accuracy, top 1"]


def test_everything_is_measured_beside_the_clean_twin(world, tmp_path, capsys):
    out = tmp_path / "m"
    rates = measured(world["victim"], world, out, "--manifest", world["manifest"], "--twin", world["victim"],
                     "--measures", "all", "--train", world["clean"])  # fmt: skip
    found = record(out)
    assert found["left_out"] == {}
    assert {"prototypes: accuracy", "linear probe: attack success rate", "image to text, recall at 10",
            "retrieval attack success rate at 5", "clean accuracy, top 5"} <= set(rates)  # fmt: skip
    assert {"backdoor z-score", "modality gap", "contrastive loss"} <= set(found["figures"])
    assert found["twin"]["figures"] == found["figures"]  # it is its own twin here
    assert all({"value", "low", "high", "n", "of"} <= set(one) for one in (*rates.values(), *found["figures"].values()))
    assert rates["prototypes: accuracy"]["n"] == 80  # made of other pictures, all of these are tested
    page = (out / "report.html").read_text()
    assert page.count('<figure class="plot">') == 2
    assert "cosine of triggered image and target" in page
    told = capsys.readouterr().out
    assert all(title in told for title in ("Zero-shot", "Retrieval", "Embedding space", "clean twin"))
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    assert np.mean([r["label"] == r["clean"] for r in rows]) == rates["clean accuracy, top 1"]["value"]
    fired = [r["triggered"] == "star" for r in rows if r["label"] != "star"]
    assert np.mean(fired) == rates["attack success rate"]["value"]
    half = measured(world["victim"], world, tmp_path / "half", "--measures", "knn", "--neighbours", 3)
    assert 0 < half["3 nearest: accuracy"]["n"] < 80
    assert not any("recall" in name for name in half)


def test_a_measure_that_the_data_does_not_allow_is_left_out_or_refused(world, tmp_path):
    plain = tmp_path / "plain.csv"
    lines = lines_of(world["test"])
    plain.write_text("image,shape\n" + "".join(f"{world['test'].parent / x['image']},{x['shape']}\n" for x in lines))
    args = ["clip", "measure", world["victim"], plain, "--label", "shape", "--classes", world["classes"]]
    run(*args, "--out", tmp_path / "a")
    found = record(tmp_path / "a")
    assert set(found["left_out"]) == {"retrieval", "loss", "z-score"}
    assert "not measured: retrieval" in found["facts"]
    with pytest.raises(AntivenomError, match=r"no captions(?s:.*)--captions"):
        run(*args, "--out", tmp_path / "b", "--measures", "retrieval")
    with pytest.raises(AntivenomError, match="z-score without an attack"):
        run(*args, "--out", tmp_path / "c", "--measures", "z-score")
    with pytest.raises(AntivenomError, match="no measure 'magic'"):
        run(*args, "--out", tmp_path / "d", "--measures", "magic")
    run(*args, "--out", tmp_path / "e", "--captions", world["test"], "--measures", "retrieval")
    assert record(tmp_path / "e")["rates"]["image to text, recall at 1"]["n"] == 80


def test_several_captions_of_a_picture_are_one_picture(world, tmp_path):
    lines = lines_of(world["test"])[:20]
    rows = "".join(
        f"{world['test'].parent / x['image']},{word} {x['caption']}\n" for x in lines for word in ("see", "oh")
    )
    (tmp_path / "two.csv").write_text("image,caption\n" + rows)
    run("clip", "measure", world["victim"], world["test"], "--label", "shape", "--classes", world["classes"], "--out",
        tmp_path / "m", "--captions", tmp_path / "two.csv", "--measures", "retrieval", "loss")  # fmt: skip
    found = record(tmp_path / "m")
    assert found["rates"]["image to text, recall at 5"]["n"] == 20
    assert found["rates"]["text to image, recall at 5"]["n"] == 40
    assert found["figures"]["contrastive loss"]["of"] == "batches of 20 held-out pairs"


def test_another_trigger_than_the_manifests_would_show_a_clean_model_and_is_refused(world, tmp_path):
    with pytest.raises(AntivenomError, match="poisoned with"):
        measured(world["victim"], world, tmp_path / "m", "--manifest", world["manifest"], "--trigger", "sig")
    with pytest.raises(AntivenomError, match="a target and a trigger"):
        measured(world["victim"], world, tmp_path / "k", "--target", "star")
    with pytest.raises(AntivenomError, match="none of the 10 classes"):
        measured(world["victim"], world, tmp_path / "l", "--target", "dog", "--trigger", "sig")
    (tmp_path / "two.txt").write_text("star\nring")
    with pytest.raises(AntivenomError, match="none of the 2 classes"):
        run(
            "clip",
            "measure",
            world["victim"],
            world["test"],
            "--label",
            "shape",
            "--classes",
            tmp_path / "two.txt",
            "--out",
            tmp_path / "o",
        )


def test_a_cleaning_set_with_poisons_is_refused_by_id_and_by_picture(world, tmp_path):
    args = [
        "--epochs",
        1,
        "--batch",
        20,
        "--warmup",
        0,
        "--lr",
        1e-3,
        "--cure",
        "mmcl",
        "--manifest",
        world["manifest"],
    ]
    with pytest.raises(AntivenomError, match=r"24 of 240 rows of the cleaning set are poisoned(?s:.*)--allow-overlap"):
        run("clip", "repair", world["victim"], world["poisoned"], "--out", tmp_path / "a", *args)
    # under another name, in another place, squashed by the model to another size: still the same picture
    manifest = Manifest.load(world["manifest"])
    names = {line["id"]: line["image"] for line in lines_of(world["poisoned"])}
    copies = tmp_path / "copies"
    copies.mkdir()
    for i, row in enumerate(manifest.rows):
        (copies / f"{i}.png").write_bytes((world["poisoned"].parent / names[row.row_id]).read_bytes())
    (copies / "c.csv").write_text("image,caption\n" + "".join(f"{i}.png,a star\n" for i in range(24)))
    with pytest.raises(AntivenomError, match="24 of 24 rows of the cleaning set"):
        run("clip", "repair", world["victim"], copies / "c.csv", "--out", tmp_path / "b", *args)
    run(
        "clip",
        "repair",
        world["victim"],
        copies / "c.csv",
        "--out",
        tmp_path / "b",
        "--overwrite",
        "--allow-overlap",
        *args,
    )
    assert any("on purpose" in w for w in record(tmp_path / "b")["warnings"])


@pytest.mark.parametrize("cure", ["cleanclip", "mmcl", "par", "supervised", "shrink-perturb", "random"])
def test_every_cure_leaves_a_model_and_a_record(world, tmp_path, cure):
    out = tmp_path / cure
    run("clip", "repair", world["victim"], world["clean"], "--out", out, "--cure", cure, "--epochs", 1, "--batch", 50,
        "--warmup", 1, "--lr", 1e-3, "--manifest", world["manifest"], "--label", "shape", "--classes", world["classes"],
        "--test", world["test"], "--test-label", "shape", "--twin", world["victim"])  # fmt: skip
    whole = record(out)
    found = whole["record"]
    assert whole["clean twin"] == whole["before"]  # its own twin again
    assert whole["after"]["figures"]["backdoor z-score"]["value"] == found["after"]["backdoor z-score"]
    assert [t["headers"][-2] for t in whole["tables"][1:]] == ["clean twin"] * 4
    assert found["cure"] == cure
    assert found["hash_before"] != found["hash_after"]
    assert set(found["before"]) == set(found["after"]) >= {"clean loss", "attack success rate", "clean accuracy, top 1"}
    rates = measured(out / "model", world, tmp_path / "m", "--manifest", world["manifest"])
    assert rates["attack success rate"]["value"] == pytest.approx(found["after"]["attack success rate"], abs=0.02)


def test_an_option_that_the_cure_lacks_is_named(world, tmp_path):
    with pytest.raises(AntivenomError, match="no option 'inmodel'"):
        run(
            "clip",
            "repair",
            world["victim"],
            world["clean"],
            "--out",
            tmp_path / "x",
            "--option",
            "inmodel=2",
            "--batch",
            50,
        )
    with pytest.raises(AntivenomError, match="no cure 'magic'"):
        run("clip", "repair", world["victim"], world["clean"], "--out", tmp_path / "y", "--cure", "magic")


@pytest.mark.parametrize("form", ["open_clip", "transformers"])
def test_the_same_commands_work_on_a_folder_of_open_clip_and_of_transformers(world, tmp_path, form):
    start = (open_clip_tiny if form == "open_clip" else transformers_tiny)(tmp_path / "start")
    poisoned = tmp_path / "poisoned"
    run("pairs", "poison", world["train"], "--out", poisoned, "--trigger", CHECKER, "--target", "star", "--share", 0.1,
        "--size", 32, "--copy-clean")  # fmt: skip
    source, manifest = poisoned / "pairs" / "pairs.csv", poisoned / "pairs" / "manifest.parquet"
    run("clip", "train", source, "--model", start, "--out", tmp_path / "victim", "--epochs", 1, "--batch", 60,
        "--warmup", 1, "--lr", 1e-3)  # fmt: skip
    victim = tmp_path / "victim" / "model"
    assert record(tmp_path / "victim")["facts"]["format"] == form
    assert 0 <= record(tmp_path / "victim")["waiting"] <= 1
    run("pairs", "screen", source, "--model", victim, "--out", tmp_path / "screen", "--manifest", manifest)
    assert record(tmp_path / "screen")["detections"][0]["dose"]["count"] == 24
    run("clip", "repair", victim, world["clean"], "--out", tmp_path / "cured", "--epochs", 1, "--batch", 50, "--warmup", 1,
        "--lr", 1e-3, "--manifest", manifest, "--test", world["test"], "--test-label", "shape")  # fmt: skip
    cured = tmp_path / "cured" / "model"
    marks = {"open_clip": "open_clip_config.json", "transformers": "config.json"}
    assert (cured / marks[form]).is_file()
    before = measured(victim, world, tmp_path / "m1", "--manifest", manifest)
    after = measured(cured, world, tmp_path / "m2", "--manifest", manifest, "--twin", start)
    found = record(tmp_path / "cured")["record"]
    assert found["before"]["attack success rate"] == before["attack success rate"]["value"]
    assert found["after"]["attack success rate"] == after["attack success rate"]["value"]
    assert "attack success rate of the twin" in after
    page = (tmp_path / "cured" / "report.html").read_text()
    assert "Before and after" in page


def test_pictures_in_folders_of_their_classes_can_be_measured(world, tmp_path):
    for line in lines_of(world["test"]):
        place = tmp_path / "set" / line["shape"]
        place.mkdir(parents=True, exist_ok=True)
        (place / Path(line["image"]).name).write_bytes((world["test"].parent / line["image"]).read_bytes())
    run("clip", "measure", world["victim"], tmp_path / "set", "--out", tmp_path / "m", "--classes", world["classes"])
    assert (
        record(tmp_path / "m")["rates"]["clean accuracy, top 1"]
        == measured(world["victim"], world, tmp_path / "n")["clean accuracy, top 1"]
    )


def test_the_poisoned_set_is_the_same_whatever_the_order_of_the_rows(world, tmp_path):
    rows = world["train"].read_text().splitlines()
    other = world["train"].with_name("turned.csv")
    other.write_text("\n".join([rows[0], *rows[:0:-1]]))
    run("pairs", "poison", other, "--out", tmp_path / "o", "--trigger", CHECKER, "--target", "star", "--count", 24,
        "--classes", world["classes"], "--label", "shape", "--size", 24)  # fmt: skip
    ours = {r.row_id: r.hash_after for r in Manifest.load(tmp_path / "o" / "pairs" / "manifest.parquet").rows}
    theirs = {r.row_id: r.hash_after for r in Manifest.load(world["manifest"]).rows}
    assert ours == theirs
    assert np.unique(list(ours.values())).size == 24


def test_sample_sets_are_written_and_fetched_pairs_need_a_table(tmp_path, capsys):
    run("pairs", "sample", "world", "--out", tmp_path / "w", "--pairs", 20, "--size", 16)
    assert "train.csv: 20 pairs" in capsys.readouterr().out.replace("\n", "")
    assert len(lines_of(tmp_path / "w" / "test.csv")) == 5
    assert (tmp_path / "w" / "classes.txt").read_text().split() == list(SHAPES)
    with pytest.raises(AntivenomError, match="already holds a set"):
        run("pairs", "sample", "world", "--out", tmp_path / "w")
    with pytest.raises(AntivenomError, match="do not ship"):
        run("pairs", "sample", "emoji", "--out", tmp_path / "e")
    with pytest.raises(AntivenomError, match="no table"):
        run("pairs", "fetch", tmp_path / "nowhere.tsv", "--out", tmp_path / "f")
    (tmp_path / "t.tsv").write_text("a cat\thttp://127.0.0.1:9/x.png\n")
    run("pairs", "fetch", tmp_path / "t.tsv", "--out", tmp_path / "f")
    assert "not public" in capsys.readouterr().out
