"""How well the outline of a mask fits: the F-score of its boundary pixels."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Boundary pixels match within this share of the image's diagonal: the default (maxDist) of the
# BSDS benchmark, which goes with Martin, Fowlkes, Malik 2004, "Learning to detect natural image
# boundaries".
TOLERANCE = 0.0075


def boundary_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the pixels of a mask that have a pixel outside it above, below, left or right.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        The edge of the image is no boundary: nobody can tell whether the object ends there.

    Returns
    -------
    ndarray of shape (H, W), bool
        The boundary, one pixel thick.

    Examples
    --------
    >>> mask = np.zeros((4, 5), dtype=bool)
    >>> mask[:3, 1:4] = True
    >>> boundary_of(mask).astype(int).tolist()
    [[0, 1, 0, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    """
    inside = mask.copy()
    inside[1:] &= mask[:-1]
    inside[:-1] &= mask[1:]
    inside[:, 1:] &= mask[:, :-1]
    inside[:, :-1] &= mask[:, 1:]
    return mask & ~inside


def boundary_f(
    predicted: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    ignore: NDArray[np.bool_] | None = None,
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """Measure how well two masks' boundaries fit.

    Parameters
    ----------
    predicted, truth : ndarray of shape (H, W), bool
        The masks.
    ignore : ndarray of shape (H, W), bool, optional
        Pixels that count neither way are cut out of both masks first.
    tolerance : float
        Boundary pixels match if their centres are this far apart or less, as a share of the image's
        diagonal; at least one pixel.

    Returns
    -------
    float
        Harmonic mean of the shares of either boundary that match the other, 0 to 1; 1 if neither
        mask has a boundary, 0 if one has none.

    Examples
    --------
    >>> truth = np.zeros((9, 9), dtype=bool)
    >>> truth[2:6, 2:6] = True
    >>> boundary_f(np.roll(truth, 1, axis=0), truth), boundary_f(truth & False, truth)
    (1.0, 0.0)
    """
    from scipy.spatial import KDTree

    if ignore is not None:
        predicted, truth = predicted & ~ignore, truth & ~ignore
    ours, theirs = np.argwhere(boundary_of(predicted)), np.argwhere(boundary_of(truth))
    if not len(ours) or not len(theirs):
        return float(len(ours) == len(theirs))
    reach = max(1.0, tolerance * math.hypot(*truth.shape))
    # The bound itself is excluded, and distances are rounded: a little more.
    bound = reach * (1 + 1e-9)
    precision = np.isfinite(KDTree(theirs).query(ours, distance_upper_bound=bound)[0]).mean()
    recall = np.isfinite(KDTree(ours).query(theirs, distance_upper_bound=bound)[0]).mean()
    return float(2 * precision * recall / max(precision + recall, 1e-12))
