"""Average precision and recall of masks, with COCO's rules and LVIS's federated one.

After Lin et al. (ECCV 2014) and Gupta, Dollar, Girshick (CVPR 2019): IoU thresholds .50 to .95,
precision at 101 recalls, objects outside a range of areas count neither way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
# In pixels, both ends included, as COCO has them.
AREAS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


@dataclass(frozen=True)
class TrueObject:
    """An object that is to be found.

    Parameters
    ----------
    image, category : int
        Ids.
    rle : dict
        Compressed COCO RLE.
    area : float
        In pixels; it decides what is small.
    crowd : bool
        Stands for many objects: whatever is found in it counts neither way.
    ignore : bool
        Counts neither way.
    """

    image: int
    category: int
    rle: Any
    area: float
    crowd: bool = False
    ignore: bool = False


@dataclass(frozen=True)
class FoundObject:
    """A mask that was found.

    Parameters
    ----------
    image, category : int
        Ids.
    rle : dict
        Compressed COCO RLE.
    score : float
        Higher is surer.
    """

    image: int
    category: int
    rle: Any
    score: float


@dataclass(frozen=True)
class Federation:
    """What is known of each image where not everything is labelled (LVIS).

    Parameters
    ----------
    negative : mapping of int to frozenset of int
        By image: categories of which it is known that there is none.
    not_exhaustive : mapping of int to frozenset of int
        By image: categories of which only some objects are labelled.
    """

    negative: Mapping[int, frozenset[int]] = field(default_factory=dict)
    not_exhaustive: Mapping[int, frozenset[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Accuracy:
    """Of one category in one range of areas, means over IoU thresholds.

    Parameters
    ----------
    ap, ar : float
        Average precision, and recall at the most masks an image.
    """

    ap: float
    ar: float


@dataclass(frozen=True, eq=False)
class _Matches:
    scores: NDArray[np.float64]  # (D,)
    right: NDArray[np.bool_]  # (T, D)
    ignored: NDArray[np.bool_]  # (T, D)
    wanted: int


def accuracy_of(
    truths: Sequence[TrueObject],
    found: Sequence[FoundObject],
    *,
    area: tuple[float, float] = AREAS["all"],
    most: int = 100,
    federation: Federation | None = None,
) -> dict[int, Accuracy]:
    """Measure each category.

    Parameters
    ----------
    truths, found : sequence
        Of all images. Masks of one image must have one size.
    area : tuple of float
        Smallest and largest area of the objects that count, in pixels.
    most : int
        Masks an image and category, the surest ones; with a federation, masks an image.
    federation : Federation, optional
        LVIS's rule: masks of a category that is neither labelled nor negative in an image are left
        out; where it is not labelled exhaustively, masks without an object count neither way.

    Returns
    -------
    dict of int to Accuracy
        By category; only those with an object that counts.
    """
    wanted, offered = _grouped(truths, found, most, federation)
    by_category: dict[int, list[_Matches]] = defaultdict(list)
    for place in sorted(wanted.keys() | offered.keys()):
        image, category = place
        known = federation.not_exhaustive.get(image, frozenset()) if federation else frozenset()
        by_category[category].append(
            _matched(wanted[place], offered[place], area, lenient=category in known)
        )
    measured = {category: _accuracy(parts) for category, parts in by_category.items()}
    return {category: each for category, each in measured.items() if each is not None}


def mean_accuracy(
    accuracies: Mapping[int, Accuracy], categories: Sequence[int] | None = None
) -> tuple[float | None, float | None]:
    """Average categories.

    Parameters
    ----------
    accuracies : mapping of int to Accuracy
        From `accuracy_of`.
    categories : sequence of int, optional
        Which ones; by default all.

    Returns
    -------
    ap, ar : float or None
        None if there is no category.
    """
    chosen = [each for key, each in accuracies.items() if categories is None or key in categories]
    if not chosen:
        return None, None
    return float(np.mean([x.ap for x in chosen])), float(np.mean([x.ar for x in chosen]))


def _grouped(
    truths: Sequence[TrueObject],
    found: Sequence[FoundObject],
    most: int,
    federation: Federation | None,
) -> tuple[dict[tuple[int, int], list[TrueObject]], dict[tuple[int, int], list[FoundObject]]]:
    """Objects by image and category; those found the surest first, no more than allowed."""
    wanted: dict[tuple[int, int], list[TrueObject]] = defaultdict(list)
    offered: dict[tuple[int, int], list[FoundObject]] = defaultdict(list)
    for truth in truths:
        wanted[truth.image, truth.category].append(truth)
    taken: dict[Any, int] = defaultdict(int)
    for each in sorted(found, key=lambda one: -one.score):
        place = each.image, each.category
        # LVIS bounds the masks of an image, COCO those of each category in it.
        limited: Any = each.image if federation is not None else place
        taken[limited] += 1
        if taken[limited] > most:
            continue
        if (
            federation is None
            or place in wanted
            or each.category in federation.negative.get(each.image, frozenset())
        ):
            offered[place].append(each)
    return wanted, offered


def _matched(
    truths: Sequence[TrueObject],
    found: Sequence[FoundObject],
    area: tuple[float, float],
    *,
    lenient: bool,
) -> _Matches:
    """Pair masks with objects of one image and category, the surest mask first."""
    from pycocotools import mask as coco

    low, high = area

    def outside(size: float) -> bool:
        return size < low or size > high

    # Those that count come first.
    ordered = sorted(truths, key=lambda each: each.crowd or each.ignore or outside(each.area))
    skipped = np.array([x.crowd or x.ignore or outside(x.area) for x in ordered], dtype=bool)
    crowd = [int(each.crowd) for each in ordered]
    shape = len(IOUS), len(found)
    right, ignored = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    if found:
        beyond = np.array([outside(float(coco.area(each.rle))) for each in found])
        ignored[:] = beyond | lenient
    if found and ordered:
        ious = coco.iou([each.rle for each in found], [each.rle for each in ordered], crowd)
        for level, least in enumerate(IOUS):
            for index, partner in enumerate(_partners(ious, float(least), skipped, crowd)):
                if partner >= 0:
                    ignored[level, index] = skipped[partner]
                    right[level, index] = not skipped[partner]
    scores = np.array([each.score for each in found], dtype=np.float64)
    return _Matches(scores, right, ignored, int((~skipped).sum()))


def _partners(
    ious: NDArray[np.float64], least: float, skipped: NDArray[np.bool_], crowd: Sequence[int]
) -> list[int]:
    """The object of each mask, or -1: the best free one that counts, else one that does not."""
    free = np.ones(len(skipped), dtype=bool)
    found = []
    for row in ious:
        usable = free & (row >= min(least, 1 - 1e-10))
        counting = usable & ~skipped
        choice = counting if counting.any() else usable
        if not choice.any():
            found.append(-1)
            continue
        # Of equal ones the last, as COCO's own code.
        values = np.where(choice, row, -1.0)
        partner = len(values) - 1 - int(values[::-1].argmax())
        free[partner] = bool(crowd[partner])
        found.append(partner)
    return found


def _accuracy(parts: Sequence[_Matches]) -> Accuracy | None:
    wanted = sum(part.wanted for part in parts)
    if not wanted:
        return None
    order = np.argsort(-np.concatenate([part.scores for part in parts]), kind="mergesort")
    right = np.concatenate([part.right for part in parts], axis=1)[:, order]
    ignored = np.concatenate([part.ignored for part in parts], axis=1)[:, order]
    true = (right & ~ignored).cumsum(axis=1)
    false = (~right & ~ignored).cumsum(axis=1)
    precisions, recalls = [], []
    for hits, misses in zip(true, false, strict=True):
        recall = hits / wanted
        precision = hits / np.maximum(hits + misses, 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        places = np.searchsorted(recall, RECALLS, side="left")
        precisions.append(np.append(envelope, 0.0)[places].mean())
        recalls.append(recall[-1] if len(recall) else 0.0)
    return Accuracy(float(np.mean(precisions)), float(np.mean(recalls)))
