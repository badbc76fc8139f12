"""Boxes and non-maximum suppression against the reference and the textbook."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from segment_anything.utils import amg

from sam_plugins.masks import boxes

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20))


def random_boxes(seed, count):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 30, (count, 2))
    return np.concatenate([corner, corner + rng.integers(0, 25, (count, 2))], axis=1)


def textbook_nms(given_boxes, scores, threshold):
    """Take the best, drop what overlaps it, and so on."""
    left = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if overlap(given_boxes[best], given_boxes[i]) <= threshold]
    return kept


def overlap(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


@given(MASKS)
def test_boxes_of_masks_are_the_references(mask):
    theirs = amg.batched_mask_to_box(torch.from_numpy(mask)[None])[0].numpy()
    np.testing.assert_array_equal(boxes.mask_to_box(mask), theirs)


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_nms_is_the_textbooks(seed, count, threshold):
    given_boxes = random_boxes(seed, count)
    # Equal scores too: the first one wins.
    scores = np.random.default_rng(seed).integers(0, 5, count) / 4
    kept = boxes.nms(given_boxes, scores, threshold)
    assert kept.tolist() == textbook_nms(given_boxes.tolist(), scores.tolist(), threshold)


@given(st.integers(0, 2**32 - 1))
def test_iou_is_the_overlap(seed):
    first, second = random_boxes(seed, 5), random_boxes(seed + 1, 4)
    found = boxes.box_iou(first, second)
    expected = [[overlap(a, b) for b in second.tolist()] for a in first.tolist()]
    np.testing.assert_allclose(np.nan_to_num(found), expected, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_forms_of_boxes_come_back(seed):
    given_boxes = random_boxes(seed, 6)
    np.testing.assert_array_equal(boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(given_boxes)), given_boxes)


@given(st.integers(0, 2**32 - 1))
def test_what_lies_at_a_crops_edge_is_what_the_reference_says(seed):
    rng = np.random.default_rng(seed)
    crop = [int(rng.integers(0, 3)) * 40, int(rng.integers(0, 3)) * 40, 200, 180]
    image = [0, 0, 200, int(rng.choice([180, 300]))]
    inner = random_boxes(seed, 8) * 3 + np.array([*crop[:2], *crop[:2]])
    theirs = amg.is_box_near_crop_edge(
        torch.from_numpy(inner - np.array([*crop[:2], *crop[:2]])), crop, image
    )
    found = boxes.box_near_crop_edge(inner, tuple(crop), tuple(image))
    np.testing.assert_array_equal(found, theirs.numpy())


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="shape"):
        boxes.nms(np.zeros((3, 3)), np.zeros(3), 0.5)
