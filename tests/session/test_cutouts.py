"""Cutouts are masks of an image, whatever box they are kept in."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sam_plugins.session import Cutout, Overlap, Patch, Region
from sam_plugins.session.patches import OverlapError, object_patch

SIZE = (9, 12)
masks = arrays.arrays(bool, SIZE)


@given(masks)
def test_tight_is_the_same_mask_in_the_smallest_box(mask):
    tight = Cutout(mask).tight()
    assert np.array_equal(tight.whole(SIZE), mask)
    assert tight.area == mask.sum()
    if mask.any():
        rows, columns = np.nonzero(mask)
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert tight.box == box
    assert np.array_equal(Cutout.from_json(tight.as_json()).whole(SIZE), mask)


@given(masks, masks)
def test_joining_is_or(first, second):
    joined = Cutout(first).tight().joined(Cutout(second).tight())
    assert np.array_equal(joined.whole(SIZE), first | second)


@given(masks, arrays.arrays(np.uint8, SIZE, elements=st.integers(0, 4)), st.sampled_from(Overlap))
def test_a_patch_does_what_the_policy_says_and_back(mask, labels, overlap):
    others = (labels != 0) & (labels != 2)
    try:
        patch = object_patch(Cutout(mask), labels, 2, overlap=overlap)
    except OverlapError:
        refused = (mask & others).any() if overlap is Overlap.BACKGROUND else False
        free = mask if overlap is Overlap.OVERWRITE else mask & ~others
        assert refused or not free.any()
        return
    taken = mask if overlap is Overlap.OVERWRITE else mask & ~others
    wanted = np.where(taken, 2, np.where(labels == 2, 0, labels))
    got = labels.astype(np.int64)
    for each in (patch, Patch.from_json(patch.as_json())):
        changed = got.copy()
        changed[each.pixels] = each.values
        assert np.array_equal(changed, wanted)
        back = each.inverse()
        changed[back.pixels] = back.values
        assert np.array_equal(changed, labels)
    assert (labels[patch.pixels] != patch.values).all()


def test_regions_that_do_not_divide_the_image():
    region = Region((2, 1, 12, 9), step=3)
    assert region.size == (3, 4)
    assert region.cutout(np.ones((3, 4), dtype=bool)).box == (2, 1, 12, 9)
    assert region.contains(2, 1)
    assert not region.contains(12, 5)
