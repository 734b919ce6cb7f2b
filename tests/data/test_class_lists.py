"""Class names and templates from files; a classes.py is parsed and never run."""

import pytest

from antivenom.data.class_lists import label_places, read_classes, read_templates
from antivenom.errors import AntivenomError


def test_every_form_gives_the_same_classes(tmp_path):
    (tmp_path / "a.txt").write_text("tench\n\ngreat white shark\n")
    (tmp_path / "a.json").write_text('["tench", "great white shark"]')
    (tmp_path / "b.json").write_text(
        '{"classes": ["tench", "great white shark"], "templates": ["a photo of a {label}."]}'
    )
    (tmp_path / "a.py").write_text(
        'config = {"classes": ["tench", "great white shark"], "templates": [lambda c: f"a photo of a {c}."]}'
    )
    for name in ("a.txt", "a.json", "b.json", "a.py"):
        assert read_classes(tmp_path / name).names == ("tench", "great white shark")
    for name in ("b.json", "a.py"):
        assert read_classes(tmp_path / name).templates == read_templates(tmp_path / name) == ("a photo of a {}.",)


def test_code_in_a_classes_file_is_not_run(tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "x.py").write_text(f'config = {{"classes": [open({str(mark)!r}, "w").write("x")]}}')
    with pytest.raises(AntivenomError, match="more than names and templates"):
        read_classes(tmp_path / "x.py")
    assert not mark.exists()
    (tmp_path / "y.py").write_text("import os\nos.abort()\n")
    with pytest.raises(AntivenomError, match="cannot be read"):
        read_classes(tmp_path / "y.py")


def test_bad_files_are_named(tmp_path):
    (tmp_path / "x.json").write_text('{"classes": [1, 2]}')
    (tmp_path / "t.txt").write_text("no place\n")
    with pytest.raises(AntivenomError, match="no list of class names"):
        read_classes(tmp_path / "x.json")
    with pytest.raises(AntivenomError, match="cannot be read"):
        read_classes(tmp_path / "nowhere.txt")
    with pytest.raises(AntivenomError, match="the template 'no place'"):
        read_templates(tmp_path / "t.txt")


def test_labels_are_classes_by_name_or_by_number():
    assert label_places(["Star", "ring", "1", "0"], ["star", "ring"]) == [0, 1, 1, 0]
    assert label_places(["1"], ["0", "1", "7"]) == [1]
    assert label_places(["7"], ["0", "1", "7"]) == [2]  # a class's name goes before its place
    with pytest.raises(AntivenomError, match="'moon' is none of the 2 classes"):
        label_places(["moon"], ["star", "ring"])
    with pytest.raises(AntivenomError, match="'star' is the name of 2 classes"):
        label_places(["star"], ["star", "Star"])
