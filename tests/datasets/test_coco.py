"""COCO files: read by pycocotools as written, read back without loss, and files of others."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO

from sam_plugins.datasets.annotations import (
    AnnotatedImage,
    AnnotatedObject,
    ObjectClass,
    labels_from_images,
)
from sam_plugins.datasets.coco import read_coco, write_coco
from sam_plugins.errors import AnnotationFileError
from sam_plugins.masks import rle
from tests.datasets.oracles import FLAT_LABELS, LABELS, same, stack_of


@given(LABELS)
def test_labels_come_back(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("coco") / "c.json"
    write_coco(path, stack_of(labels))
    same(read_coco(path), labels)


@given(FLAT_LABELS)
def test_labels_come_back_as_polygons(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("coco") / "c.json"
    write_coco(path, stack_of(labels), segmentation="polygons")
    same(read_coco(path), labels)


@given(FLAT_LABELS, st.sampled_from(["rle", "polygons"]))
def test_pycocotools_sees_the_same_masks(tmp_path_factory, labels, segmentation):
    path = tmp_path_factory.mktemp("coco") / "c.json"
    write_coco(path, stack_of(labels), segmentation=segmentation)
    data = COCO(path)
    found = data.loadAnns(data.getAnnIds())
    assert [each["label"] for each in found] == [x for x in np.unique(labels).tolist() if x]
    for each in found:
        mask = data.annToMask(each).astype(bool)
        np.testing.assert_array_equal(mask, labels == each["label"])
        x, y, width, height = each["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum() == each["area"]
        assert mask[y : y + height, x].any()
        assert mask[y + height - 1, x : x + width].any()


def an_object(label, mask, **more):
    return AnnotatedObject(label, rle.encode(mask), **more)


@pytest.fixture
def images():
    """Two images with everything that can be said of them."""
    mask = np.eye(3, 4, dtype=bool)
    classes = (ObjectClass("cell", (255, 0, 9), 7), ObjectClass("unused", None, 3))
    scores = {"predicted_iou": 0.5, "stability_score": 0.25, "crop_box": (0, 0, 4, 3)}
    first = (
        an_object(5, mask, class_name="cell", id=41, point_coords=((1.5, 2.0),), **scores),
        an_object(70_000, ~mask, class_name="cell", id=99, crowd=True),
    )
    return [
        AnnotatedImage("ä b.png", (3, 4), first, classes, (), 17),
        AnnotatedImage("c.tif", (2, 2), (), classes, (1, 2), 18),
    ]


def test_all_that_is_known_comes_back(images, tmp_path):
    write_coco(tmp_path / "c.json", images)
    assert read_coco(tmp_path / "c.json") == images
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["categories"][0] == {
        "id": 7,
        "name": "cell",
        "supercategory": "",
        "color": [255, 0, 9],
    }
    assert [each["iscrowd"] for each in content["annotations"]] == [0, 1]


def test_new_objects_and_classes_get_free_numbers(images, tmp_path):
    first, second = images
    grown = AnnotatedImage(
        first.file_name,
        first.image_size,
        (*first.objects, an_object(1, np.ones((3, 4)), class_name="new")),
        first.classes,
        id=first.id,
    )
    write_coco(tmp_path / "c.json", [grown, second])
    content = json.loads((tmp_path / "c.json").read_text())
    assert [each["id"] for each in content["annotations"]] == [41, 99, 100]
    assert {each["name"]: each["id"] for each in content["categories"]} == {
        "cell": 7,
        "unused": 3,
        "new": 8,
    }


def foreign(segmentation, **more):
    """A file as other programs write it."""
    return {
        "images": [{"id": 900_000_001, "file_name": "a.jpg", "height": 4, "width": 5}],
        "categories": [{"id": 90, "name": "toothbrush"}],
        "annotations": [
            {
                "id": 900_100_002_299,
                "image_id": 900_000_001,
                "category_id": 90,
                "segmentation": segmentation,
                **more,
            }
        ],
    }


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 1, 3, 1, 3, 4, 1, 4]],
        [[1, 1, 2, 1, 2, 4, 1, 4], [2.0, 1.0, 3.0, 1.0, 3.0, 4.0, 2.0, 4.0]],
        {"size": [4, 5], "counts": [5, 3, 1, 3, 8]},
        rle.encode(np.pad(np.ones((3, 2)), ((1, 0), (1, 2)))),
    ],
)
def test_files_of_others(segmentation, tmp_path):
    (image,) = read_coco(write(tmp_path / "c.json", foreign(segmentation, score=0.5)))
    (found,) = image.objects
    assert labels_from_images([image]).tolist() == [[0] * 5, *[[0, 1, 1, 0, 0]] * 3]
    assert (found.class_name, found.label, found.predicted_iou) == ("toothbrush", 1, 0.5)
    assert (found.id, image.id) == (900_100_002_299, 900_000_001)


SQUARE = [[1, 1, 3, 1, 3, 4, 1, 4]]


def lacking(key):
    content = foreign(SQUARE)
    del content["images"][0][key]
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no JSON"),
        ('{"images": [', "no JSON"),
        ("\x00\x01", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[1, 2]", "must hold a JSON object, but holds a list"),
        ("{}", "no COCO file"),
        ({"images": {}, "annotations": []}, "'images' must be a list"),
        (lacking("height"), r"image 0 \(id 900000001\).*'height' is missing"),
        (lacking("file_name"), "'file_name' is missing"),
        (foreign(SQUARE, image_id=2), r"annotation 0 \(id 900100002299\).*no image 2"),
        (foreign(SQUARE, category_id=2), "no category 2"),
        (foreign([]), "no segmentation.*not only a box"),
        (foreign([[1, 2, 3, 4]]), "three corners"),
        (foreign([[1, 2, 3, 4, 5]]), "three corners"),
        (foreign([[0, 0, 1e9, 0, 1, 1]]), "far outside"),
        (foreign([[0, 0, float("nan"), 0, 1, 1]]), "far outside"),
        (foreign([["a", 0, 1, 0, 1, 1]]), "annotation 0.*could not convert"),
        (foreign({"size": [4, 5], "counts": [3]}), "add up"),
        (foreign({"size": [4, 5], "counts": "~"}), "counts"),
        (foreign({"size": [4, 4], "counts": [16]}), r"\(4, 4\) but the image is \(4, 5\)"),
        (foreign(SQUARE, score=float("inf")), "finite"),
        (foreign(SQUARE, crop_box=[1]), "annotation 0"),
        ({**foreign(SQUARE), "categories": [{"id": 90}]}, "'name' is missing"),
        ({**foreign(SQUARE), "annotations": [3]}, "annotation 0"),
    ],
)
def test_bad_files_are_named(content, message, tmp_path):
    path = write(tmp_path / "damaged.json", content)
    with pytest.raises(AnnotationFileError, match=message) as caught:
        read_coco(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_coco(tmp_path / "nothing.json")


def test_a_write_that_fails_leaves_the_old_file(images, tmp_path):
    path = tmp_path / "c.json"
    write_coco(path, images)
    before = path.read_bytes()
    broken = AnnotatedImage("a", (2, 2), (an_object(1, np.ones((2, 2)), predicted_iou=np.nan),))
    with pytest.raises(ValueError, match="JSON"):
        write_coco(path, [broken])
    with pytest.raises(ValueError, match="'rle' or 'polygons'"):
        write_coco(path, images, segmentation="bitmap")
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["c.json"]
