"""Polygons along pixel borders lose nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from sam_plugins.masks.polygons import (
    Polygon,
    mask_to_polygons,
    polygons_to_coco,
    polygons_to_mask,
    with_simple_rings,
)

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@given(MASKS)
@settings(max_examples=300)
def test_there_and_back(mask):
    polygons = mask_to_polygons(mask)
    np.testing.assert_array_equal(polygons_to_mask(polygons, mask.shape), mask)
    assert len(polygons) == ndimage.label(mask)[1]


@given(st.integers(0, 2**32 - 1))
def test_large_masks_with_holes_in_holes(seed):
    noise = np.random.default_rng(seed).normal(size=(70, 90))
    mask = ndimage.gaussian_filter(noise, 3) > 0
    polygons = mask_to_polygons(mask)
    np.testing.assert_array_equal(polygons_to_mask(polygons, mask.shape), mask)


@given(MASKS)
@settings(max_examples=300)
def test_simple_rings_have_no_corner_twice_and_the_same_area(mask):
    simple = [with_simple_rings(each) for each in mask_to_polygons(mask)]
    for polygon in simple:
        assert area(polygon.exterior) > 0
        assert all(area(hole) < 0 for hole in polygon.holes)
        for ring in (polygon.exterior, *polygon.holes):
            assert len({tuple(corner) for corner in ring.tolist()}) == len(ring)
    np.testing.assert_array_equal(polygons_to_mask(simple, mask.shape), mask)


def test_a_bay_that_a_corner_closes_becomes_a_hole():
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    (touching,) = mask_to_polygons(mask)
    assert touching.holes == ()
    simple = with_simple_rings(touching)
    assert [area(hole) for hole in simple.holes] == [-1]


def area(ring):
    x, y = ring.T
    return 0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()


def test_a_ring_with_a_core():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    ring, core = mask_to_polygons(mask)
    assert area(ring.exterior) == 49
    assert [area(hole) for hole in ring.holes] == [-25]
    assert core.holes == ()
    assert sorted(core.exterior.tolist()) == [[4, 4], [4, 5], [5, 4], [5, 5]]


def test_simplified_outlines_stay_near():
    y, x = np.mgrid[:80, :80]
    mask = (x - 40) ** 2 + (y - 40) ** 2 < 30**2
    (exact,), (simple,) = mask_to_polygons(mask), mask_to_polygons(mask, tolerance=1.0)
    assert len(simple.exterior) < len(exact.exterior) / 3
    again = polygons_to_mask([simple], mask.shape)
    assert (again & mask).sum() / (again | mask).sum() > 0.95


def test_coco_lists_exteriors():
    square = Polygon(np.array([[1.0, 1], [3, 1], [3, 2], [1, 2]]))
    assert polygons_to_coco([square]) == [[1, 1, 3, 1, 3, 2, 1, 2]]


def test_nothing_and_what_is_no_mask():
    assert mask_to_polygons(np.zeros((4, 5), bool)) == []
    assert not polygons_to_mask([], (4, 5)).any()
    with pytest.raises(ValueError, match="two axes"):
        mask_to_polygons(np.zeros((4, 5, 3)))
