"""Annotated images: from labels and back, their numbers, and what is no annotation."""

import numpy as np
import pytest
from hypothesis import given

from sam_plugins.datasets.annotations import (
    AnnotatedImage,
    AnnotatedObject,
    ObjectClass,
    all_classes,
    distinct_numbers,
    group_stacks,
    images_from_labels,
    labels_from_images,
)
from sam_plugins.errors import InvalidMaskError
from sam_plugins.masks import rle
from sam_plugins.masks.records import MaskRecord
from tests.datasets.oracles import LABELS, same, stack_of


@given(LABELS)
def test_there_and_back(labels):
    images = stack_of(labels)
    same(images, labels)
    assert labels_from_images(images).dtype == (np.uint32 if labels.max() > 65_535 else np.uint16)
    assert len(images) == np.prod(labels.shape[:-2])


def test_what_is_known_of_objects_is_kept():
    labels = np.array([[0, 3], [4, 4]])
    details = {3: {"class_name": "cell", "predicted_iou": 0.5}}
    (image,) = images_from_labels(labels, "a.tif", details=details)
    cell, other = image.objects
    assert (cell.label, cell.class_name, cell.predicted_iou) == (3, "cell", 0.5)
    assert (cell.area, cell.box) == (1, (1, 0, 1, 1))
    assert (other.class_name, other.area, other.box) == ("object", 2, (0, 1, 2, 1))


def test_smaller_objects_are_on_top():
    large, small = np.ones((3, 3), bool), np.eye(3, dtype=bool)
    objects = (AnnotatedObject(8, rle.encode(small)), AnnotatedObject(9, rle.encode(large)))
    found = AnnotatedImage("a", (3, 3), objects).labels()
    np.testing.assert_array_equal(found, np.where(small, 8, 9))


def test_automatic_masks_are_taken_over():
    mask = np.eye(3, dtype=bool)
    record = MaskRecord(rle.encode(mask), 3, (0, 0, 2, 2), 0.7, ((1.0, 2.0),), 0.8, (0, 0, 3, 3))
    (found,) = AnnotatedImage.from_records("a.png", (3, 3), [record]).objects
    assert (found.label, found.area, found.box) == (1, 3, (0, 0, 3, 3))
    assert (found.predicted_iou, found.stability_score) == (0.7, 0.8)
    assert (found.point_coords, found.crop_box) == (((1.0, 2.0),), (0, 0, 3, 3))


def test_missing_slices_are_empty_and_the_order_does_not_matter():
    stack = np.arange(12).reshape(3, 2, 2)
    first, _, last = stack_of(stack)
    found = labels_from_images([last, first])
    np.testing.assert_array_equal(found, stack * np.array([1, 0, 1])[:, None, None])


def test_stacks_are_brought_together():
    a, b = stack_of(np.ones((2, 3, 3), int), "a.tif")
    c, d = (stack_of(np.ones((3, 3), int), "c.tif")[0] for _ in range(2))
    assert group_stacks([a, c, b, d]) == [[a, b], [c], [d]]


def test_slices_that_do_not_belong_together():
    one, two = stack_of(np.ones((3, 3), int))[0], stack_of(np.ones((3, 4), int))[0]
    for images in ([one, two], [one, one], []):
        with pytest.raises(ValueError, match="slices of one stack"):
            labels_from_images(images)


def test_classes_that_are_used_follow_those_that_are_listed():
    labels = np.array([[1, 2]])
    listed = (ObjectClass("b", (1, 2, 3)), ObjectClass("unused"))
    details = {1: {"class_name": "a"}, 2: {"class_name": "b"}}
    images = images_from_labels(labels, "x", details=details, classes=listed)
    assert all_classes([*images, *images]) == [*listed, ObjectClass("a")]


@pytest.mark.parametrize(
    ("given", "groups", "expected"),
    [
        ([5, 5, None], None, [5, 6, 7]),
        ([5, 5, None], [0, 1, 1], [5, 5, 6]),
        (["x", 0, -1, 2.5], None, [1, 2, 3, 4]),
        ([], None, []),
    ],
)
def test_numbers(given, groups, expected):
    assert distinct_numbers(given, groups) == expected


def test_objects_that_are_none():
    mask = rle.encode(np.ones((2, 2)))
    one = AnnotatedObject(1, mask)
    for objects, message in [
        ((one, one), "1 twice"),
        ((AnnotatedObject(0, mask),), "got 0"),
        ((AnnotatedObject(2**32, mask),), "4294967296"),
    ]:
        with pytest.raises(InvalidMaskError, match=message):
            AnnotatedImage("a", (2, 2), objects)
    with pytest.raises(InvalidMaskError, match=r"object 1 is \(2, 2\) but the image is \(2, 3\)"):
        AnnotatedImage("a", (2, 3), (one,))
    for wrong in (np.ones((2, 2)), np.ones(3, int)):
        with pytest.raises(ValueError, match="label images"):
            images_from_labels(wrong, "a")
