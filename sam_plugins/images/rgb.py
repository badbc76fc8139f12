"""``to_rgb``: any image as the 8-bit RGB that a model sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.images.normalization import Normalization
from sam_plugins.images.planes import Planes
from sam_plugins.images.scaling import as_8_bit, find_limits, scale


def to_rgb(
    image: Any,
    *,
    normalization: Normalization | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Bring any image to 8-bit RGB.

    Parameters
    ----------
    image : array-like of shape (H, W), (H, W, C) or (C, H, W)
        Bool, integers or floats: an ndarray (also read-only, non-contiguous, of foreign byte
        order), a PIL image, or an array that reads when it is indexed, such as dask's and zarr's,
        of which only the channels that are seen are read. `sam_plugins.images` has the rules by
        which the axes are told apart.
    normalization : Normalization, optional
        How values become 8 bits and which channels are seen; by default 8-bit values as they are,
        others by percentiles.
    channel_axis : int, optional
        The channels' axis, if it cannot be told from the shape.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8, C-contiguous
        RGB; gray is repeated. Not to be written to: an image that is of this form already is
        returned itself, without a copy.

    Raises
    ------
    InvalidImageError
        If the image is empty, has no finite value, or has a dtype, a shape or a number of channels
        that cannot be an image's.

    Notes
    -----
    The input is never changed. Beside the result, an image in memory takes a few megabytes, and one
    that is not 512 MB at most, or the memory for one of its chunks if that is more.

    Examples
    --------
    >>> to_rgb(np.array([[0, 1000], [2000, 4000]], dtype=np.uint16))[..., 0]
    array([[  0,  64],
           [128, 255]], dtype=uint8)
    """
    settings = normalization or Normalization()
    planes = Planes.loaded(image, normalization=settings, channel_axis=channel_axis)
    eight_bit = planes.dtype in (np.dtype(np.uint8), np.dtype(bool))
    unchanged = settings.kind == "none" or (settings.kind == "auto" and eight_bit)
    if unchanged and _is_rgb(planes):
        return planes.array
    limits = None if unchanged else find_limits(planes, settings)
    result = np.empty((*planes.size, 3), dtype=np.uint8)
    for rows, block in planes.blocks():
        _fill(result[rows], block, planes, limits)
    return result


def _is_rgb(planes: Planes) -> bool:
    return (
        planes.in_memory
        and planes.dtype == np.uint8
        and planes.array.shape == (*planes.size, 3)
        and planes.layout.channel_axis == 2
        and planes.channels == (0, 1, 2)
        and planes.array.flags.c_contiguous
    )


def _fill(
    target: NDArray[np.uint8],
    block: NDArray[Any],
    planes: Planes,
    limits: tuple[float, float] | None,
) -> None:
    """Write a block (C, h, W) of the distinct channels into rows of the result (h, W, 3)."""

    def convert(values: NDArray[Any]) -> NDArray[np.uint8]:
        return as_8_bit(values) if limits is None else scale(values, limits)

    interleaved = np.moveaxis(block, 0, -1)  # (h, W, C)
    if planes.channels == (0, 1, 2) and interleaved.flags.c_contiguous:
        target[...] = convert(interleaved)
        return
    seen = planes.channels * 3 if len(planes.channels) == 1 else planes.channels
    if len(seen) == 2:
        target[..., 2] = 0
    # One plane at a time: broadcasting along an axis of three is several times slower.
    for channel, values in zip(planes.distinct, block, strict=True):
        plane = convert(values)
        for place, wanted in enumerate(seen):
            if wanted == channel:
                target[..., place] = plane
