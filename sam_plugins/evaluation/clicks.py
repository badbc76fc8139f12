"""Where a careful person would click: the single-point protocol of the paper (§7.1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def centre_of(mask: NDArray[np.bool_]) -> tuple[tuple[float, float], float]:
    """Find the pixel of a mask that is farthest from its border.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Outside the image counts as outside the mask.

    Returns
    -------
    point : tuple of float
        Centre of the pixel, x then y, in pixels.
    depth : float
        Its distance to the nearest pixel outside, in pixels; 0 if the mask is empty.

    Examples
    --------
    >>> mask = np.zeros((9, 12), dtype=bool)
    >>> mask[2:7, 3:8] = True
    >>> centre_of(mask)
    ((5.5, 4.5), 3.0)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return (0.0, 0.0), 0.0
    top, left = rows[0], columns[0]
    cut = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    depth = ndimage.distance_transform_edt(cut)[1:-1, 1:-1]
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return (float(x + left) + 0.5, float(y + top) + 0.5), float(depth[y, x])


def next_click(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], ignore: NDArray[np.bool_]
) -> tuple[tuple[float, float], int]:
    """Find where a mask is most wrong: the pixel deepest inside an error.

    Parameters
    ----------
    predicted, truth, ignore : ndarray of shape (H, W), bool
        What was predicted, what is true, and what counts neither way.

    Returns
    -------
    point : tuple of float
        x then y, in pixels.
    label : int
        1 if the object is missed there, 0 if it is not there. A perfect mask is clicked at the
        centre of the truth.
    """
    missed, missed_depth = centre_of(truth & ~predicted & ~ignore)
    spilled, spilled_depth = centre_of(predicted & ~truth & ~ignore)
    if spilled_depth > missed_depth:
        return spilled, 0
    return (missed, 1) if missed_depth else (centre_of(truth)[0], 1)


def box_of(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Give the tight box around a mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Not empty.

    Returns
    -------
    tuple of float
        x0, y0, x1, y1 at the pixels' outer edges.

    Raises
    ------
    ValueError
        If the mask is empty.

    Examples
    --------
    >>> mask = np.zeros((9, 12), dtype=bool)
    >>> mask[2:7, 3:8] = True
    >>> box_of(mask)
    (3.0, 2.0, 8.0, 7.0)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("an empty mask has no box")
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


def iou(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None
) -> float:
    """Measure the intersection over union of two masks.

    Parameters
    ----------
    predicted, truth : ndarray of shape (H, W), bool
        The masks.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels that count neither way.

    Returns
    -------
    float
        From 0 to 1; 1 if both are empty.

    Examples
    --------
    >>> iou(np.array([[True, True, False]]), np.array([[False, True, True]]))
    0.3333333333333333
    """
    if ignore is not None:
        predicted, truth = predicted & ~ignore, truth & ~ignore
    either = np.count_nonzero(predicted | truth)
    return float(np.count_nonzero(predicted & truth) / either) if either else 1.0


def random_click(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """Choose any pixel of a mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Not empty.
    rng : numpy.random.Generator
        Chooses.

    Returns
    -------
    tuple of float
        Centre of the pixel, x then y, in pixels.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    pixels = np.flatnonzero(mask)
    if not len(pixels):
        raise ValueError("an empty mask has no pixel to click on")
    y, x = np.unravel_index(rng.choice(pixels), mask.shape)
    return float(x) + 0.5, float(y) + 0.5


def random_error(
    predicted: NDArray[np.bool_], truth: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[tuple[float, float], int]:
    """Choose any pixel where a mask is wrong.

    Parameters
    ----------
    predicted, truth : ndarray of shape (H, W), bool
        What was predicted, and what is true; the truth is not empty.
    rng : numpy.random.Generator
        Chooses.

    Returns
    -------
    point : tuple of float
        x then y, in pixels.
    label : int
        1 on the object, 0 beside it. A perfect mask is clicked anywhere on the truth.
    """
    wrong = predicted ^ truth
    point = random_click(wrong if wrong.any() else truth, rng)
    return point, int(truth[int(point[1]), int(point[0])])
