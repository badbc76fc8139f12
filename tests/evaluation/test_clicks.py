"""Where the protocol clicks, against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam_plugins.evaluation.clicks import box_of, centre_of, iou, next_click

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
NOTHING = np.zeros((20, 30), dtype=bool)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_the_centre_is_as_far_from_the_outside_as_can_be(mask):
    (x, y), depth = centre_of(mask)
    if not mask.any():
        assert depth == 0
        return
    padded = np.pad(mask, 1)
    outside = np.argwhere(~padded) - 1
    inside = np.argwhere(mask)
    distances = np.sqrt(((inside[:, None] - outside[None]) ** 2).sum(-1)).min(axis=1)
    assert depth == pytest.approx(distances.max())
    at = int(np.flatnonzero((inside == [int(y), int(x)]).all(axis=1))[0])
    assert distances[at] == pytest.approx(depth)
    assert (x % 1, y % 1) == (0.5, 0.5)


def test_the_next_click_goes_to_the_deeper_error():
    truth, predicted = NOTHING.copy(), NOTHING.copy()
    truth[2:12, 2:12] = True
    predicted[2:12, 2:9] = True
    missed_a_strip = next_click(predicted, truth, NOTHING)
    assert missed_a_strip[1] == 1
    assert 9 <= missed_a_strip[0][0] < 12
    predicted[5:18, 15:28] = True
    (x, y), label = next_click(predicted, truth, NOTHING)
    assert label == 0
    assert (x, y) == (21.5, 11.5)
    ignore = NOTHING.copy()
    ignore[:, 14:] = True
    assert next_click(predicted, truth, ignore)[1] == 1


def test_a_perfect_mask_is_clicked_at_its_centre():
    truth = NOTHING.copy()
    truth[3:8, 10:15] = True
    assert next_click(truth, truth, NOTHING) == ((12.5, 5.5), 1)


def test_an_empty_mask_has_no_box():
    with pytest.raises(ValueError, match="empty"):
        box_of(NOTHING)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_iou_counts_pixels(data):
    shape = (4, 5)
    a, b, ignore = (data.draw(arrays(bool, shape)) for _ in range(3))
    pairs = [
        (p, q)
        for p, q, r in zip(a.ravel(), b.ravel(), ignore.ravel(), strict=True)
        if not r and (p or q)
    ]
    expected = sum(p and q for p, q in pairs) / len(pairs) if pairs else 1.0
    assert iou(a, b, ignore) == pytest.approx(expected)
