"""Boundaries and their F-score, against a pixel-by-pixel computation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam_plugins.evaluation.boundaries import boundary_f, boundary_of

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def slow_boundary(mask):
    """(row, column) of each pixel in the mask beside a pixel of the image that is not."""
    height, width = mask.shape
    return [
        (r, c)
        for r in range(height)
        for c in range(width)
        if mask[r, c]
        and any(
            0 <= r + dr < height and 0 <= c + dc < width and not mask[r + dr, c + dc]
            for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))
        )
    ]


def slow_f(predicted, truth, reach):
    ours, theirs = slow_boundary(predicted), slow_boundary(truth)
    if not ours and not theirs:
        return 1.0
    if not ours or not theirs:
        return 0.0

    def share(some, others):
        return sum(any(math.dist(a, b) <= reach for b in others) for a in some) / len(some)

    precision, recall = share(ours, theirs), share(theirs, ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=80)
@given(st.data())
def test_both_are_those_of_the_slow_computation(data):
    shape = data.draw(SHAPES)
    predicted, truth, ignore = (data.draw(arrays(bool, shape)) for _ in range(3))
    assert [tuple(p) for p in np.argwhere(boundary_of(truth))] == slow_boundary(truth)
    tolerance = data.draw(st.sampled_from([0.0, 0.0075, 0.2, 0.5]))
    reach = max(1.0, tolerance * math.hypot(*shape))
    assert boundary_f(predicted, truth, tolerance=tolerance) == pytest.approx(
        slow_f(predicted, truth, reach)
    )
    assert boundary_f(predicted, truth, ignore, tolerance=tolerance) == pytest.approx(
        slow_f(predicted & ~ignore, truth & ~ignore, reach)
    )


def test_the_tolerance_grows_with_the_image():
    """0.75 % of a diagonal of 500 are 3.75 pixels: a shift by 3 matches, one by 4 does not."""
    truth = np.zeros((300, 400), dtype=bool)
    truth[:, :200] = True
    assert boundary_f(np.roll(truth, 3, axis=1) | truth, truth) == 1
    assert boundary_f(np.roll(truth, 4, axis=1) | truth, truth) == 0


def test_the_edge_of_the_image_is_no_boundary():
    everything = np.ones((6, 7), dtype=bool)
    assert not boundary_of(everything).any()
    assert boundary_f(everything, everything) == 1
    assert boundary_f(~everything, ~everything) == 1
