"""Run-length codes agree with pycocotools and come back as they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco
from segment_anything.utils.amg import mask_to_rle_pytorch

from sam_plugins.errors import InvalidMaskError
from sam_plugins.masks import rle

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40))


def text_of(counts):
    return counts.decode() if isinstance(counts, bytes) else counts


@given(MASKS)
def test_there_and_back(mask):
    code = rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(code), mask)
    assert rle.area(code) == mask.sum()


@given(MASKS)
def test_pycocotools_gives_and_takes_the_same(mask):
    code = rle.encode(mask)
    theirs = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert text_of(code["counts"]) == text_of(theirs["counts"])
    assert list(code["size"]) == list(theirs["size"])
    np.testing.assert_array_equal(rle.decode(theirs), mask)
    np.testing.assert_array_equal(coco.decode(code).astype(bool), mask)


@given(MASKS)
def test_uncompressed_codes_are_the_references(mask):
    import torch

    (theirs,) = mask_to_rle_pytorch(torch.from_numpy(mask)[None])
    ours = rle.to_uncompressed(rle.encode(mask))
    assert list(ours["counts"]) == theirs["counts"]
    np.testing.assert_array_equal(rle.decode(rle.from_uncompressed(theirs)), mask)


@given(st.integers(0, 2**32 - 1))
def test_iou_is_that_of_the_masks(seed):
    rng = np.random.default_rng(seed)
    first = [rng.random((9, 13)) < share for share in (0.2, 0.5, 0)]
    second = [rng.random((9, 13)) < share for share in (0.5, 0.9)]
    found = rle.iou([rle.encode(mask) for mask in first], [rle.encode(mask) for mask in second])
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            assert found[i, j] == pytest.approx((a & b).sum() / max((a | b).sum(), 1))


def test_masks_of_any_kind_are_taken():
    mask = np.eye(4, dtype=bool)
    for given_mask in (mask, mask.astype(np.uint8) * 255, mask.astype(float), mask.T[::1]):
        np.testing.assert_array_equal(rle.decode(rle.encode(given_mask)), mask)
    np.testing.assert_array_equal(rle.as_mask(rle.encode(mask)), mask)
    np.testing.assert_array_equal(rle.as_mask(mask.astype(int)), mask)


@pytest.mark.parametrize(
    "code",
    [
        {"size": [3, 3], "counts": [4, 4]},
        {"size": [3, 3], "counts": [4, -1, 6]},
        {"size": [3], "counts": [9]},
        {"counts": [9]},
        {"size": [3, 3]},
        {"size": [3, 3], "counts": "~~~~~"},
    ],
)
def test_malformed_codes_are_refused(code):
    with pytest.raises(InvalidMaskError) as caught:
        rle.decode(code)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_only_two_axes_are_a_mask(shape):
    with pytest.raises((ValueError, InvalidMaskError)):
        rle.encode(np.zeros(shape, bool))
