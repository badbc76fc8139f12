"""Masks line by line equal masks that are upsampled as a whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy import ndimage
from segment_anything.utils import amg

from sam_plugins.frames import Frame
from sam_plugins.masks import _streaming_kernels as kernels
from sam_plugins.masks.streaming import (
    mask_at_image_size,
    masks_at_image_size,
    prepare,
    summarize,
)

SIZES = [(1024, 1024), (40, 60), (61, 200), (200, 61), (1500, 2000), (3, 700), (2, 2), (1023, 77)]


def logits_for(frame, seed, kind="smooth"):
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 4, (3, *frame.low_resolution_size)).astype(np.float32)
    if kind == "noise":
        return noise
    if kind == "cliffs":
        # Squares far above the threshold beside ones just below it: what is decided changes
        # without a line between that is not.
        coarse = rng.choice(np.float32([-29, -2, 3, 23]), (3, 8, 8))
        return np.kron(coarse, np.ones([side // 8 for side in frame.low_resolution_size], "f"))
    smooth = ndimage.gaussian_filter(noise, (0, 8, 8))
    return (6 * smooth / smooth.std()).astype(np.float32)


def whole(logits, frame):
    """As the reference upsamples: to the frame, without the padding, to the image's size."""
    side = frame.frame_size
    up = torch.nn.functional.interpolate(
        torch.from_numpy(logits)[None], (side, side), mode="bilinear", align_corners=False
    )
    height, width = frame.input_size
    return torch.nn.functional.interpolate(
        up[..., :height, :width], frame.image_size, mode="bilinear", align_corners=False
    )[0]


@pytest.mark.parametrize("kind", ["smooth", "noise", "cliffs"])
@pytest.mark.parametrize("size", SIZES)
def test_a_mask_is_the_thresholded_upsampling(size, kind):
    frame = Frame(size, 1024, 4)
    logits = logits_for(frame, 0, kind)
    expected = whole(logits, frame).numpy()
    for each, full in zip(logits, expected, strict=True):
        # The last bit of a float may fall either way.
        sure = np.abs(full) > 1e-5
        found = mask_at_image_size(each, frame)
        assert found.shape == size
        np.testing.assert_array_equal(found[sure], (full > 0)[sure])


