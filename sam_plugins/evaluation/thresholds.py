"""Which thresholds suit a model's automatic masks?

``python -m sam_plugins.evaluation.thresholds --data DIR --model lite``: for pairs of thresholds on
predicted IoU and stability, how many masks an image are kept, how many of them are an object
(precision) and how many objects are found (recall), at an IoU of one half.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_plugins.automatic import AutomaticSettings, propose, select
from sam_plugins.evaluation.sets import Sample, read_set
from sam_plugins.masks.records import MaskRecord
from sam_plugins.predictor import Predictor

PREDICTED_IOU = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
STABILITY = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9)
FOUND = 0.5

# Masks are compared at every third pixel along each axis: 9 times faster, and as good for an IoU
# that only has to be above or below one half.
STEP = 3


@dataclass(frozen=True)
class Kept:
    """What one pair of thresholds keeps, means over images.

    Parameters
    ----------
    pred_iou_thresh, stability_score_thresh : float
        The thresholds.
    masks : float
        Masks an image.
    precision : float
        Share of masks that are an object; 0 for an image without masks.
    recall : float
        Share of objects that are found.
    """

    pred_iou_thresh: float
    stability_score_thresh: float
    masks: float
    precision: float
    recall: float

    @property
    def f_score(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-12)


def iou_matrix(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure the IoU of each of some masks with each of others.

    Parameters
    ----------
    first : ndarray of shape (M, H, W), bool
        Some masks.
    second : ndarray of shape (N, H, W), bool
        The others.

    Returns
    -------
    ndarray of shape (M, N), float64
        0 for two empty masks.

    Examples
    --------
    >>> masks = np.array([[[True, True, False]], [[False, True, True]]])
    >>> iou_matrix(masks, masks[:1]).round(2).tolist()
    [[1.0], [0.33]]
    """
    a = first.reshape(len(first), -1).astype(np.float32)
    b = second.reshape(len(second), -1).astype(np.float32)
    both = a @ b.T  # (M, N)
    either = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - both
    return (both / np.maximum(either, 1)).astype(np.float64)


def matches(records: Sequence[MaskRecord], sample: Sample) -> tuple[int, float, float]:
    """Compare automatic masks with the objects of an image.

    Parameters
    ----------
    records : sequence of MaskRecord
        Of the sample's image.
    sample : Sample
        With all its objects.

    Returns
    -------
    count : int
        Number of masks.
    precision : float
        Share of masks that are an object; 0 without masks.
    recall : float
        Share of objects that are found. Masks are compared at every `STEP`-th pixel; an IoU of
        `FOUND` is a match.
    """
    if not records:
        return 0, 0.0, 0.0
    truth = np.stack([mask[::STEP, ::STEP] for mask in sample.masks])
    masks = np.stack([record.mask()[::STEP, ::STEP] for record in records])
    matched = iou_matrix(masks, truth) >= FOUND
    return len(records), float(matched.any(axis=1).mean()), float(matched.any(axis=0).mean())


def measure_image(
    predictor: Predictor, sample: Sample, *, points_per_side: int
) -> list[tuple[int, float, float]]:
    """Measure what each pair of thresholds keeps on one image.

    Parameters
    ----------
    predictor : Predictor
        With the model to measure.
    sample : Sample
        The image with all its objects.
    points_per_side : int
        The grid has this many points squared.

    Returns
    -------
    list of tuple
        What `matches` gives, for each pair of `PREDICTED_IOU` and `STABILITY`, the latter fastest.
    """
    every = AutomaticSettings(
        points_per_side=points_per_side, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )
    proposals = propose(predictor, sample.image, settings=every)
    rows = []
    for predicted, stability in product(PREDICTED_IOU, STABILITY):
        settings = replace(every, pred_iou_thresh=predicted, stability_score_thresh=stability)
        rows.append(matches(select(proposals, settings=settings), sample))
    return rows


def measure(
    predictor: Predictor, samples: Iterable[Sample], *, points_per_side: int = 16
) -> list[Kept]:
    """Measure what each pair of thresholds keeps, means over images.

    Parameters
    ----------
    predictor : Predictor
        With the model to measure.
    samples : iterable of Sample
        Images with all their objects.
    points_per_side : int
        The grid has this many points squared.

    Returns
    -------
    list of Kept
        One a pair of thresholds.

    Raises
    ------
    ValueError
        If there is no image.
    """
    rows = [measure_image(predictor, each, points_per_side=points_per_side) for each in samples]
    if not rows:
        raise ValueError("there is no image with an object that is large enough")
    means = np.mean(rows, axis=0).tolist()
    return [
        Kept(*pair, *mean)
        for pair, mean in zip(product(PREDICTED_IOU, STABILITY), means, strict=True)
    ]


def table_of(results: Sequence[Kept], *, first: int = 12) -> str:
    """Write the best results as a Markdown table.

    Parameters
    ----------
    results : sequence of Kept
        In any order.
    first : int
        How many of them to show, those of the highest F score.

    Returns
    -------
    str
        Several lines, the last one ended.
    """
    lines = [
        "| pred_iou | stability | masks | precision | recall | F |",
        "|---|---|---|---|---|---|",
    ]
    for each in sorted(results, key=lambda kept: -kept.f_score)[:first]:
        lines.append(
            f"| {each.pred_iou_thresh:.2f} | {each.stability_score_thresh:.2f} | "
            f"{each.masks:.1f} | {each.precision:.3f} | {each.recall:.3f} | {each.f_score:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, and write a table to the standard output.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of sets")
    parser.add_argument("--model", default="lite", help="a model's name or checkpoint")
    parser.add_argument("--images", type=int, default=4, help="images a set")
    parser.add_argument("--points-per-side", type=int, default=16)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args(argv)
    predictor = Predictor(arguments.model, device=arguments.device)
    samples = (
        sample
        for folder in arguments.data
        # Without a limit all objects of an image are there, which precision needs.
        for sample in islice(read_set(folder, limit=10**6), arguments.images)
    )
    results = measure(predictor, samples, points_per_side=arguments.points_per_side)
    sys.stdout.write(table_of(results))


if __name__ == "__main__":
    main()
