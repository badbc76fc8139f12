"""Masks of a detector's boxes, beside those of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sam_plugins.automatic import AutomaticSettings
from sam_plugins.masks import rle
from sam_plugins.masks.records import MaskRecord
from sam_plugins.masks.stability import stability_score
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor


def records_of_boxes(
    predictor: Predictor, image: Any, boxes: ArrayLike, settings: AutomaticSettings
) -> list[MaskRecord]:
    """Segment a detector's boxes, and keep the masks that the model trusts.

    Parameters
    ----------
    predictor : Predictor
        The model.
    image : array-like or Planes
        See `Predictor.embed`.
    boxes : array-like of shape (N, 4)
        xyxy in pixels; what lies outside of the image is cut off.
    settings : AutomaticSettings
        Its thresholds.

    Returns
    -------
    list of MaskRecord
        In the order of the boxes; point_coords are the boxes' centres.

    Raises
    ------
    ValueError
        If the boxes have another shape.
    """
    given = np.asarray(boxes, dtype=np.float64)
    if not given.size:
        return []
    if given.ndim != 2 or given.shape[1] != 4:
        raise ValueError(f"a detector gives boxes of shape (N, 4), got {given.shape}")
    embedding = predictor.embed(image)
    height, width = embedding.frame.image_size
    cut = given.clip(0, [width, height, width, height])
    cut = cut[(cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1])]
    records = []
    for box in cut:
        prediction = predictor.predict(embedding, Prompt(boxes=box[None]), multimask=False)
        score = float(prediction.predicted_iou[0])
        stable = stability_score(
            prediction.low_resolution_logits[0],
            threshold=prediction.threshold,
            offset=settings.stability_score_offset,
        )
        mask = prediction.best_mask
        trusted = score > settings.pred_iou_thresh
        if not (mask.any() and trusted and stable >= settings.stability_score_thresh):
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        records.append(
            MaskRecord(
                segmentation=rle.encode(mask),
                area=int(mask.sum()),
                bbox=(x, y, int(columns[-1]) - x, int(rows[-1]) - y),
                predicted_iou=score,
                point_coords=((float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2),),
                stability_score=float(stable),
                crop_box=(0, 0, width, height),
            )
        )
    return records


def without_duplicates(records: Sequence[MaskRecord], most: float) -> list[MaskRecord]:
    """Drop masks that overlap one before them too much.

    Parameters
    ----------
    records : sequence of MaskRecord
        Of one image, the preferred ones first.
    most : float
        IoU above which the later one is dropped.

    Returns
    -------
    list of MaskRecord
    """
    overlaps = rle.iou(*[[each.segmentation for each in records]] * 2)
    kept: list[int] = []
    for index in range(len(records)):
        if not any(overlaps[index, other] > most for other in kept):
            kept.append(index)
    return [records[index] for index in kept]
