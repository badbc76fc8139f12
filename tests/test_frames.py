"""Frames against the reference's ``ResizeLongestSide`` and ``Sam.postprocess_masks``."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import peers
from sam_plugins.errors import InvalidImageError, InvalidPromptError
from sam_plugins.frames import MASK_PROMPT_LOGIT, Frame

peers.prepare()
from segment_anything.modeling import Sam  # noqa: E402
from segment_anything.utils.transforms import ResizeLongestSide  # noqa: E402

SIZES = st.tuples(st.integers(2, 400), st.integers(2, 400))
FRAMES = st.sampled_from([(64, 4), (100, 4), (128, 2)])


class ReferenceModel:
    """What ``postprocess_masks`` of the reference needs of a model: the side of its frame."""

    def __init__(self, side):
        self.image_encoder = type("Encoder", (), {"img_size": side})

    def postprocess(self, logits, input_size, original_size):
        return Sam.postprocess_masks(self, logits, input_size, original_size)


def frame_or_none(size, frame):
    """The frame, or None where the short side would shrink to nothing."""
    try:
        return Frame(size, *frame)
    except InvalidImageError:
        assert min(ResizeLongestSide.get_preprocess_shape(*size, frame[0])) < 1
        return None


@given(size=st.tuples(st.integers(2, 5000), st.integers(2, 5000)))
@settings(max_examples=300, deadline=None)
def test_sizes_are_the_reference_s(size):
    frame = frame_or_none(size, (1024, 4))
    if frame is not None:
        assert frame.input_size == ResizeLongestSide.get_preprocess_shape(*size, 1024)
        assert max(frame.input_size) == 1024


@given(
    size=SIZES,
    points=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_coordinates_are_the_reference_s(size, points):
    frame = frame_or_none(size, (1024, 4))
    if frame is None:
        return
    reference = ResizeLongestSide(1024)
    coordinates = np.array(points) * (size[1], size[0])
    expected = reference.apply_coords(coordinates, size).astype(np.float32)
    actual = frame.points_to_frame(coordinates)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=0)
    back = frame.points_to_image(actual)
    np.testing.assert_allclose(back, coordinates, rtol=1e-6, atol=1e-12)
    boxes = np.concatenate([coordinates, coordinates[::-1]], axis=1)
    expected = reference.apply_boxes(boxes, size).astype(np.float32)
    np.testing.assert_allclose(frame.boxes_to_frame(boxes), expected, rtol=1e-6, atol=0)
    assert frame.boxes_to_frame(boxes[None]).shape == (1, len(boxes), 4)


def test_no_coordinates_stay_none():
    frame = Frame((30, 40), 64)
    assert frame.points_to_frame(np.zeros((0, 2))).shape == (0, 2)
    assert frame.boxes_to_frame(np.zeros((0, 4))).shape == (0, 4)


@given(size=SIZES, side=st.sampled_from([64, 100, 256]), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_resized_images_are_the_reference_s_bit_by_bit(size, side, seed):
    frame = frame_or_none(size, (side, 4))
    if frame is None:
        return
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)
    expected = ResizeLongestSide(side).apply_image(image)
    np.testing.assert_array_equal(frame.resize_image(image), expected)
    image.flags.writeable = False
    strided = np.asfortranarray(image)
    np.testing.assert_array_equal(frame.resize_image(strided), expected)


def test_an_image_of_the_frame_s_size_is_not_copied():
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    assert frame_or_none((48, 64), (64, 4)).resize_image(image) is image


def test_an_image_of_another_size_is_refused():
    with pytest.raises(InvalidImageError, match=r"\(30, 41\).*\(30, 40\)"):
        Frame((30, 40), 64).resize_image(np.zeros((30, 41, 3), dtype=np.uint8))


@given(size=SIZES, frame=FRAMES, seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_upsampling_is_the_reference_s(size, frame, seed):
    frame = frame_or_none(size, frame)
    if frame is None:
        return
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, *frame.low_resolution_size, generator=generator)
    reference = ReferenceModel(frame.frame_size)
    expected = reference.postprocess(logits[None], frame.input_size, size)[0]
    actual = frame.upsample(logits)
    assert actual.shape == (2, *size)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    torch.testing.assert_close(frame.mask_at_image_size(logits), expected > 0.0)
    torch.testing.assert_close(frame.mask_at_image_size(logits, 0.5), expected > 0.5)
    half = frame.upsample(logits.to(torch.bfloat16))
    assert half.dtype == torch.float32


@pytest.mark.parametrize(
    ("size", "frame_size"),
    [((0, 5), 1024), ((1, 1), 1024), ((1, 500), 1024), ((500, 1), 1024), ((2, 20000), 1024)],
)
def test_images_that_vanish_are_refused(size, frame_size):
    with pytest.raises(InvalidImageError, match=f"{size[0]} x {size[1]}") as caught:
        Frame(size, frame_size)
    assert "\n" not in str(caught.value)


def test_the_smallest_images_are_taken():
    assert Frame((2, 2), 1024).input_size == (1024, 1024)
    assert Frame((20, 20000), 1024).input_size == (1, 1024)


# ---- masks as prompts ----------------------------------------------------------------------------


def covered_slowly(mask, frame):
    """The covered part of each cell by summing single pixels' overlaps, one cell at a time."""
    stride = frame.low_resolution_stride
    (height, width), (inside_y, inside_x) = mask.shape, frame.input_size

    def overlaps(cell, inside, side):
        low, high = (
            min(edge, inside) * side / inside for edge in (cell * stride, (cell + 1) * stride)
        )
        parts = [max(0.0, min(high, i + 1) - max(low, i)) for i in range(side)]
        return np.array(parts) / (high - low)

    rows = [overlaps(cell, inside_y, height) for cell in range(-(-inside_y // stride))]
    columns = [overlaps(cell, inside_x, width) for cell in range(-(-inside_x // stride))]
    return np.array(rows) @ mask.astype(float) @ np.array(columns).T


def part_of(logits):
    """The covered part that a logit stands for, by the formula in the documentation, inverted."""
    scaled = np.abs(logits) / MASK_PROMPT_LOGIT
    balance = np.sign(logits) * 2 * scaled / (1 + scaled)
    return (balance + 1) / 2


@given(
    size=st.tuples(st.integers(2, 150), st.integers(2, 150)),
    frame=FRAMES,
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_each_logit_tells_the_covered_part_of_its_cell(size, frame, seed):
    frame = frame_or_none(size, frame)
    if frame is None:
        return
    mask = np.random.default_rng(seed).random(size) > 0.6
    logits = frame.mask_to_logits(mask)
    assert logits.shape == frame.low_resolution_size
    assert logits.dtype == np.float32
    expected = covered_slowly(mask, frame)
    height, width = expected.shape
    np.testing.assert_allclose(part_of(logits[:height, :width]), expected, atol=1e-5)
    outside = np.ones(logits.shape, dtype=bool)
    outside[:height, :width] = False
    assert (logits[outside] == -MASK_PROMPT_LOGIT).all()
    np.testing.assert_array_equal(frame.mask_to_logits(np.asfortranarray(mask)), logits)


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (31, 64), (300, 417), (63, 20), (9, 7)])
def test_full_and_empty_masks(size):
    frame = Frame(size, 64)
    full = frame.mask_to_logits(np.ones(size, dtype=bool))
    height, width = (-(-side // 4) for side in frame.input_size)
    assert (full[:height, :width] == MASK_PROMPT_LOGIT).all()
    assert (full[height:] == -MASK_PROMPT_LOGIT).all()
    assert (full[:, width:] == -MASK_PROMPT_LOGIT).all()
    assert frame.mask_at_image_size(torch.from_numpy(full)[None]).all()
    empty = frame.mask_to_logits(np.zeros(size, dtype=bool))
    assert (empty == -MASK_PROMPT_LOGIT).all()


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(InvalidPromptError, match=r"\(40, 30\).*\(30, 40\)"):
        Frame((30, 40), 64).mask_to_logits(np.zeros((40, 30), dtype=bool))


@pytest.mark.parametrize("size", [(256, 256), (1024, 1024), (683, 1024), (1200, 1800), (999, 301)])
@pytest.mark.parametrize("edge", [0.21, 0.5, 0.777])
def test_straight_edges_come_back_to_where_they_were(size, edge):
    """Within one original pixel, or one frame pixel where those are larger."""
    frame = Frame(size, 1024)
    for axis in (0, 1):
        mask = np.zeros(size, dtype=bool)
        at = round(size[axis] * edge)
        mask[(slice(None),) * axis + (slice(at, None),)] = True
        logits = torch.from_numpy(frame.mask_to_logits(mask))
        back = frame.mask_at_image_size(logits[None])[0].numpy()
        allowed = max(1.0, size[axis] / frame.input_size[axis])
        # Somewhere and everywhere: logits on the edge itself are 0 but for rounding.
        for profile in (back.any(axis=1 - axis), back.all(axis=1 - axis)):
            assert abs(int(profile.argmax()) - at) <= allowed
            assert profile[-1]


@given(
    size=st.sampled_from([(256, 256), (683, 1024), (479, 641), (1500, 1999), (300, 90)]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=30, deadline=None)
def test_masks_come_back_as_they_were(size, seed):
    frame = Frame(size, 1024)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    mask = np.zeros(size, dtype=bool)
    for _ in range(3):  # ellipses, some across the border
        centre_y, centre_x = rng.uniform(0, 1, 2) * size
        radius_y, radius_x = rng.uniform(0.1, 0.4, 2) * min(size)
        mask |= ((y - centre_y) / radius_y) ** 2 + ((x - centre_x) / radius_x) ** 2 < 1
    logits = torch.from_numpy(frame.mask_to_logits(mask))
    back = frame.mask_at_image_size(logits[None])[0].numpy()
    assert (back & mask).sum() / (back | mask).sum() > 0.98