@pytest.mark.parametrize("size", [(40, 60), (700, 900)])
def test_noise_beside_what_is_decided_is_a_mask(size):
    # Lines of noise alone are walked in another way than those that have decided stretches.
    frame = Frame(size, 1024, 4)
    logits = np.concatenate([logits_for(frame, 1, "noise"), logits_for(frame, 2, "smooth")])
    rows, columns = logits.shape[1:]
    logits[:3, rows // 4 : rows // 2] = 9
    logits[:3, 3 * rows // 4 :, columns // 3 :] = -9
    expected = whole(logits, frame).numpy()
    sure = np.abs(expected) > 1e-5
    masks = masks_at_image_size(logits, frame)
    np.testing.assert_array_equal(masks[sure], (expected > 0)[sure])
    for rle, mask in zip(summarize(logits, frame).rles, masks, strict=True):
        np.testing.assert_array_equal(coco.decode(rle).astype(bool), mask)


@pytest.mark.parametrize("width", [5, 6, 200, 1400])
def test_nothing_but_background_follows_a_full_column(width):
    # No column lies between the two that has to be interpolated to know on which side it is.
    frame = Frame((90, width), 1024, 4)
    logits = np.full((1, *frame.low_resolution_size), -2, np.float32)
    logits[..., : frame.input_size[1] // 8] = 29
    expected = (whole(logits, frame) > 0).numpy()
    summary = summarize(logits, frame)
    np.testing.assert_array_equal(coco.decode(summary.rles[0]).astype(bool), expected[0])
    np.testing.assert_array_equal(summary.areas, expected.sum((1, 2)))
    np.testing.assert_array_equal(masks_at_image_size(logits, frame), expected)


def test_logits_that_are_no_numbers_or_endless_are_interpolated_like_others():
    frame = Frame((300, 400), 1024, 4)
    logits = logits_for(frame, 3)[:1]
    rng = np.random.default_rng(3)
    for value in (np.nan, np.inf, -np.inf, 1e30):
        y, x = rng.integers(0, (190, 250))
        logits[0, y : y + 3, x : x + 3] = value
    with np.errstate(invalid="ignore"):
        full = whole(logits, frame).numpy()[0]
    sure = ~(np.abs(full) < 1e-4)
    np.testing.assert_array_equal(mask_at_image_size(logits[0], frame)[sure], (full > 0)[sure])
    summary = summarize(logits, frame)
    decoded = coco.decode(summary.rles[0]).astype(bool)
    np.testing.assert_array_equal(decoded[sure], (full > 0)[sure])


@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 200),
    st.integers(2, 200),
    st.sampled_from(["smooth", "noise", "cliffs"]),
)
def test_summaries_are_the_references(seed, height, width, kind):
    frame = Frame((height, width), 64, 4)
    logits = logits_for(frame, seed, kind)
    found = summarize(logits, frame, threads=1)
    full = whole(logits, frame)
    if (full.abs() < 1e-5).any() or ((full.abs() - 1).abs() < 1e-5).any():
        return
    np.testing.assert_array_equal(found.boxes, amg.batched_mask_to_box(full > 0).numpy())
    np.testing.assert_array_equal(found.areas, (full > 0).sum((1, 2)).numpy())
    stability = amg.calculate_stability_score(full, 0.0, 1.0).nan_to_num()
    np.testing.assert_allclose(found.stability, stability.numpy(), atol=1e-6)
    for code, mask in zip(found.rles, full > 0, strict=True):
        theirs = coco.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
        assert code["counts"] == theirs["counts"].decode()


def test_masks_together_are_the_masks_one_by_one():
    frame = Frame((61, 200), 1024, 4)
    logits = np.concatenate([logits_for(frame, 1), logits_for(frame, 2, "noise")])
    together = masks_at_image_size(logits, frame, threshold=0.5)
    for each, mask in zip(logits, together, strict=True):
        np.testing.assert_array_equal(mask, mask_at_image_size(each, frame, threshold=0.5))
    assert masks_at_image_size(logits[:0], frame).shape == (0, 61, 200)


def test_a_crop_lies_in_its_place():
    frame = Frame((30, 50), 64, 4)
    logits = logits_for(frame, 3)
    alone = summarize(logits, frame)
    placed = summarize(logits, frame, offset=(20, 7), full_size=(80, 90))
    for one, other in zip(alone.rles, placed.rles, strict=True):
        expected = np.zeros((80, 90), np.uint8)
        expected[7:37, 20:70] = coco.decode(one)
        np.testing.assert_array_equal(coco.decode(other), expected)
    np.testing.assert_array_equal(placed.areas, alone.areas)
    moved = alone.boxes + np.array([20, 7, 20, 7]) * (alone.areas > 0)[:, None]
    np.testing.assert_array_equal(placed.boxes, moved)


def test_empty_and_full_masks_and_none():
    frame = Frame((30, 50), 64, 4)
    low = np.full((1, *frame.low_resolution_size), -9, np.float32)
    empty, full = summarize(low, frame), summarize(-low, frame)
    assert (empty.areas[0], full.areas[0]) == (0, 1500)
    assert empty.boxes[0].tolist() == [0, 0, 0, 0]
    assert full.boxes[0].tolist() == [0, 0, 49, 29]
    assert (empty.stability[0], full.stability[0]) == (0, 1)
    assert len(summarize(low[:0], frame).areas) == 0


def test_nothing_is_left_to_compile_after_prepare():
    prepare()
    known = kernels.paint.signatures, kernels.trace.signatures, kernels.compress.signatures
    assert all(known)
    frame = Frame((40, 60), 1024, 4)
    logits = logits_for(frame, 1)
    mask_at_image_size(logits[0], frame)
    masks_at_image_size(logits, frame)
    summarize(logits, frame, offset=(3, 4), full_size=(90, 90))
    after = kernels.paint.signatures, kernels.trace.signatures, kernels.compress.signatures
    assert after == known


def test_threads_and_thresholds():
    frame = Frame((70, 50), 64, 4)
    logits = np.concatenate([logits_for(frame, seed) for seed in range(4)])
    one, many = summarize(logits, frame, threads=1), summarize(logits, frame, threads=4)
    assert one.rles == many.rles
    shifted = summarize(logits + 2.5, frame, threshold=2.5)
    assert shifted.rles == one.rles
    assert summarize(logits, frame, with_rle=False).rles == []


@pytest.mark.parametrize(
    "options", [{"offset": (5, 0)}, {"offset": (-1, 0)}, {"full_size": (20, 90)}]
)
def test_a_crop_that_does_not_fit_is_refused(options):
    frame = Frame((30, 50), 64, 4)
    with pytest.raises(ValueError, match="does not lie"):
        summarize(logits_for(frame, 0), frame, **options)


def test_logits_of_another_size_are_refused():
    frame = Frame((30, 50), 64, 4)
    with pytest.raises(ValueError, match="logits"):
        summarize(np.zeros((1, 7, 7), np.float32), frame)
