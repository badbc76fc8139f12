"""Telling images apart by their content."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from sam_plugins.images.normalization import Normalization
from sam_plugins.images.planes import as_array, chosen_channels, find_channel_axis

# Images up to this size are hashed whole, in bytes.
WHOLE = 64 << 20

# Of larger ones, this many stretches of rows are hashed, spread evenly, together about as large.
STRETCHES = 64


def content_key(
    image: Any,
    *,
    normalization: Normalization | None = None,
    channel_axis: int | None = None,
) -> str:
    """Identity of what the model would see of an image.

    Parameters
    ----------
    image : array-like
        See `to_rgb`.
    normalization : Normalization, optional
        For the channels that are chosen: the others do not matter and are not read.
    channel_axis : int, optional
        See `to_rgb`.

    Returns
    -------
    str
        SHA-256 in hexadecimal digits. The memory layout does not change it.

    Raises
    ------
    InvalidImageError
        See `to_rgb`.

    Notes
    -----
    Of images over 64 MB (of the chosen channels), 64 stretches of rows are hashed, the first and
    the last rows among them: two large images that differ only between these look the same.

    Examples
    --------
    >>> image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> content_key(image) == content_key(np.asfortranarray(image))
    True
    """
    array = as_array(image)
    shape = tuple(int(side) for side in array.shape)
    axis = find_channel_axis(shape, channel_axis)
    where: tuple[Any, ...] = (slice(None), slice(None))
    channels: Any = None
    if axis is not None:
        channels = chosen_channels(shape[axis], normalization.channels if normalization else None)
        every = channels == tuple(range(shape[axis]))
        where = tuple(
            (slice(None) if every else channels) if index == axis else slice(None)
            for index in range(3)
        )
    digest = hashlib.sha256()
    digest.update(f"{shape} {np.dtype(array.dtype).str} {axis} {channels}".encode())
    row_axis = 1 if axis == 0 else 0
    for rows in _stretches(array, shape[row_axis], len(channels or (0,)), shape):
        part = tuple(rows if index == row_axis else each for index, each in enumerate(where))
        if isinstance(channels, tuple) and not all(isinstance(each, slice) for each in part):
            for channel in channels:
                single = tuple(
                    channel if index == axis else each for index, each in enumerate(part)
                )
                digest.update(_bytes(array[single]))
        else:
            digest.update(_bytes(array[part]))
    return digest.hexdigest()


def _bytes(part: Any) -> memoryview:
    return memoryview(np.ascontiguousarray(part).reshape(-1).view(np.uint8))


def _stretches(array: Any, rows: int, channels: int, shape: tuple[int, ...]) -> list[slice]:
    """Which rows are hashed."""
    height_width = sorted(shape)[-2:] if len(shape) == 3 else list(shape)
    size = int(np.prod(height_width)) * channels * np.dtype(array.dtype).itemsize
    if size <= WHOLE:
        return [slice(None)]
    thick = max(1, int(rows * WHOLE / size / STRETCHES))
    starts = np.linspace(0, rows - thick, STRETCHES).astype(int)
    return [slice(int(start), int(start) + thick) for start in starts]
