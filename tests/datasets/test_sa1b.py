"""SA-1B's layout: what others wrote, what comes back, and bad files."""

import json

import numpy as np
import pytest
from hypothesis import given

from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject, ObjectClass
from sam_plugins.datasets.sa1b import (
    read_sa1b,
    read_sa1b_folder,
    write_sa1b,
    write_sa1b_folder,
)
from sam_plugins.errors import AnnotationFileError
from sam_plugins.masks import rle
from sam_plugins.masks.records import MaskRecord
from tests.datasets.oracles import LABELS, same, stack_of


@given(LABELS)
def test_labels_come_back(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("sa1b")
    images = stack_of(labels)
    written = write_sa1b_folder(folder, images)
    assert len(written) == len(images)
    same(read_sa1b_folder(folder), labels)


def test_all_that_is_known_comes_back(tmp_path):
    mask = rle.encode(np.eye(3, 4))
    told = AnnotatedObject(9, mask, "cell", 0.5, 0.25, ((1.5, 2.0),), (1, 1, 2, 2), id=375_252_190)
    plain = AnnotatedObject(2, mask, crop_box=(0, 0, 4, 3), id=375_252_191)
    classes = (ObjectClass("cell"), ObjectClass("object"))
    image = AnnotatedImage("sa_1.jpg", (3, 4), (told, plain), classes, (), 1_234)
    write_sa1b(tmp_path / "sa_1.json", image)
    assert read_sa1b(tmp_path / "sa_1.json") == image


def test_the_layout_is_that_of_the_data_set(tmp_path):
    mask = rle.encode(np.pad(np.ones((2, 3)), 1))
    record = MaskRecord(mask, 6, (1, 1, 2, 1), 0.9, ((2.0, 1.5),), 0.95, (0, 0, 5, 4))
    image = AnnotatedImage.from_records("sa_223750.jpg", (4, 5), [record])
    write_sa1b(tmp_path / "s.json", image)
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["image"] == {
        "image_id": 1,
        "width": 5,
        "height": 4,
        "file_name": "sa_223750.jpg",
    }
    (annotation,) = content["annotations"]
    assert annotation.pop("id") == annotation.pop("label") == 1
    assert MaskRecord.from_dict(annotation) == record
    assert annotation == record.as_dict()


def foreign(**more):
    annotation = {
        "bbox": [1, 1, 2, 1],
        "area": 6,
        "segmentation": rle.encode(np.pad(np.ones((2, 3)), 1)),
        "predicted_iou": 0.9,
        "point_coords": [[2.0, 1.5]],
        "crop_box": [0, 0, 5, 4],
        "id": 375_252_190,
        "stability_score": 0.95,
    }
    image = {"image_id": 223_750, "width": 5, "height": 4, "file_name": "sa_223750.jpg"}
    return {"image": image, "annotations": [{**annotation, **more}, annotation]}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_of_the_data_set(tmp_path):
    image = read_sa1b(write(tmp_path / "sa_223750.json", foreign()))
    assert (image.file_name, image.image_size, image.id) == ("sa_223750.jpg", (4, 5), 223_750)
    assert [each.label for each in image.objects] == [1, 2]
    assert {each.class_name for each in image.objects} == {"object"}
    assert image.objects[0].id == 375_252_190


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no JSON"),
        ('{"image": {"wid', "no JSON"),
        ("[1, 2]", "must hold a JSON object"),
        ({}, "'image' is missing"),
        ({**foreign(), "image": {"width": 5}}, "'height' is missing"),
        ({**foreign(), "annotations": {}}, "must be a list"),
        ({**foreign(), "image": {**foreign()["image"], "height": 99}}, r"annotation 0.*\(99, 5\)"),
        (foreign(segmentation=None), "annotation 0.*no segmentation"),
        (foreign(predicted_iou="good"), "annotation 0.*good"),
        (foreign(point_coords=[[1]]), "annotation 0"),
    ],
)
def test_bad_files_are_named(content, message, tmp_path):
    path = write(tmp_path / "damaged.json", content)
    with pytest.raises(AnnotationFileError, match=message) as caught:
        read_sa1b(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders(tmp_path):
    (plain,) = stack_of(np.ones((2, 2), int), "below/a.png")
    stack = stack_of(np.ones((1, 2, 2, 2), int), "b.tif")
    write_sa1b_folder(tmp_path, [plain, *stack])
    (tmp_path / ".hidden.json").write_text("{}")
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("[!.]*.json")}
    assert found == {"below/a.png.json", "b.tif.p0000.p0000.json", "b.tif.p0000.p0001.json"}
    assert [image.index for image in read_sa1b_folder(tmp_path)] == [(0, 0), (0, 1), ()]


def test_what_does_not_go_into_a_folder(tmp_path):
    (image,) = stack_of(np.ones((2, 2), int), "a.png")
    (outside,) = stack_of(np.ones((2, 2), int), "../a.png")
    with pytest.raises(ValueError, match=r"two images .*a\.png\.json"):
        write_sa1b_folder(tmp_path, [image, image])
    with pytest.raises(ValueError, match="outside"):
        write_sa1b_folder(tmp_path / "in", [image, outside])
    assert not list(tmp_path.iterdir())
    with pytest.raises(AnnotationFileError, match="no JSON file"):
        read_sa1b_folder(tmp_path)
