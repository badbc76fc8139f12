"""Windows around masks: the same encodings as of whole masks."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sam_plugins.masks import rle
from sam_plugins.masks.windows import decode_window, encode_window

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@given(MASKS)
def test_the_window_is_the_part_with_foreground(mask):
    window, (x, y) = decode_window(rle.encode(mask))
    whole = np.zeros_like(mask)
    whole[y : y + window.shape[0], x : x + window.shape[1]] = window
    np.testing.assert_array_equal(whole, mask)
    if mask.any():
        assert window.any(axis=0)[[0, -1]].all()
        assert window.any(axis=1)[[0, -1]].all()
    else:
        assert window.shape == (0, 0)


@given(MASKS, st.integers(0, 4), st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))
def test_a_placed_window_is_encoded_as_the_whole_mask(window, left, top, right, bottom):
    whole = np.pad(window, ((top, bottom), (left, right)))
    assert encode_window(window, (left, top), whole.shape) == rle.encode(whole)


def test_nothing_to_encode():
    assert encode_window(np.zeros((0, 0), bool), (3, 3), (3, 3)) == rle.encode(np.zeros((3, 3)))
