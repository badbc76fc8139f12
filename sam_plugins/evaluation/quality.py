"""Mask quality (paper, §5): automatic masks beside the same masks corrected by people."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sam_plugins.datasets.coco import read_coco
from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.rendering import Table

LEVELS = (0.90, 0.75)
# Of about 50 000 masks of 500 images, in the order of `LEVELS`.
PUBLISHED = (0.94, 0.97)


def pair_ious(
    automatic: str | os.PathLike[str], corrected: str | os.PathLike[str]
) -> tuple[NDArray[np.float64], int]:
    """Compare two COCO files mask by mask.

    Parameters
    ----------
    automatic, corrected : path-like
        COCO files; masks with the same annotation id are a pair.

    Returns
    -------
    ious : ndarray of shape (N,), float64
        Of each pair; 1 for two empty masks.
    unpaired : int
        Masks of either file without a partner.

    Raises
    ------
    SamPluginsError
        If a file cannot be read, or the masks of a pair differ in size. Names it.
    """
    first, second = _by_id(automatic), _by_id(corrected)
    shared = sorted(first.keys() & second.keys())
    for key in shared:
        if first[key]["size"] != second[key]["size"]:
            sizes = f"{first[key]['size']} and {second[key]['size']}"
            raise SamPluginsError(f"the masks of annotation {key} are of two sizes: {sizes}")
    ious = np.array([_iou(first[key], second[key]) for key in shared], dtype=np.float64)
    return ious, len(first.keys() ^ second.keys())


def _by_id(path: str | os.PathLike[str]) -> dict[int | str, dict[str, object]]:
    found: dict[int | str, dict[str, object]] = {}
    for image in read_coco(path):
        for each in image.objects:
            if each.id is None or each.id in found:
                raise SamPluginsError(f"{path}: masks need ids of their own, got {each.id}")
            found[each.id] = each.segmentation
    return found


def _iou(first: dict[str, object], second: dict[str, object]) -> float:
    from pycocotools import mask as coco

    if not coco.area(first) and not coco.area(second):
        return 1.0
    return float(coco.iou([first], [second], [0])[0, 0])


def shares_above(ious: Iterable[float]) -> tuple[float | None, ...]:
    """Which share of pairs is above each of `LEVELS`.

    Parameters
    ----------
    ious : iterable of float
        From `pair_ious`.

    Returns
    -------
    tuple of float or None
        None without a pair.

    Examples
    --------
    >>> shares_above([0.95, 0.8, 0.75, 0.1])
    (0.25, 0.5)
    """
    values = np.array(list(ious))
    return tuple(float((values > level).mean()) if len(values) else None for level in LEVELS)


def quality_table(ious: NDArray[np.float64], unpaired: int) -> Table:
    """Put the shares beside the paper's.

    Parameters
    ----------
    ious : ndarray of shape (N,), float64
        From `pair_ious`.
    unpaired : int
        Likewise.

    Returns
    -------
    Table
    """
    mean = float(ious.mean()) if len(ious) else None
    columns = ("masks", "pairs", "without partner", "mean IoU", *(f"IoU > {x:g}" for x in LEVELS))
    rows = (
        ("ours", len(ious), unpaired, mean, *shares_above(ious)),
        ("SA-1B (paper)", 50_000, None, None, *PUBLISHED),
    )
    return Table("Mask quality", columns, rows, "Automatic masks beside their corrections.")
