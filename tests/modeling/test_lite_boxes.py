"""Masks are shifted until they fill the box that they were prompted with."""

import numpy as np
import pytest
import torch

from sam_plugins.modeling.lite_boxes import COST, OUTSIDE, THRESHOLDS, fit_to_boxes


def cone(x, y, height, size=64):
    """Logits that fall by one a pixel from a peak."""
    rows, columns = np.mgrid[:size, :size]
    return torch.from_numpy(height - np.hypot(rows - y, columns - x)).float()[None, None]


def box_of(mask):
    rows, columns = np.nonzero(np.asarray(mask))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def box_iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (a, b)]
    return width * height / (sum(areas) - width * height)


@pytest.mark.parametrize(("radius", "shift"), [(10, 0), (13, -3), (7, 3), (12, -2)])
def test_the_mask_grows_or_shrinks_to_its_box(radius, shift):
    logits = cone(30, 25, 10.5)
    box = torch.tensor([[[30 - radius, 25 - radius, 31 + radius, 26 + radius]]]) * 2.0
    fitted = fit_to_boxes(logits, box, stride=2)
    inside = fitted != OUTSIDE
    torch.testing.assert_close(fitted[inside], (logits - shift)[inside])
    assert box_of(fitted[0, 0] > 0) == tuple((box[0, 0] / 2).int().tolist())


def test_each_mask_gets_the_threshold_whose_box_fits_best():
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(5, 3, 40, 48))).float()
    logits = 8 * torch.nn.functional.avg_pool2d(logits, 9, 1, 4)
    boxes = torch.tensor([[[8.0, 10, 60, 50]], [[0, 0, 96, 80]], [[30, 2, 50, 20]]])
    boxes = torch.cat([boxes, boxes[:2] + 7])
    fitted = fit_to_boxes(logits, boxes, stride=2)
    for b in range(5):
        box = (boxes[b, 0] / 2).tolist()
        for k in range(3):
            scores = []
            for threshold in THRESHOLDS:
                mask = (logits[b, k] > threshold).numpy()
                score = box_iou(box_of(mask), box) if mask.any() else 0
                scores.append(score - COST * abs(threshold))
            shift = THRESHOLDS[int(np.argmax(scores))]
            kept = fitted[b, k] != OUTSIDE
            torch.testing.assert_close(fitted[b, k][kept], (logits[b, k] - shift)[kept])


def test_nothing_is_left_far_outside_of_the_boxes_together():
    logits = torch.full((1, 2, 64, 64), 3.0)
    boxes = torch.tensor([[[20.0, 20, 40, 40], [60, 30, 80, 50]]])
    fitted = fit_to_boxes(logits, boxes, stride=2)
    x0, y0, x1, y1 = box_of(fitted[0, 0] > 0)
    assert (x0, y0) == pytest.approx((9.5, 9.5), abs=1)
    assert (x1, y1) == pytest.approx((40.5, 25.5), abs=1)
    assert (fitted[..., 40:, :] == OUTSIDE).all()


def test_an_empty_mask_stays_empty():
    fitted = fit_to_boxes(torch.full((1, 1, 16, 16), -9.0), torch.zeros(1, 1, 4), stride=2)
    assert (fitted < 0).all()
