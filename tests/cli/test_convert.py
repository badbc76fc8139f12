"""``convert``: every format into every other one, and what is said when it cannot be."""

import json

import numpy as np
import pytest

from sam_plugins.datasets.annotations import group_stacks
from sam_plugins.datasets.formats import read_annotations, write_annotations
from sam_plugins.datasets.label_images import read_labels
from tests.datasets.oracles import same, stack_of

LABELS = np.kron(np.array([[0, 3, 3], [700, 0, 3]]), np.ones((3, 4), int)).astype(np.uint16)
NAMES = ("a.json", "a.sa1b.json", "a.geojson", "a.labels.tif", "folder")


@pytest.mark.parametrize("target", NAMES)
@pytest.mark.parametrize("source", NAMES)
def test_from_each_to_each(command, tmp_path, source, target):
    write_annotations(tmp_path / "in" / source, stack_of(LABELS, "a.png"))
    outcome = command("convert", tmp_path / "in" / source, tmp_path / "out" / target)
    assert (outcome.code, outcome.out) == (0, "")
    assert "2 objects of 1 image: " in outcome.err
    found = read_annotations(tmp_path / "out" / target)
    same(found, LABELS)


@pytest.mark.parametrize(("chosen", "suffix"), [("labels", ".labels.tif"), ("geojson", ".geojson")])
def test_many_images_go_into_a_folder_and_come_back(command, tmp_path, chosen, suffix):
    images = stack_of(LABELS, "below/a.png") + stack_of(np.stack([LABELS, 0 * LABELS]), "b.tif")
    write_annotations(tmp_path / "in.json", images)
    outcome = command("convert", tmp_path / "in.json", tmp_path / "out", "--format", chosen)
    assert (outcome.code, outcome.out) == (0, "")
    assert "4 objects of 2 images in 2 files" in outcome.err
    found = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert found == {f"below/a.png{suffix}", f"b.tif{suffix}"}
    assert command("convert", tmp_path / "out", tmp_path / "again.json").code == 0
    stack, plain = group_stacks(read_annotations(tmp_path / "again.json"))
    same(plain, LABELS)
    same(stack, np.stack([LABELS, 0 * LABELS]))


def test_polygons(command, tmp_path):
    write_annotations(tmp_path / "a.tif", stack_of(LABELS))
    assert command("convert", tmp_path / "a.tif", tmp_path / "a.json", "--polygons").code == 0
    content = json.loads((tmp_path / "a.json").read_text())
    assert all(isinstance(each["segmentation"], list) for each in content["annotations"])
    same(read_annotations(tmp_path / "a.json"), LABELS)


def test_the_size_of_an_image_of_qupath(command, tmp_path):
    square = [[1, 1], [3, 1], [3, 2], [1, 2], [1, 1]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square]}}
    (tmp_path / "q.geojson").write_text(json.dumps([feature]))
    out = tmp_path / "q.tif"
    assert command("convert", tmp_path / "q.geojson", out, "--size", "5x4").code == 0
    assert read_labels(out).labels.tolist() == [[0] * 5, [0, 1, 1, 0, 0], [0] * 5, [0] * 5]


def test_wrong_use(command, tmp_path):
    write_annotations(tmp_path / "a.tif", stack_of(LABELS))
    for arguments, message in [
        ((tmp_path / "none.tif", tmp_path / "b.json"), "there is nothing at"),
        ((tmp_path / "a.tif", tmp_path / "b.xml"), "must end in"),
        ((tmp_path / "a.tif", tmp_path / "b.json", "--size", "5"), "'5' is not WxH"),
        ((tmp_path / "a.tif", tmp_path / "b.json", "--format", "voc"), "voc"),
    ]:
        outcome = command("convert", *arguments)
        assert outcome.code == 2
        assert message in outcome.err
        assert outcome.err.count("\n") == 1


def test_bad_files_and_formats_that_hold_one_image(command, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    write_annotations(tmp_path / "two.json", stack_of(LABELS, "a") + stack_of(LABELS, "b"))
    for arguments, message in [
        ((tmp_path / "bad.json", tmp_path / "o.tif"), "bad.json is no COCO instances file"),
        ((tmp_path / "two.json", tmp_path / "o.tif"), "one image, got 2"),
        ((tmp_path, tmp_path / "o.tif"), "bad.json is malformed"),
    ]:
        outcome = command("convert", *arguments)
        assert outcome.code == 1
        assert message in outcome.err
        assert outcome.err.count("\n") == 1
    assert not (tmp_path / "o.tif").exists()


def test_empty_folders(command, tmp_path):
    (tmp_path / "empty").mkdir()
    outcome = command("convert", tmp_path / "empty", tmp_path / "o.json")
    assert outcome.code == 1
    assert "there are no annotations in" in outcome.err
