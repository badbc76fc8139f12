"""Object proposals (paper, §7.3 and §D.3): how many objects are among 1000 automatic masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam_plugins.automatic import AutomaticSettings, generate
from sam_plugins.evaluation.average_precision import (
    AREAS,
    FoundObject,
    TrueObject,
    accuracy_of,
)
from sam_plugins.evaluation.coco_files import FREQUENCIES
from sam_plugins.evaluation.rendering import Table

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor

POINTS_PER_SIDE, NMS_THRESHOLD, MOST = 64, 0.9, 1000

COLUMNS = (*AREAS, *FREQUENCIES.values())
# Table 4 of the paper, on LVIS v1, in the order of `COLUMNS`.
PUBLISHED = {
    "ViTDet-H (paper)": (0.630, 0.517, 0.808, 0.870, 0.631, 0.633, 0.583),
    "SAM ViT-H (paper)": (0.593, 0.455, 0.816, 0.869, 0.591, 0.639, 0.658),
}


def proposals_of(
    predictor: Predictor,
    image: NDArray[np.uint8],
    number: int,
    *,
    points_per_side: int = POINTS_PER_SIDE,
    most: int = MOST,
) -> list[FoundObject]:
    """Propose objects of one image.

    Parameters
    ----------
    predictor : Predictor
        The model.
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    number : int
        The image's id.
    points_per_side : int
        Of the grid.
    most : int
        Masks, at most: those with the highest mean of predicted IoU and stability.

    Returns
    -------
    list of FoundObject
        All of category 0, the surest first. None is left out by its scores alone.
    """
    settings = AutomaticSettings(
        points_per_side=points_per_side,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=NMS_THRESHOLD,
    )
    found = [
        FoundObject(
            number, 0, each.segmentation, float(each.predicted_iou + each.stability_score) / 2
        )
        for each in generate(predictor, image, settings=settings)
    ]
    return sorted(found, key=lambda each: -each.score)[:most]


def recalls_of(
    truths: Sequence[TrueObject],
    found: Sequence[FoundObject],
    *,
    frequency: Mapping[int, str] | None = None,
    most: int = MOST,
) -> dict[str, float | None]:
    """Measure recall, whatever the category: mean over IoU thresholds .50 to .95.

    Parameters
    ----------
    truths : sequence of TrueObject
        With their categories.
    found : sequence of FoundObject
        With category 0.
    frequency : mapping of int to str, optional
        By category: ``"f"``, ``"c"`` or ``"r"``.
    most : int
        Masks an image, at most.

    Returns
    -------
    dict of str to float or None
        By `COLUMNS`; None where there is no such object. Objects of other frequencies count neither
        way. That not all objects of LVIS are labelled does not matter: recall knows no false ones.
    """
    merged = [replace(each, category=0) for each in truths]
    recalls: dict[str, float | None] = {}
    for name, area in AREAS.items():
        measured = accuracy_of(merged, found, area=area, most=most).get(0)
        recalls[name] = None if measured is None else measured.ar
    for key, name in FREQUENCIES.items():
        rest = [
            replace(each, category=0, ignore=(frequency or {}).get(each.category) != key)
            for each in truths
        ]
        measured = accuracy_of(rest, found, most=most).get(0)
        recalls[name] = None if measured is None else measured.ar
    return recalls


def proposal_table(rows: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Put recalls beside the paper's.

    Parameters
    ----------
    rows : mapping of str to mapping of str to float or None
        By set: from `recalls_of`.

    Returns
    -------
    Table
    """
    ours = [(name, *(values[column] for column in COLUMNS)) for name, values in rows.items()]
    theirs = [(name, *values) for name, values in PUBLISHED.items()]
    note = "Mean recall of masks over IoU .50 to .95, whatever the category. The paper: on LVIS v1."
    return Table("Object proposals: AR@1000", ("set", *COLUMNS), (*ours, *theirs), note)
