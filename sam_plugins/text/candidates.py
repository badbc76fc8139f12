"""Candidate masks for text prompts: what a grid of points finds, and what stands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam_plugins.embedding import ImageEmbedding
from sam_plugins.masks import rle as rle_codec
from sam_plugins.masks.records import MaskRecord
from sam_plugins.prediction import Prediction
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor

# Points along each side of the grid: half of automatic mode's, whose small finds add little here.
POINTS_PER_SIDE = 16
# Regions that stand out are looked for at this side, in pixels, and are this large at least.
SEEN_AT = 256
LEAST_REGION = 24
MOST_REGIONS = 64
# A region stands out whose pixels differ by this share of Otsu's threshold from the background.
CONTRAST, LEAST_CONTRAST = 0.35, 18
# Of two candidates that agree more, one is dropped.
MOST_OVERLAP = 0.65


def candidates_of(
    predictor: Predictor, rgb: NDArray[np.uint8], embedding: ImageEmbedding
) -> list[MaskRecord]:
    """Find candidate masks.

    Parameters
    ----------
    predictor : Predictor
        The model.
    rgb : ndarray of shape (H, W, 3), uint8
        The image.
    embedding : ImageEmbedding
        Of the image.

    Returns
    -------
    list of MaskRecord
        No two agree by more than `MOST_OVERLAP`; masks of boxes about what stands out first.
    """
    from sam_plugins.automatic import AutomaticSettings, generate

    settings = replace(
        AutomaticSettings.for_model(predictor.model), points_per_side=POINTS_PER_SIDE
    )
    boxed = masks_of_boxes(predictor, embedding, striking_boxes(rgb))
    return distinct([*boxed, *generate(predictor, embedding, settings=settings)])


def striking_boxes(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Find boxes about connected regions that differ from the image's median colour.

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3), uint8
        The image.

    Returns
    -------
    ndarray of shape (M, 4), float32
        xyxy, in pixels, the largest regions first; none in an image without contrast.
    """
    from PIL import Image
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    height, width = rgb.shape[:2]
    scale = min(1.0, SEEN_AT / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BOX), dtype=np.float32)
    smooth = ndimage.gaussian_filter(small, (1, 1, 0))
    apart = np.abs(smooth - np.median(smooth, axis=(0, 1))).max(axis=-1)
    if apart.max() <= LEAST_CONTRAST:
        return np.empty((0, 4), dtype=np.float32)
    labels, count = ndimage.label(apart > max(LEAST_CONTRAST, CONTRAST * threshold_otsu(apart)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    boxes = []
    for index in np.argsort(-areas)[:MOST_REGIONS]:
        rows, columns = ndimage.find_objects(labels)[index]
        if areas[index] >= LEAST_REGION and areas[index] < 0.6 * labels.size:
            boxes.append([columns.start, rows.start, columns.stop, rows.stop])
    factors = np.array([width / size[0], height / size[1]] * 2)
    return (np.array(boxes, dtype=np.float64).reshape(-1, 4) * factors).astype(np.float32)


def masks_of_boxes(
    predictor: Predictor, embedding: ImageEmbedding, boxes: NDArray[np.float32]
) -> list[MaskRecord]:
    """Segment the object in each box.

    Parameters
    ----------
    predictor : Predictor
        The model.
    embedding : ImageEmbedding
        Of the image.
    boxes : ndarray of shape (M, 4), float32
        xyxy, in pixels of the image.

    Returns
    -------
    list of MaskRecord
        In order, without those that came out empty.

    Raises
    ------
    InvalidPromptError
        If a box is malformed or lies outside the image.
    """
    prompts = [Prompt(boxes=box) for box in boxes]
    answers = predictor.predict_batch(embedding, prompts, multimask=False)
    records = [
        record_of(answer, (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2))
        for box, answer in zip(boxes, answers, strict=True)
    ]
    return [each for each in records if each is not None]


def record_of(answer: Prediction, point: tuple[float, float]) -> MaskRecord | None:
    """Turn the best mask of a prediction into a record.

    Parameters
    ----------
    answer : Prediction
        Of any prompt.
    point : tuple of float
        Where the prompt was: x then y, in pixels.

    Returns
    -------
    MaskRecord or None
        None if the mask is empty.
    """
    from sam_plugins.masks.streaming import summarize

    best = slice(answer.best, answer.best + 1)
    told = summarize(answer.low_resolution_logits[best], answer.frame, threshold=answer.threshold)
    if not told.areas[0]:
        return None
    x0, y0, x1, y1 = (int(side) for side in told.boxes[0])
    height, width = answer.frame.image_size
    return MaskRecord(
        segmentation=told.rles[0],
        area=int(told.areas[0]),
        bbox=(x0, y0, x1 - x0, y1 - y0),
        predicted_iou=float(answer.predicted_iou[answer.best]),
        point_coords=(point,),
        stability_score=float(told.stability[0]),
        crop_box=(0, 0, width, height),
    )


def distinct(
    records: Sequence[MaskRecord], *, most_overlap: float = MOST_OVERLAP
) -> list[MaskRecord]:
    """Drop records that agree with an earlier one.

    Parameters
    ----------
    records : sequence of MaskRecord
        The better ones first.
    most_overlap : float
        Of two masks with a higher intersection over union, the later one is dropped.

    Returns
    -------
    list of MaskRecord
        In the same order.
    """
    if not records:
        return []
    overlap = rle_codec.iou(
        [each.segmentation for each in records], [each.segmentation for each in records]
    )
    kept: list[int] = []
    for index in range(len(records)):
        if all(overlap[index, other] <= most_overlap for other in kept):
            kept.append(index)
    return [records[index] for index in kept]
