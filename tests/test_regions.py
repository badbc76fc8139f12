"""Regions of large images: chosen steadily, read sparingly, answered in pixels of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_plugins.images import Normalization
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt
from sam_plugins.regions import (
    ImageStack,
    choose_region,
    contains,
    embed_region,
    find_normalization,
)

PLANE = (None, None)
sides = st.integers(2, 20000)
parts = st.floats(0, 1, allow_nan=False)


@given(sides, sides, parts, parts, parts, parts)
def test_what_is_seen_lies_in_the_region(height, width, a, b, c, d):
    x0, x1 = sorted((a * width, b * width))
    y0, y1 = sorted((c * height, d * height))
    region = choose_region((height, width), 512, visible=(x0, y0, x1, y1))
    assert contains((0, 0, width, height), region)
    assert contains(region, (np.floor(x0), np.floor(y0), np.ceil(x1), np.ceil(y1)))
    seen = max(x1 - x0, y1 - y0)
    side = max(region[2] - region[0], region[3] - region[1])
    assert side <= max(8 / 3 * seen, 4 / 3 * 512) * 4 / 3 or side == max(height, width)


@given(st.floats(0, 60), st.floats(0, 60))
def test_moving_a_little_does_not_change_the_region(dx, dy):
    before = choose_region((9000, 9000), 512, visible=(4032, 4032, 4332, 4332))
    after = choose_region((9000, 9000), 512, visible=(4032 + dx, 4032 + dy, 4332 + dx, 4332 + dy))
    assert before == after


def test_hints_lie_in_the_region():
    region = choose_region(
        (9000, 9000), 512, visible=(100, 100, 300, 300), include=(5000, 200, 5000, 200)
    )
    assert contains(region, (100, 100, 5000, 300))


class Counted:
    """An array that counts the pixels that are read."""

    def __init__(self, array):
        self.array, self.read = array, 0
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, index):
        part = self.array[index]
        self.read += part.size
        return part


def test_only_the_region_is_read():
    array = Counted(np.arange(1000 * 1000, dtype=np.uint32).reshape(1000, 1000))
    found = ImageStack((array,)).read(PLANE, (100, 200, 150, 240), most=1000)
    assert np.array_equal(found, array.array[200:240, 100:150])
    assert array.read == 40 * 50


def test_a_plane_of_a_stack_and_its_channels():
    array = np.random.default_rng(0).integers(0, 255, (4, 5, 60, 70), dtype=np.uint8)
    stack = ImageStack((array,), channel_axis=1)
    found = stack.read((2, 0, None, None), (10, 20, 40, 50), most=100, channels=(3, 1))
    assert np.array_equal(found, np.moveaxis(array[2, [3, 1], 20:50, 10:40], 0, -1))
    other = ImageStack((array,)).read((None, 1, None, 5), (0, 0, 60, 4), most=100)
    assert np.array_equal(other, array[:, 1, :, 5])


def test_colours():
    array = np.random.default_rng(0).integers(0, 255, (3, 60, 70, 3), dtype=np.uint8)
    stack = ImageStack((array,), rgb=True)
    assert stack.shape == (3, 60, 70)
    assert np.array_equal(stack.read((1, None, None), (0, 0, 70, 60), most=100), array[1])


def test_the_level_that_suits_is_read():
    levels = tuple(
        Counted(np.full((4000 // factor, 4000 // factor), factor, np.uint8)) for factor in (1, 2, 8)
    )
    stack = ImageStack(levels)
    assert stack.read(PLANE, (0, 0, 4000, 4000), most=500).flat[0] == 8
    assert stack.read(PLANE, (0, 0, 4000, 4000), most=1500).flat[0] == 2
    assert stack.read(PLANE, (0, 0, 900, 900), most=1000).shape == (900, 900)
    assert sum(level.read for level in levels) <= 500**2 + 2000**2 + 900**2


def test_limits_hold_for_all_regions():
    array = np.random.default_rng(0).integers(100, 4000, (600, 700), dtype=np.uint16)
    found = find_normalization(ImageStack((array,)), PLANE, Normalization())
    assert found.kind == "limits"
    assert np.allclose(found.limits, np.percentile(array, (0.2, 99.8)), atol=20)
    eight = ImageStack((array.astype(np.uint8),))
    assert find_normalization(eight, PLANE, Normalization()) == Normalization()
    flat = ImageStack((np.full((60, 70), 7, np.uint16),))
    assert find_normalization(flat, PLANE, Normalization()).kind == "minmax"


@pytest.fixture(scope="module")
def lite():
    return Predictor("lite", device="cpu")


def test_masks_of_a_region_are_in_pixels_of_the_whole(lite):
    image = np.full((3000, 3000), 60, np.uint16)
    rows, columns = np.ogrid[:3000, :3000]
    disc = (rows - 1500) ** 2 + (columns - 1800) ** 2 < 120**2
    image[disc] = 900
    levels = (image, image[::2, ::2], image[::4, ::4])
    for stack in (ImageStack((image,)), ImageStack(levels)):
        region = choose_region(image.shape, lite.model.frame_size, visible=(1500, 1200, 2100, 1800))
        settings = find_normalization(stack, PLANE, Normalization(kind="minmax"))
        embedding = embed_region(lite, stack, PLANE, region, normalization=settings)
        x0, y0, x1, y1 = region
        assert embedding.image_size == (y1 - y0, x1 - x0)
        prompt = Prompt(boxes=[[1675 - x0, 1375 - y0, 1925 - x0, 1625 - y0]])
        found = lite.predict(embedding, prompt).best_mask
        wanted = disc[y0:y1, x0:x1]
        assert (found & wanted).sum() / (found | wanted).sum() > 0.9
    assert embed_region(lite, stack, PLANE, region, normalization=settings).content_key == (
        embedding.content_key
    )
