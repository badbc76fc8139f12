"""Label images for tests, and slow but plain ways to fill polygons."""

import itertools

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sam_plugins.datasets.annotations import images_from_labels, labels_from_images

SHAPES = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 8)),
)
# Few labels, so that objects have holes and touch; some beyond 16 bits.
LABELS = SHAPES.flatmap(
    lambda shape: arrays(np.uint32, shape, elements=st.sampled_from([0, 0, 1, 2, 3, 70_000]))
)
FLAT_LABELS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.uint16, shape, elements=st.sampled_from([0, 0, 1, 2, 9]))
)


def stack_of(labels, name="cells ü.tif", **more):
    return images_from_labels(labels, name, **more)


def same(found, labels):
    """Whether images show these labels."""
    np.testing.assert_array_equal(labels_from_images(found), labels)


def fill(rings, size):
    """Even-odd rule at every pixel's centre, by crossings with a ray to the left."""
    mask = np.zeros(size, bool)
    for row in range(size[0]):
        for column in range(size[1]):
            x, y, crossings = column + 0.5, row + 0.5, 0
            for ring in rings:
                for (x0, y0), (x1, y1) in itertools.pairwise(ring):
                    if (y0 <= y) != (y1 <= y):
                        crossings += x0 + (y - y0) * (x1 - x0) / (y1 - y0) < x
            mask[row, column] = crossings % 2
    return mask
