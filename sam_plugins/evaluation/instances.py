"""Instance segmentation (paper, §7.4): a detector's boxes become masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam_plugins.evaluation.average_precision import (
    AREAS,
    FoundObject,
    accuracy_of,
    mean_accuracy,
)
from sam_plugins.evaluation.coco_files import FREQUENCIES, Annotations, Detection
from sam_plugins.evaluation.rendering import Table
from sam_plugins.masks import rle
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor

# Detections an image: COCO counts 100 a category, LVIS 300 in all.
MOST_COCO, MOST_LVIS = 100, 300

COLUMNS = (*AREAS, *FREQUENCIES.values())
# Table 5 of the paper: AP, then of small, medium and large objects.
PUBLISHED = {
    "ViTDet-H, COCO (paper)": (0.510, 0.320, 0.543, 0.689),
    "SAM ViT-H, COCO (paper)": (0.465, 0.308, 0.510, 0.617),
    "ViTDet-H, LVIS v1 (paper)": (0.466, 0.350, 0.580, 0.663),
    "SAM ViT-H, LVIS v1 (paper)": (0.447, 0.325, 0.576, 0.655),
}


def masks_of_boxes(
    predictor: Predictor,
    image: NDArray[np.uint8],
    detections: Sequence[Detection],
    *,
    refine: bool = True,
) -> list[FoundObject]:
    """Turn boxes into masks.

    Parameters
    ----------
    predictor : Predictor
        The model.
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    detections : sequence of Detection
        Of this image. Boxes are cut at its border; those without an area inside give no mask.
    refine : bool
        Ask once more with the box and the most confident mask's logits, as the paper does.

    Returns
    -------
    list of FoundObject
        With the detector's scores.
    """
    height, width = image.shape[:2]
    kept, prompts = [], []
    for each in detections:
        x0, y0, x1, y1 = np.clip(each.box, 0, (width, height, width, height)).tolist()
        if x1 > x0 and y1 > y0:
            kept.append(each)
            prompts.append(Prompt(boxes=np.array([[x0, y0, x1, y1]])))
    if not kept:
        return []
    embedding = predictor.embed(image)
    answers = predictor.predict_batch(embedding, prompts, multimask=True)
    if refine:
        again = [old.refine(prompt) for old, prompt in zip(answers, prompts, strict=True)]
        answers = predictor.predict_batch(embedding, again, multimask=False)
    return [
        FoundObject(each.image, each.category, rle.encode(answer.best_mask), each.score)
        for each, answer in zip(kept, answers, strict=True)
    ]


def precision_of(annotations: Annotations, found: Sequence[FoundObject]) -> dict[str, float | None]:
    """Measure average precision.

    Parameters
    ----------
    annotations : Annotations
        A COCO file, or one of LVIS with its federated rule.
    found : sequence of FoundObject
        Masks.

    Returns
    -------
    dict of str to float or None
        By `COLUMNS`; None where there is no such object.
    """
    federation = annotations.federation
    most = MOST_COCO if federation is None else MOST_LVIS
    values: dict[str, float | None] = {}
    for name, area in AREAS.items():
        measured = accuracy_of(
            annotations.truths, found, area=area, most=most, federation=federation
        )
        values[name] = mean_accuracy(measured)[0]
        if name == "all":
            for key, title in FREQUENCIES.items():
                chosen = [x for x, other in annotations.frequency.items() if other == key]
                values[title] = mean_accuracy(measured, chosen)[0]
    return values


def instance_table(rows: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Put average precisions beside the paper's.

    Parameters
    ----------
    rows : mapping of str to mapping of str to float or None
        By what was measured: from `precision_of`.

    Returns
    -------
    Table
    """
    ours = [(name, *(values[column] for column in COLUMNS)) for name, values in rows.items()]
    theirs = [(name, *values, None, None, None) for name, values in PUBLISHED.items()]
    note = "Mask AP over IoU .50 to .95; masks of a detector's boxes, with its scores."
    return Table("Instance segmentation: AP", ("masks", *COLUMNS), (*ours, *theirs), note)
