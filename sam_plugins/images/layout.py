"""Telling rows, columns and channels of an array apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sam_plugins.errors import InvalidImageError

# Pixels of one page of a TIFF, npy or zarr file: more is taken for a damaged header or a file that
# was made to fill the memory. Other formats have Pillow's own limit, 178 956 970 pixels.
MAX_PIXELS = 2**30


@dataclass(frozen=True)
class Layout:
    """Which axis is what.

    Parameters
    ----------
    size : tuple of int
        (H, W), in pixels.
    dropped : int
        Leading axes of length 1 that are left out.
    channel_axis : int or None
        Axis of the channels among the remaining axes: 0, 1, 2, or None for a 2D image.
    count : int
        How many channels there are.
    """

    size: tuple[int, int]
    dropped: int
    channel_axis: int | None
    count: int


def find_layout(shape: Sequence[Any], *, channel_axis: int | None = None) -> Layout:
    """Tell rows, columns and channels apart; `sam_plugins.images` has the rules.

    Parameters
    ----------
    shape : sequence of int
        The array's shape.
    channel_axis : int, optional
        The channels' axis; negative ones count from the end.

    Returns
    -------
    Layout

    Raises
    ------
    InvalidImageError
        If the shape is not an image's.

    Examples
    --------
    >>> find_layout((480, 640, 4))
    Layout(size=(480, 640), dropped=0, channel_axis=2, count=4)
    >>> find_layout((5, 480, 640))
    Layout(size=(480, 640), dropped=0, channel_axis=0, count=5)
    """
    text = _product(shape)
    if not all(isinstance(side, int | np.integer) for side in shape):
        raise InvalidImageError(f"the image's shape {text} is not known: compute it first")
    if len(shape) < 2:
        raise InvalidImageError(f"an image needs two axes or three, got the shape {tuple(shape)}")
    if 0 in shape:
        raise InvalidImageError(f"the image is empty: its shape is {text}")
    axis = channel_axis
    if axis is not None:
        if len(shape) < 3 or not -len(shape) <= axis < len(shape):
            raise InvalidImageError(f"channel_axis={axis} does not fit an image of {text}")
        axis %= len(shape)
    dropped = 0
    while len(shape) - dropped > 3 and shape[dropped] == 1 and axis != dropped:
        dropped += 1
    sides = [int(side) for side in shape[dropped:]]
    if len(sides) > 3:
        raise InvalidImageError(
            f"an array of {text} is not one image: give one slice of it, with two axes or three"
        )
    if axis is not None:
        axis -= dropped
    elif len(sides) == 3:
        axis = _guess_channel_axis(sides)
    count = 1 if axis is None else sides.pop(axis)
    return Layout((sides[0], sides[1]), dropped, axis, count)


def _guess_channel_axis(sides: Sequence[int]) -> int:
    for axis in (2, 0):
        if sides[axis] in (1, 3, 4):
            return axis
    axis = 0 if sides[0] < sides[2] else 2
    if sides[axis] < min(side for other, side in enumerate(sides) if other != axis):
        return axis
    raise InvalidImageError(
        f"it cannot be told which axis of an image of {_product(sides)} is the channels': name it "
        "with channel_axis=..., or give one slice of a stack"
    )


def _product(shape: Sequence[Any]) -> str:
    return " x ".join(str(side) for side in shape)


def seen_channels(layout: Layout, chosen: tuple[int, ...] | None) -> tuple[int, ...]:
    """Tell which channels are seen: the chosen ones, else those that need no choice.

    Parameters
    ----------
    layout : Layout
        Of the image.
    chosen : tuple of int or None
        One to three channels, or None.

    Returns
    -------
    tuple of int
        One channel, to be seen as gray, or two or three, as red, green and blue.

    Raises
    ------
    InvalidImageError
        If a chosen channel does not exist, or none was chosen where a choice is needed.

    Examples
    --------
    >>> seen_channels(find_layout((480, 640, 4)), None)
    (0, 1, 2)
    """
    plural = "channel" if layout.count == 1 else "channels"
    has = f"an image of {_product(layout.size)} pixels with {layout.count} {plural}"
    if chosen is not None:
        if max(chosen) < layout.count:
            return chosen
        raise InvalidImageError(f"channel {max(chosen)} (counted from 0) was chosen of {has}")
    if layout.count == 1:
        return (0,)
    if layout.count in (3, 4):
        return (0, 1, 2)
    raise InvalidImageError(
        f"{has} needs a choice: one to three of them with Normalization(channels=...), for example "
        "channels=0 or channels=(0, 1, 0); of a stack, give one slice"
    )


def check_pixels(path: str | os.PathLike[str], size: tuple[int, int]) -> None:
    """Refuse a page that would fill the memory, before it is decoded.

    Parameters
    ----------
    path : path-like
        Named in the error.
    size : tuple of int
        (H, W), in pixels.

    Raises
    ------
    InvalidImageError
        If there are more than `MAX_PIXELS`.
    """
    height, width = size
    if height * width > MAX_PIXELS:
        raise InvalidImageError(
            f"{path} has {height} x {width} pixels, more than {MAX_PIXELS}: give a part of it"
        )
