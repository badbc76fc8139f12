"""Small regions and stability scores are the reference's."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from segment_anything.utils import amg

from sam_plugins.masks.regions import largest_region, regions_at, remove_small_regions
from sam_plugins.masks.stability import stability_score


def blobs(seed):
    noise = np.random.default_rng(seed).normal(size=(40, 50))
    return ndimage.gaussian_filter(noise, 1.2) > 0.05


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 5, 20, 100, 3000]),
    st.sampled_from(["holes", "islands"]),
)
def test_small_regions(seed, least, mode):
    mask = blobs(seed)
    theirs, their_change = amg.remove_small_regions(mask, least, mode)
    ours, our_change = remove_small_regions(mask, min_area=least, mode=mode)
    assert our_change == their_change
    np.testing.assert_array_equal(ours, theirs)


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="mode"):
        remove_small_regions(blobs(0), min_area=3, mode="bays")


def test_the_largest_region_and_that_under_a_point():
    mask = np.zeros((10, 10), bool)
    mask[1:3, 1:3] = True
    mask[5:9, 4:9] = True
    big = largest_region(mask)
    assert big.sum() == 20
    np.testing.assert_array_equal(regions_at(mask, [(1, 2)]), mask & ~big)
    np.testing.assert_array_equal(regions_at(mask, [(1, 2), (6, 6)]), mask)
    assert not largest_region(np.zeros((3, 3), bool)).any()


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.7]), st.sampled_from([0.5, 1.0]))
def test_stability(seed, threshold, offset):
    logits = np.random.default_rng(seed).normal(0, 2, (3, 12, 15)).astype(np.float32)
    theirs = amg.calculate_stability_score(torch.from_numpy(logits), threshold, offset)
    ours = stability_score(logits, threshold=threshold, offset=offset)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6)
