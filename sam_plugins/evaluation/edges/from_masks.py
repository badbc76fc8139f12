"""Edges from a model that was never trained on edges (paper, §D.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sam_plugins.evaluation.edges.thinning import suppress_non_maxima
from sam_plugins.masks.boxes import mask_to_box, nms
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.prediction import Prediction
    from sam_plugins.predictor import Predictor

POINTS_PER_SIDE = 16
NMS_THRESHOLD = 0.7


def edge_map(
    predictor: Predictor, image: NDArray[np.uint8], *, points_per_side: int = POINTS_PER_SIDE
) -> NDArray[np.float64]:
    """Find the edges of an image by the outlines of everything in it.

    Parameters
    ----------
    predictor : Predictor
        The model.
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    points_per_side : int
        Of the grid; three masks a point.

    Returns
    -------
    ndarray of shape (H, W), float64
        0 .. 1, thin.

    Notes
    -----
    Masks whose boxes agree are removed, none is by its scores; each mask's probabilities are
    filtered by Sobel, kept at the outer boundary of the mask; the highest value counts.
    """
    embedding = predictor.embed(image)
    height, width = image.shape[:2]
    steps = (np.arange(points_per_side) + 0.5) / points_per_side
    prompts = [Prompt(points=np.array([[x * width, y * height]])) for y in steps for x in steps]
    found = predictor.predict_batch(embedding, prompts, multimask=True)
    edges = np.zeros((height, width))
    for prediction, index in _without_doubles(found):
        probability = _probability(prediction, index)
        strength = np.hypot(ndimage.sobel(probability, 0), ndimage.sobel(probability, 1))
        np.maximum(edges, np.where(_outer_boundary(probability > 0.5), strength, 0), out=edges)
    span = np.ptp(edges)
    return suppress_non_maxima((edges - edges.min()) / (span if span > 0 else 1.0))


def _without_doubles(found: list[Prediction]) -> list[tuple[Prediction, int]]:
    """The masks that are left after non-maximum suppression by their boxes."""
    candidates, boxes, scores = [], [], []
    for prediction in found:
        for index, score in enumerate(prediction.predicted_iou):
            mask = prediction.mask(index)
            if mask.any():
                candidates.append((prediction, index))
                boxes.append(mask_to_box(mask))
                scores.append(score)
    if not candidates:
        return []
    kept = nms(np.array(boxes, dtype=np.float64), np.array(scores), NMS_THRESHOLD)
    return [candidates[index] for index in kept]


def _probability(prediction: Prediction, index: int) -> NDArray[np.float64]:
    """A mask before its threshold, at the image's size: (H, W), 0 .. 1."""
    import torch

    logits = torch.from_numpy(prediction.low_resolution_logits[index][None])  # (1, h, w)
    upsampled = prediction.frame.upsample(logits)[0] - prediction.threshold
    return upsampled.sigmoid().double().numpy()


def _outer_boundary(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels on both sides of a mask's outline, without the outlines of its holes."""
    filled = ndimage.binary_fill_holes(mask)
    return ndimage.binary_dilation(filled) & ~ndimage.binary_erosion(filled, border_value=1)
