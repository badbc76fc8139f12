"""Which edge pixels of two maps mean the same edge: one to one, within a distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sam_plugins.evaluation.edges._matching_kernels import largest_matching, neighbours

# Fraction of the image's diagonal (Martin et al., PAMI 2004; the tolerance of BSDS).
MAX_DISTANCE = 0.0075

Edges = NDArray[np.bool_]


def match_edges(
    predicted: Edges, truth: Edges, *, max_distance: float = MAX_DISTANCE
) -> tuple[Edges, Edges]:
    """Pair the edge pixels of two maps.

    Parameters
    ----------
    predicted, truth : ndarray of shape (H, W), bool
        Thin edges.
    max_distance : float
        Between two pixels that are paired, as a fraction of the image's diagonal.

    Returns
    -------
    matched_predicted, matched_truth : ndarray of shape (H, W), bool
        As many pixels in each: no pixel is paired twice, and no other pairing has more pairs.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    The benchmark's own matcher minimises distances as well, at a price for unpaired pixels that no
    distance reaches: it pairs as many.

    Examples
    --------
    >>> one, other = np.zeros((2, 100, 100), dtype=bool)
    >>> one[10, 10:20] = other[11, 12:18] = True
    >>> [int(each.sum()) for each in match_edges(one, other)]
    [6, 6]
    """
    if predicted.shape != truth.shape:
        raise ValueError(f"maps of one image are of one shape: {predicted.shape}, {truth.shape}")
    matched = np.zeros_like(predicted), np.zeros_like(truth)
    radius = max_distance * float(np.hypot(*predicted.shape))
    # From the side with fewer pixels, of which fewer stay unpaired.
    swapped = int(np.count_nonzero(truth) < np.count_nonzero(predicted))
    few, many = (truth, predicted) if swapped else (predicted, truth)
    ours, theirs = np.argwhere(few), np.argwhere(many)
    partner = largest_matching(*_near(ours, many, radius), len(theirs))
    paired = partner >= 0  # of each of ours, or -1
    matched[swapped][tuple(ours[paired].T)] = True
    matched[1 - swapped][tuple(theirs[partner[paired]].T)] = True
    return matched


def _near(
    ours: NDArray[np.int64], other: Edges, radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Which edge pixels of the other map are near each of ours, as `neighbours` gives them."""
    reach = int(radius)
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    far = np.hypot(dy, dx)
    order = np.argsort(far, kind="stable")[: np.count_nonzero(far <= radius)]
    height, width = other.shape
    numbers = np.full((height + 2 * reach, width + 2 * reach), -1, dtype=np.int32)
    inner = numbers[reach : reach + height, reach : reach + width]
    inner[other] = np.arange(np.count_nonzero(other))
    places = (ours[:, 0] + reach) * numbers.shape[1] + ours[:, 1] + reach
    return neighbours(places, numbers.ravel(), dy[order] * numbers.shape[1] + dx[order])
