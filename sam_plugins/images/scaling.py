"""Finding the limits of an image's values and mapping them to 8 bits, a block at a time."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidImageError
from sam_plugins.images.normalization import Normalization
from sam_plugins.images.planes import Planes

# Percentiles of larger images are taken from this many of their pixels: the value found for the
# 99.8th percentile then lies between the 99.79th and the 99.81st (two standard deviations).
MAX_SAMPLED_PIXELS = 2**20


def find_limits(planes: Planes, normalization: Normalization) -> tuple[float, float]:
    """Find which values become 0 and 255.

    Parameters
    ----------
    planes : Planes
        The image, of which the distinct channels count together.
    normalization : Normalization
        Of a kind other than ``"none"``.

    Returns
    -------
    tuple of float
        Low and high, both finite. They are equal for a constant image.

    Raises
    ------
    InvalidImageError
        If no value is finite.

    Notes
    -----
    The p-th percentile is the least value that p percent of the sampled values do not exceed
    (``numpy.percentile`` with ``method="inverted_cdf"``): a value of the image, and the same one if
    a gray image is stacked to three channels. Where both percentiles are one value, as in an image
    of few bright spots on a constant ground, the least and the greatest value are taken.
    """
    if normalization.limits is not None:
        _require_finite(planes)
        return normalization.limits
    if normalization.kind != "minmax":
        values = _sample(planes)
        if len(values):
            ranks = [_rank(percent, len(values)) for percent in normalization.percentiles]
            # A radix sort, where numpy has one, is several times as fast as the partition.
            radix = values.dtype.itemsize <= 2
            ordered = np.sort(values, kind="stable") if radix else np.partition(values, ranks)
            low, high = (float(ordered[rank]) for rank in ranks)
            if low < high:
                return low, high
    return _extremes(planes)


def _rank(percent: float, count: int) -> int:
    """Position of a percentile among sorted values, free of rounding errors."""
    fraction = Fraction(percent).limit_denominator(10**9) / 100
    return min(count, max(1, math.ceil(count * fraction))) - 1


def _sample(planes: Planes) -> NDArray[Any]:
    """The finite values of all pixels, or of some of a large image, as one array."""
    rows, columns = (
        _spread(side, count)
        for side, count in zip(planes.size, _sampled_size(*planes.size), strict=True)
    )
    parts = []
    for band, block in planes.blocks():
        inside = rows[(rows >= band.start) & (rows < band.stop)] - band.start
        part = block[:, inside] if len(inside) < block.shape[1] else block
        part = part.take(columns, axis=2) if len(columns) < block.shape[2] else part
        parts.append(_finite(part))
    return np.concatenate(parts)


def _sampled_size(height: int, width: int) -> tuple[int, int]:
    """How many rows and columns to sample: in the image's proportions, but a short side whole."""
    if height * width <= MAX_SAMPLED_PIXELS:
        return height, width
    share = math.sqrt(MAX_SAMPLED_PIXELS / (height * width))
    least = math.isqrt(MAX_SAMPLED_PIXELS)
    rows = min(height, max(int(height * share), least))
    columns = min(width, max(int(width * share), least))
    if rows > columns:
        return min(rows, MAX_SAMPLED_PIXELS // columns), columns
    return rows, min(columns, MAX_SAMPLED_PIXELS // rows)


def _spread(side: int, count: int) -> NDArray[np.int64]:
    """``count`` of ``side`` positions, one at random in each of as many equal parts.

    Random, so that no regular structure of the image is met in one phase only; from a fixed seed,
    so that one image always gets the same limits.
    """
    edges = np.arange(count + 1) * side // count
    return np.random.default_rng(0).integers(edges[:-1], edges[1:])


def _finite(block: NDArray[Any]) -> NDArray[Any]:
    """The finite values as a one-dimensional array of a type that sorts fast and exactly."""
    values = block.ravel()
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
        if values.dtype.itemsize == 2:
            return values.astype(np.float32)
        if values.dtype.itemsize > 8:
            return values.astype(np.float64)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _extremes(planes: Planes) -> tuple[float, float]:
    low, high = math.inf, -math.inf
    for _, block in planes.blocks():
        least, greatest = np.fmin.reduce(block, axis=None), np.fmax.reduce(block, axis=None)
        if not (np.isfinite(least) and np.isfinite(greatest)):
            values = block[np.isfinite(block)]
            if not values.size:
                continue
            least, greatest = values.min(), values.max()
        low, high = min(low, float(least)), max(high, float(greatest))
    if low > high:
        raise _nothing_finite()
    return low, high


def _require_finite(planes: Planes) -> None:
    if planes.dtype.kind == "f" and not any(
        np.isfinite(block).any() for _, block in planes.blocks()
    ):
        raise _nothing_finite()


def _nothing_finite() -> InvalidImageError:
    return InvalidImageError("the image has no finite value: all are NaN or infinite")


def scale(block: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.uint8]:
    """Map values linearly so that the limits become 0 and 255, rounded half up.

    Parameters
    ----------
    block : ndarray
        Of any real dtype.
    limits : tuple of float
        Low and high. Values beyond saturate; if they are equal, everything becomes 0.

    Returns
    -------
    ndarray of the same shape, uint8
        NaN becomes 0.

    Examples
    --------
    >>> scale(np.array([99, 100, 2050, 4000, 65535], dtype=np.uint16), (100, 4000)).tolist()
    [0, 0, 128, 255, 255]
    """
    low, high = limits
    if low >= high:
        return np.zeros(block.shape, dtype=np.uint8)
    # float32 holds all values of 16 bits exactly; others need float64, or 2**31 would be its own
    # neighbour.
    working = np.float32 if block.dtype.itemsize <= 2 else np.float64
    values: NDArray[Any]
    # Values beyond the limits may overflow to infinity, which saturates as it should.
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isinf(high - low):
            low, high = low / 2, high / 2
            values = block / working(2) - working(low)
        else:
            values = np.subtract(block, working(low), dtype=working, casting="same_kind")
        # Not by the reciprocal, which overflows where the range is tiny.
        np.divide(values, working(high - low), out=values)
    np.multiply(values, working(255), out=values)
    np.add(values, working(0.5), out=values)
    if block.dtype.kind == "f":
        np.fmax(values, working(0), out=values)  # NaN becomes 0
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)


def as_8_bit(block: NDArray[Any]) -> NDArray[np.uint8]:
    """Take values that are 0 .. 255 already, rounded half up, NaN as 0, bool as 0 and 255.

    Parameters
    ----------
    block : ndarray
        Of any real dtype.

    Returns
    -------
    ndarray of the same shape, uint8

    Raises
    ------
    InvalidImageError
        If a value does not fit.

    Examples
    --------
    >>> as_8_bit(np.array([0.0, 127.5, 255.0])).tolist()
    [0, 128, 255]
    """
    if block.dtype == np.uint8:
        return block
    if block.dtype == bool:
        return block.astype(np.uint8) * np.uint8(255)
    low, high = np.fmin.reduce(block, axis=None), np.fmax.reduce(block, axis=None)
    if low < 0 or high > 255:
        wrong = low if low < 0 else high
        raise InvalidImageError(
            f"the value {wrong:g} does not fit 8 bits: normalise by percentiles, or give limits"
        )
    if block.dtype.kind != "f":
        return block.astype(np.uint8)
    return scale(block, (0.0, 255.0))
