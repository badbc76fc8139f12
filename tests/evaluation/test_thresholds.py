"""Counting masks that are objects and objects that are found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from sam_plugins.evaluation import thresholds
from sam_plugins.evaluation.clicks import iou
from sam_plugins.evaluation.sets import Sample
from sam_plugins.evaluation.thresholds import (
    PREDICTED_IOU,
    STABILITY,
    Kept,
    iou_matrix,
    measure,
    table_of,
)


@settings(max_examples=20, deadline=None)
@given(arrays(bool, (3, 4, 5)), arrays(bool, (2, 4, 5)))
def test_the_matrix_is_the_iou_of_each_pair(first, second):
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            expected = iou(a, b) if (a | b).any() else 0.0
            assert iou_matrix(first, second)[i, j] == pytest.approx(expected)


class Record:
    def __init__(self, mask):
        self._mask = mask

    def mask(self):
        return self._mask


def square(row, column, side=12):
    mask = np.zeros((60, 60), bool)
    mask[row : row + side, column : column + side] = True
    return mask


def test_precision_and_recall_for_each_pair(monkeypatch):
    """Three masks, one of them an object; thresholds above 0.5 keep none."""
    kept = [square(3, 3), square(30, 30), square(3, 42)]

    def select(proposals, *, settings):
        return [] if settings.pred_iou_thresh > 0.5 else [Record(mask) for mask in kept]

    monkeypatch.setattr(thresholds, "propose", lambda *_, **__: None)
    monkeypatch.setattr(thresholds, "select", select)
    image = np.zeros((60, 60, 3), np.uint8)
    truth = [square(3, 3, 15), square(42, 3)]
    results = measure(None, [Sample("x", image, truth, image[..., 0] > 0)] * 2)
    assert len(results) == len(PREDICTED_IOU) * len(STABILITY)
    for each in results:
        if each.pred_iou_thresh > 0.5:
            assert (each.masks, each.precision, each.recall, each.f_score) == (0, 0, 0, 0)
        else:
            assert each.masks == 3
            assert (each.precision, each.recall) == pytest.approx((1 / 3, 1 / 2))
            assert each.f_score == pytest.approx(0.4)


def test_the_table_begins_with_the_best():
    results = [Kept(0.1, 0.2, 5, 0.2, 0.2), Kept(0.3, 0.4, 5, 0.9, 0.9)]
    assert table_of(results).splitlines()[2].startswith("| 0.30 | 0.40 |")
    assert len(table_of(results, first=1).splitlines()) == 3


def test_no_image_is_an_error():
    with pytest.raises(ValueError, match="no image"):
        measure(None, [])
