"""Encoded masks by the window around them: an object costs its own size, not the image's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.masks import rle as rle_codec


def decode_window(rle: rle_codec.Rle) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Decode the part of a mask that has foreground.

    Parameters
    ----------
    rle : dict
        COCO RLE, compressed or not.

    Returns
    -------
    window : ndarray of shape (h, w), bool
        The mask within its box; of shape (0, 0) for an empty one.
    corner : tuple of int
        x and y of the window's first pixel in the image.

    Raises
    ------
    InvalidMaskError
        See `sam_plugins.masks.rle.decode`.

    Examples
    --------
    >>> decode_window({"size": [3, 3], "counts": [4, 1, 4]})
    (array([[ True]]), (1, 1))
    """
    height = int(rle["size"][0])
    ends = np.cumsum(rle_codec.to_runs(rle))
    # COCO's runs go column by column, so that a position is column * height + row.
    starts, stops = ends[: len(ends) - 1 : 2], ends[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not len(starts):
        return np.zeros((0, 0), dtype=bool), (0, 0)
    left, right = int(starts[0]) // height, (int(stops[-1]) - 1) // height
    flat = np.zeros((right - left + 1) * height, dtype=bool)
    for start, stop in zip(starts - left * height, stops - left * height, strict=True):
        flat[start:stop] = True
    columns = flat.reshape(-1, height).T
    rows = np.flatnonzero(columns.any(axis=1))
    top = int(rows[0])
    return np.ascontiguousarray(columns[top : rows[-1] + 1]), (left, top)


def encode_window(
    window: NDArray[Any], corner: tuple[int, int], size: tuple[int, int]
) -> rle_codec.Rle:
    """Encode a mask of which only a window has foreground.

    Parameters
    ----------
    window : ndarray of shape (h, w)
        Everything that is not 0 is foreground.
    corner : tuple of int
        x and y of the window's first pixel in the image, in which the window lies.
    size : tuple of int
        (H, W) of the image, in pixels.

    Returns
    -------
    dict
        Compressed COCO RLE.

    Examples
    --------
    >>> encode_window(np.ones((1, 1)), (1, 1), (3, 3))
    {'size': [3, 3], 'counts': '414'}
    """
    left, top = corner
    height, width = size
    padded = np.zeros((window.shape[1], window.shape[0] + 2), dtype=np.int8)  # (w, h + 2)
    padded[:, 1:-1] = np.asarray(window).T != 0
    columns, rows = np.nonzero(np.diff(padded, axis=1))
    borders = (columns + left) * height + rows + top
    # Where a column ends with foreground and the next begins with it, one run goes on.
    goes_on = np.flatnonzero(borders[1:] == borders[:-1])
    borders = np.delete(borders, np.concatenate([goes_on, goes_on + 1]))
    runs = np.diff(borders, prepend=0, append=height * width)
    return rle_codec.encode_runs(runs if runs[-1] else runs[:-1], size)
