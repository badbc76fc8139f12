"""Which axis is what: the rules that the package's description states, case by case."""

import numpy as np
import pytest

from sam_plugins.errors import InvalidImageError
from sam_plugins.images import Normalization, image_size, to_rgb
from sam_plugins.images.layout import Layout, check_pixels, find_layout, seen_channels


@pytest.mark.parametrize(
    ("shape", "channel_axis", "expected"),
    [
        ((40, 50), None, Layout((40, 50), 0, None, 1)),
        ((40, 50, 1), None, Layout((40, 50), 0, 2, 1)),
        ((40, 50, 3), None, Layout((40, 50), 0, 2, 3)),
        ((40, 50, 4), None, Layout((40, 50), 0, 2, 4)),
        ((1, 40, 50), None, Layout((40, 50), 0, 0, 1)),
        ((3, 40, 50), None, Layout((40, 50), 0, 0, 3)),
        ((4, 40, 50), None, Layout((40, 50), 0, 0, 4)),
        # Both ends could be channels: the last axis is, as in most files.
        ((3, 40, 3), None, Layout((3, 40), 0, 2, 3)),
        ((3, 40, 4), None, Layout((3, 40), 0, 2, 4)),
        ((4, 2, 3), None, Layout((4, 2), 0, 2, 3)),
        # Any other number, if it is plain which axis is meant.
        ((2, 40, 50), None, Layout((40, 50), 0, 0, 2)),
        ((40, 50, 2), None, Layout((40, 50), 0, 2, 2)),
        ((30, 40, 50), None, Layout((40, 50), 0, 0, 30)),
        ((50, 40, 30), None, Layout((50, 40), 0, 2, 30)),
        # Said by the caller.
        ((3, 40, 50), 2, Layout((3, 40), 0, 2, 50)),
        ((3, 40, 50), -1, Layout((3, 40), 0, 2, 50)),
        ((40, 3, 50), 1, Layout((40, 50), 0, 1, 3)),
        ((40, 40, 40), 0, Layout((40, 40), 0, 0, 40)),
        # Leading axes of length 1 mean nothing.
        ((1, 1, 40, 50), None, Layout((40, 50), 1, 0, 1)),
        ((1, 3, 40, 50), None, Layout((40, 50), 1, 0, 3)),
        ((1, 1, 1, 40, 50, 3), None, Layout((40, 50), 3, 2, 3)),
        ((1, 40, 50, 7), -1, Layout((40, 50), 1, 2, 7)),
        ((1, 5, 40, 50), 1, Layout((40, 50), 1, 0, 5)),
        # Thin images are images here; whether they can be segmented is the frame's matter.
        ((1, 20000), None, Layout((1, 20000), 0, None, 1)),
        ((1, 1), None, Layout((1, 1), 0, None, 1)),
        ((1, 20000, 3), None, Layout((1, 20000), 0, 2, 3)),
    ],
)
def test_axes(shape, channel_axis, expected):
    assert find_layout(shape, channel_axis=channel_axis) == expected
    image = np.zeros(shape, dtype=bool)
    assert image_size(image, channel_axis=channel_axis) == expected.size


@pytest.mark.parametrize(
    ("shape", "channel_axis", "words"),
    [
        ((), None, "two axes or three"),
        ((7,), None, "two axes or three"),
        ((0, 5), None, "empty"),
        ((5, 0, 3), None, "empty"),
        ((0, 40, 50), None, "empty"),
        ((2, 3, 40, 50), None, "give one slice"),
        ((1, 2, 3, 40, 50), None, "give one slice"),
        ((40, 40, 40), None, "channel_axis="),
        ((40, 30, 50), None, "channel_axis="),
        ((30, 40, 30), None, "channel_axis="),
        ((40, 50), 0, "does not fit"),
        ((40, 50, 3), 3, "does not fit"),
        ((40, 50, 3), -4, "does not fit"),
        ((float("nan"), 50), None, "compute"),
    ],
)
def test_what_is_no_image_is_refused(shape, channel_axis, words):
    with pytest.raises(InvalidImageError, match=words) as caught:
        find_layout(shape, channel_axis=channel_axis)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("count", [2, 5, 40])
@pytest.mark.parametrize("first", [True, False])
def test_other_numbers_of_channels_need_a_choice(count, first):
    image = np.zeros((count, 60, 70) if first else (60, 70, count), dtype=np.uint8)
    with pytest.raises(InvalidImageError, match=r"channels=") as caught:
        to_rgb(image)
    assert f"{count} channels" in str(caught.value)
    assert to_rgb(image, normalization=Normalization(channels=1)).shape == (60, 70, 3)


def test_channels_that_do_not_exist_are_refused():
    layout = find_layout((40, 50, 4))
    assert seen_channels(layout, (3, 3, 0)) == (3, 3, 0)
    with pytest.raises(InvalidImageError, match=r"channel 4 .* 4 channels"):
        seen_channels(layout, (0, 4, 1))
    with pytest.raises(InvalidImageError, match=r"channel 1 .* 1 channel$"):
        to_rgb(np.zeros((4, 5)), normalization=Normalization(channels=1))


def test_a_page_that_would_fill_the_memory_is_refused():
    check_pixels("a.tif", (2**15, 2**15))
    with pytest.raises(InvalidImageError, match=r"a\.tif .*32769 x 32768"):
        check_pixels("a.tif", (2**15 + 1, 2**15))
