"""Precision and recall of edges over thresholds, and the four figures made of them.

After the Berkeley benchmark (Martin et al., PAMI 2004; Arbelaez et al., PAMI 2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import thin

from sam_plugins.evaluation.edges.matching import MAX_DISTANCE, match_edges

# As in the benchmark: 1/100, 2/100 .. 99/100.
THRESHOLDS = 99

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class EdgeScores:
    """How good edge maps are.

    Parameters
    ----------
    ods : float
        Highest F-measure with one threshold for all images.
    ois : float
        F-measure with the best threshold for each image.
    ap : float
        Average precision.
    r50 : float
        Recall at a precision of one half.
    """

    ods: float
    ois: float
    ap: float
    r50: float


def count_matches(
    edges: NDArray[np.floating],
    truths: Sequence[NDArray[np.bool_]],
    *,
    thresholds: int = THRESHOLDS,
    max_distance: float = MAX_DISTANCE,
) -> Counts:
    """Compare an edge map with several people's edges.

    Parameters
    ----------
    edges : ndarray of shape (H, W), float
        How sure it is, 0 .. 1.
    truths : sequence of ndarray of shape (H, W), bool
        One a person.
    thresholds : int
        How many, evenly between 0 and 1.
    max_distance : float
        See `match_edges`.

    Returns
    -------
    ndarray of shape (thresholds, 4), int64
        For each threshold: people's edge pixels that were found, people's edge pixels, predicted
        pixels that at least one person has, predicted pixels.
    """
    counts = np.zeros((thresholds, 4), dtype=np.int64)
    total = sum(int(truth.sum()) for truth in truths)
    before = None
    for row, threshold in enumerate(np.arange(1, thresholds + 1) / (thresholds + 1)):
        above = edges >= threshold
        if before is not None and (above == before).all():
            counts[row] = counts[row - 1]
            continue
        before, binary = above, thin(above)
        right, found = np.zeros_like(binary), 0
        for truth in truths:
            ours, theirs = match_edges(binary, truth, max_distance=max_distance)
            right |= ours
            found += int(theirs.sum())
        counts[row] = found, total, int(right.sum()), int(binary.sum())
    return counts


def score(images: Sequence[Counts]) -> EdgeScores:
    """Sum the counts of all images up.

    Parameters
    ----------
    images : sequence of ndarray of shape (T, 4)
        From `count_matches`, with as many thresholds each.

    Returns
    -------
    EdgeScores
        Zeros if nothing was predicted, or there is nothing to find.

    Raises
    ------
    ValueError
        If there are no images.
    """
    if not len(images):
        raise ValueError("no images were compared")
    table = np.stack(images)  # (N, T, 4)
    over_images = table.sum(0)  # (T, 4)
    best = np.stack([each[_f_measure(each).argmax()] for each in table]).sum(0)
    recall, precision = rates(over_images)
    return EdgeScores(
        ods=float(_f_measure(over_images).max()),
        ois=float(_f_measure(best[None])[0]),
        ap=_average_precision(recall, precision),
        r50=_recall_at(recall, precision, 0.5),
    )


def rates(counts: Counts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision of rows of counts.

    Parameters
    ----------
    counts : ndarray of shape (T, 4)
        From `count_matches`, or a sum of such.

    Returns
    -------
    recall, precision : ndarray of shape (T,)
        0 where there is nothing.
    """
    found, wanted, right, predicted = counts.T
    return found / np.maximum(wanted, 1), right / np.maximum(predicted, 1)


def _f_measure(counts: Counts) -> NDArray[np.float64]:
    recall, precision = rates(counts)
    product, total = 2 * recall * precision, recall + precision
    return np.divide(product, total, out=np.zeros_like(total), where=total > 0)


def _curve(
    recall: NDArray[np.float64], precision: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve by rising recall, each recall once."""
    recall, kept = np.unique(recall, return_index=True)
    return recall, precision[kept]


def _average_precision(recall: NDArray[np.float64], precision: NDArray[np.float64]) -> float:
    """Mean precision at the recalls 0, 0.01 .. 1; 0 beyond the curve."""
    recall, precision = _curve(recall, precision)
    if len(recall) < 2:
        return 0.0
    wanted = np.linspace(0, 1, 101)
    return float(np.interp(wanted, recall, precision, left=0.0, right=0.0).sum() / 100)


def _recall_at(recall: NDArray[np.float64], precision: NDArray[np.float64], wanted: float) -> float:
    """The highest recall at which the curve's precision is ``wanted``."""
    recall, precision = _curve(recall, precision)
    enough = np.flatnonzero(precision >= wanted)
    if not len(enough):
        return 0.0
    last = enough[-1]
    if last + 1 == len(recall):
        return float(recall[last])
    step = (precision[last] - wanted) / (precision[last] - precision[last + 1])
    return float(recall[last] + step * (recall[last + 1] - recall[last]))
