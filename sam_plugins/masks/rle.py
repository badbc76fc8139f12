"""Run-length encoding of masks as COCO does it: column by column, beginning with background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_plugins.errors import InvalidMaskError

Rle = dict[str, Any]

# A run-length encoding of a few bytes can claim any size: beyond this many pixels it is refused.
MOST_PIXELS = 1 << 32


def encode(mask: NDArray[Any]) -> Rle:
    """Encode a mask as compressed COCO RLE.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool or integer
        Everything that is not 0 is foreground.

    Returns
    -------
    dict
        ``size`` is [H, W], ``counts`` a string.

    Raises
    ------
    InvalidMaskError
        If the mask has not two axes.

    Examples
    --------
    >>> encode(np.array([[0, 1], [1, 1]], dtype=bool))
    {'size': [2, 2], 'counts': '13'}
    """
    from pycocotools import mask as coco

    array = np.asarray(mask)
    if array.ndim != 2:
        raise InvalidMaskError(f"a mask has two axes (H, W), got the shape {array.shape}")
    encoded = coco.encode(np.asfortranarray(array != 0, dtype=np.uint8))
    return {"size": list(array.shape), "counts": encoded["counts"].decode("ascii")}


def encode_runs(runs: Sequence[int] | NDArray[np.integer], size: tuple[int, int]) -> Rle:
    """Compress run lengths.

    Parameters
    ----------
    runs : sequence of int
        Lengths of the runs, column by column, background first (0 if the first pixel is
        foreground).
    size : tuple of int
        (H, W).

    Returns
    -------
    dict
        Compressed COCO RLE.
    """
    from pycocotools import mask as coco

    height, width = int(size[0]), int(size[1])
    plain = {"size": [height, width], "counts": np.asarray(runs, dtype=np.int64).tolist()}
    encoded = coco.frPyObjects(plain, height, width)
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}


def decode(rle: Rle) -> NDArray[np.bool_]:
    """Decode a compressed or uncompressed COCO RLE.

    Parameters
    ----------
    rle : dict
        ``size`` is [H, W], ``counts`` a string, bytes or a list of run lengths.

    Returns
    -------
    ndarray of shape (H, W), bool

    Raises
    ------
    InvalidMaskError
        If the encoding is malformed or its runs do not add up to its size.

    Examples
    --------
    >>> decode({"size": [2, 2], "counts": [1, 3]}).tolist()
    [[False, True], [True, True]]
    """
    height, width = _size(rle)
    runs = to_runs(rle)
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def to_runs(rle: Rle) -> NDArray[np.int64]:
    """Give the run lengths of a COCO RLE, checked against its size.

    Parameters
    ----------
    rle : dict
        ``size`` is [H, W], ``counts`` a string, bytes or a list of run lengths.

    Returns
    -------
    ndarray of shape (n,), int64
        Column by column; background and foreground in turn, background first.

    Raises
    ------
    InvalidMaskError
        See `decode`.
    """
    height, width = _size(rle)
    counts = rle.get("counts")
    if isinstance(counts, str):
        counts = counts.encode("ascii", errors="replace")
    if isinstance(counts, bytes):
        runs = _decompress(counts)
    else:
        try:
            runs = np.asarray(counts, dtype=np.int64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidMaskError("the counts of an RLE must be a string or integers") from error
    if runs.ndim != 1 or (runs < 0).any() or int(runs.sum()) != height * width:
        raise InvalidMaskError(
            f"the runs of an RLE must be 0 or more and add up to its size {height} x {width}"
        )
    return runs


def _size(rle: Rle) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in rle["size"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidMaskError("an RLE needs a size of two integers, [H, W]") from error
    if height < 0 or width < 0 or height * width > MOST_PIXELS:
        raise InvalidMaskError(f"an RLE of {height} x {width} pixels is refused")
    return height, width


def _decompress(counts: bytes) -> NDArray[np.int64]:
    """Undo COCO's compression: groups of 6 bits, runs as differences from the last but one.

    pycocotools does not check what it reads, so foreign strings are read here.
    """
    runs: list[int] = []
    position = 0
    while position < len(counts):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(counts) or shift > 60:
                raise InvalidMaskError("the counts of an RLE end in the middle of a number")
            group = counts[position] - 48
            if not 0 <= group < 64:
                raise InvalidMaskError(
                    f"the counts of an RLE hold {counts[position : position + 1]!r}"
                )
            value |= (group & 31) << shift
            more = bool(group & 32)
            position += 1
            shift += 5
            if not more and group & 16:
                value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        runs.append(value)
    return np.array(runs, dtype=np.int64)


def to_uncompressed(rle: Rle) -> Rle:
    """Give the same RLE with its run lengths as a list.

    Parameters
    ----------
    rle : dict
        Compressed or not; see `decode`.

    Returns
    -------
    dict
        ``size`` is [H, W], ``counts`` a list of int.

    Raises
    ------
    InvalidMaskError
        See `decode`.

    Examples
    --------
    >>> to_uncompressed({"size": [2, 2], "counts": "13"})
    {'size': [2, 2], 'counts': [1, 3]}
    """
    return {"size": list(_size(rle)), "counts": to_runs(rle).tolist()}


def from_uncompressed(rle: Rle) -> Rle:
    """Give the same RLE with its run lengths compressed to a string.

    Parameters
    ----------
    rle : dict
        Compressed or not; see `decode`.

    Returns
    -------
    dict
        ``size`` is [H, W], ``counts`` a string.

    Raises
    ------
    InvalidMaskError
        See `decode`.
    """
    return encode_runs(to_runs(rle), _size(rle))


def area(rle: Rle) -> int:
    """Count the foreground's pixels.

    Parameters
    ----------
    rle : dict
        Compressed or not; see `decode`.

    Returns
    -------
    int

    Raises
    ------
    InvalidMaskError
        See `decode`.

    Examples
    --------
    >>> area({"size": [2, 2], "counts": "13"})
    3
    """
    return int(to_runs(rle)[1::2].sum())


def iou(first: Sequence[Rle], second: Sequence[Rle]) -> NDArray[np.float64]:
    """Measure the IoU of each mask in one list with each in another.

    Parameters
    ----------
    first, second : sequence of dict
        N and M encodings of masks of one size.

    Returns
    -------
    ndarray of shape (N, M), float64
        0 for two empty masks.
    """
    from pycocotools import mask as coco

    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    packed = [[from_uncompressed(rle) for rle in rles] for rles in (first, second)]
    return np.asarray(coco.iou(*packed, [0] * len(second)), dtype=np.float64)


def as_mask(mask: ArrayLike | Rle) -> NDArray[np.bool_]:
    """Bring an array or an RLE into the form of a boolean mask.

    Parameters
    ----------
    mask : array-like of shape (H, W), or dict
        Everything that is not 0 is foreground; or an RLE, see `decode`.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    return decode(mask) if isinstance(mask, dict) else np.asarray(mask) != 0
