"""Finding the channels of an image array, and reading only those that are wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidImageError

# Numbers of channels that an axis of an image has without being told so.
GRAY, RGB, RGBA = 1, 3, 4


def as_array(image: Any) -> Any:
    """The image itself if it is an array, lazy or not; else a numpy array of it.

    Raises
    ------
    InvalidImageError
        If its values are no numbers.
    """
    array = image if hasattr(image, "shape") and hasattr(image, "dtype") else np.asarray(image)
    kind = np.dtype(array.dtype).kind
    if kind not in "buif":
        raise InvalidImageError(
            f"an image must hold booleans, integers or floats, got the type {array.dtype}"
        )
    return array


def find_channel_axis(shape: tuple[int, ...], channel_axis: int | None = None) -> int | None:
    """The axis of the channels, or None for a gray image of two axes.

    Parameters
    ----------
    shape : tuple of int
        Of the image.
    channel_axis : int, optional
        If it is known. Otherwise the last axis, if it has 1, 3 or 4 entries; or else the first, if
        it has; or else the shortest axis.

    Raises
    ------
    InvalidImageError
        If the shape cannot be one image, or a side is empty.
    """
    if len(shape) not in (2, 3):
        raise InvalidImageError(
            f"an image has two axes, and one more for channels; got the shape {shape}"
        )
    if 0 in shape:
        raise InvalidImageError(f"the image is empty: its shape is {shape}")
    if len(shape) == 2:
        return None
    if channel_axis is not None:
        if not -3 <= channel_axis < 3:
            raise InvalidImageError(f"the image has no axis {channel_axis}: its shape is {shape}")
        return channel_axis % 3
    for axis in (2, 0):
        if shape[axis] in (GRAY, RGB, RGBA):
            return axis
    return 2 if shape[2] <= min(shape[:2]) else int(np.argmin(shape))


def image_size(image: Any, *, channel_axis: int | None = None) -> tuple[int, int]:
    """(H, W) of an image, without reading its values.

    Parameters
    ----------
    image : array-like
        See `to_rgb`.
    channel_axis : int, optional
        See `find_channel_axis`.

    Examples
    --------
    >>> image_size(np.zeros((3, 20, 30)))
    (20, 30)
    """
    shape = tuple(as_array(image).shape)
    axis = find_channel_axis(shape, channel_axis)
    height, width = (side for index, side in enumerate(shape) if index != axis)
    return int(height), int(width)


def chosen_channels(count: int, channels: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Indices of the channels to show, one to three of them.

    Raises
    ------
    InvalidImageError
        If there is no such channel, or none is chosen where it is not obvious.
    """
    if channels is None:
        if count in (GRAY, RGB):
            return tuple(range(count))
        if count == RGBA:
            return (0, 1, 2)
        raise InvalidImageError(
            f"the image has {count} channels: choose one or three, "
            "for instance Normalization(channels=(0, 1, 2))"
        )
    wanted = (channels,) if isinstance(channels, int) else channels
    for index in wanted:
        if not -count <= index < count:
            raise InvalidImageError(f"the image has {count} channels, but channel {index} is asked")
    return tuple(index % count for index in wanted)


def read_planes(
    image: Any, *, channels: int | tuple[int, ...] | None, channel_axis: int | None
) -> list[NDArray[Any]]:
    """The chosen channels, each (H, W); of lazy arrays nothing else is read."""
    array = as_array(image)
    axis = find_channel_axis(tuple(array.shape), channel_axis)
    if axis is None:
        if channels not in (None, 0, (0,), -1, (-1,)):
            raise InvalidImageError(f"the image is gray, but channel {channels} is asked")
        return [np.asarray(array[:, :])]
    planes: dict[int, NDArray[Any]] = {}
    indices = chosen_channels(int(array.shape[axis]), channels)
    for index in indices:
        if index not in planes:
            where = (slice(None),) * axis + (index,)
            planes[index] = np.asarray(array[where])
    return [planes[index] for index in indices]
