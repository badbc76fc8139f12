"""From any image array to 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidImageError
from sam_plugins.images.normalization import Normalization
from sam_plugins.images.planes import as_array, read_planes

# Percentiles are taken of about this many evenly spaced values at most: their error is below a
# tenth of a gray level, and a 16k x 16k image does not need a sorted copy of itself.
MOST_SAMPLES = 1 << 20

# Values are mapped in blocks of rows of about this many values, which bounds the extra memory.
BLOCK = 1 << 20


def to_rgb(
    image: Any,
    *,
    normalization: Normalization | None = None,
    channel_axis: int | None = None,
) -> NDArray[np.uint8]:
    """Bring an image to 8-bit RGB.

    Parameters
    ----------
    image : array-like
        (H, W) or, with channels last or first, (H, W, C) or (C, H, W): boolean, integer or float;
        NaN and infinities, read-only and non-contiguous arrays, dask and zarr arrays are fine. Only
        the chosen channels of a lazy array are read.
    normalization : Normalization, optional
        By default 8-bit values stay as they are, and others are mapped by percentiles.
    channel_axis : int, optional
        The axis of the channels, if it is not the last, or the first, with 1, 3 or 4 entries.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB, C-contiguous. It may be the given array itself: do not write to it. NaN becomes 0.

    Raises
    ------
    InvalidImageError
        If the image is empty, has no finite value, or a shape or type that no image has.

    Examples
    --------
    >>> to_rgb(np.array([[0, 1000], [2000, 4000]], dtype=np.uint16))[..., 0].tolist()
    [[0, 62], [126, 255]]
    """
    settings = normalization or Normalization()
    array = as_array(image)
    if (
        isinstance(array, np.ndarray)
        and array.dtype == np.uint8
        and settings.kind in ("auto", "none")
        and settings.channels is None
        and channel_axis in (None, 2, -1)
        and array.ndim == 3
        and array.shape[2] == 3
        and array.size
    ):
        return np.ascontiguousarray(array)
    planes = read_planes(array, channels=settings.channels, channel_axis=channel_axis)
    low_high = _limits(planes, settings)
    mapped = [_to_uint8(plane, low_high) for plane in planes]
    if len(mapped) == 1:
        mapped = mapped * 3
    elif len(mapped) == 2:
        mapped.append(np.zeros_like(mapped[0]))
    return np.stack(mapped, axis=-1)


def _limits(planes: list[NDArray[Any]], settings: Normalization) -> tuple[float, float] | None:
    """The values that become 0 and 255; None to take values as they are."""
    dtype = planes[0].dtype
    plain = dtype in (np.uint8, np.bool_)
    if settings.kind == "none" and not plain:
        raise InvalidImageError(
            f"values of type {dtype} need a normalization to 8 bits, but 'none' was chosen"
        )
    if plain and settings.kind in ("auto", "none"):
        return None
    if settings.kind == "limits" and settings.limits is not None:
        return settings.limits
    samples = np.concatenate([_finite_sample(plane, len(planes)) for plane in planes])
    if not len(samples):
        # A sparse image may have its few finite values between the samples.
        samples = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    if not len(samples):
        raise InvalidImageError("the image has no finite value: all are NaN or infinite")
    if settings.kind != "minmax":
        low, high = np.percentile(samples.astype(np.float64), settings.percentiles)
        if low < high:
            return float(low), float(high)
    finite = [plane[np.isfinite(plane)] if dtype.kind == "f" else plane for plane in planes]
    ends = [(plane.min(), plane.max()) for plane in finite if plane.size]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _finite_sample(plane: NDArray[Any], count: int) -> NDArray[Any]:
    """Evenly spaced finite values of a plane, the same ones for every memory layout."""
    step = max(1, int(np.ceil(np.sqrt(plane.size * count / MOST_SAMPLES))))
    sample = plane[::step, ::step].ravel()
    return sample[np.isfinite(sample)] if plane.dtype.kind == "f" else sample


def _to_uint8(plane: NDArray[Any], low_high: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Map a plane (H, W) linearly from low .. high to 0 .. 255."""
    if low_high is None:
        return np.asarray(plane, dtype=np.uint8) * np.uint8(255 if plane.dtype == bool else 1)
    low, high = low_high
    mapped = np.zeros(plane.shape, dtype=np.uint8)
    if high <= low:
        return mapped
    # 16 bits fit float32; wider values need float64, halved so that high - low is finite.
    narrow = plane.dtype.itemsize <= 2
    dtype = np.float32 if narrow else np.float64
    half = dtype(0.5)
    scale = dtype(255 / (0.5 * high - 0.5 * low))
    origin = dtype(0.5 * low)
    rows = max(1, BLOCK // plane.shape[1])
    for start in range(0, len(plane), rows):
        block = plane[start : start + rows].astype(dtype)
        with np.errstate(invalid="ignore", over="ignore"):
            block = (block * half - origin) * scale
        np.nan_to_num(block, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
        mapped[start : start + rows] = block.clip(0, 255)
    return mapped
