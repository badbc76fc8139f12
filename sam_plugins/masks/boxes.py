"""Boxes around masks and among each other. Inside the project boxes are x0, y0, x1, y1.

A mask's box is inclusive, as in the reference: x1 and y1 are the last column and row with
foreground. At the border to COCO files boxes are x, y, width, height.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Box = tuple[int, int, int, int]

# A box this near to an edge touches it, in pixels (segment-anything's automatic masks).
EDGE_TOLERANCE = 20.0


def mask_to_box(mask: NDArray[Any]) -> NDArray[np.int64]:
    """Inclusive box of a mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool or integer
        Everything that is not 0 is foreground.

    Returns
    -------
    ndarray of shape (4,), int64
        x0, y0, x1, y1; zeros for an empty mask.

    Examples
    --------
    >>> mask_to_box(np.eye(3, dtype=bool)).tolist()
    [0, 0, 2, 2]
    """
    columns = np.flatnonzero(np.any(mask, axis=0))
    if not len(columns):
        return np.zeros(4, dtype=np.int64)
    rows = np.flatnonzero(np.any(mask, axis=1))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], dtype=np.int64)


def xyxy_to_xywh(boxes: ArrayLike) -> NDArray[Any]:
    """Turn corners into a corner and sides, as COCO has them.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        x0, y0, x1, y1.

    Returns
    -------
    ndarray of shape (..., 4)
        x, y, width, height: x1 - x0 and y1 - y0. A copy, in the same dtype.

    Examples
    --------
    >>> xyxy_to_xywh([1, 2, 4, 6]).tolist()
    [1, 2, 3, 4]
    """
    corners = np.array(boxes)
    corners[..., 2:] -= corners[..., :2]
    return corners


def xywh_to_xyxy(boxes: ArrayLike) -> NDArray[Any]:
    """Turn a corner and sides, as COCO has them, into corners.

    Parameters
    ----------
    boxes : array-like of shape (..., 4)
        x, y, width, height.

    Returns
    -------
    ndarray of shape (..., 4)
        x0, y0, x1, y1. A copy, in the same dtype.
    """
    corners = np.array(boxes)
    corners[..., 2:] += corners[..., :2]
    return corners


def box_iou(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """IoU of each box of one array with each of another.

    Parameters
    ----------
    first : array-like of shape (N, 4)
        xyxy.
    second : array-like of shape (M, 4)
        xyxy.

    Returns
    -------
    ndarray of shape (N, M), float64
        0 where both boxes are without area.

    Examples
    --------
    >>> box_iou([[0, 0, 2, 2]], [[1, 0, 3, 2]]).round(3).tolist()
    [[0.333]]
    """
    a = np.asarray(first, dtype=np.float64).reshape(-1, 4)
    b = np.asarray(second, dtype=np.float64).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])  # (N, M, 2)
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = (high - low).clip(min=0).prod(axis=-1)  # (N, M)
    areas = [(x[:, 2:] - x[:, :2]).prod(axis=1) for x in (a, b)]
    either = areas[0][:, None] + areas[1] - both
    return np.divide(both, either, out=np.zeros_like(both), where=either > 0)


def nms(boxes: ArrayLike, scores: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Non-maximum suppression: of boxes that overlap, keep the one with the highest score.

    Parameters
    ----------
    boxes : array-like of shape (N, 4)
        xyxy.
    scores : array-like of shape (N,)
        Higher is better; of equal ones the earlier is better.
    threshold : float
        A box is dropped if its IoU with a better kept one is above it.

    Returns
    -------
    ndarray of shape (kept,), int64
        Indices, best first.

    Examples
    --------
    >>> nms([[0, 0, 9, 9], [0, 0, 9, 8], [20, 20, 30, 30]], [0.5, 0.9, 0.7], 0.7).tolist()
    [1, 2]
    """
    # In float32, as torchvision computes it, so that the same boxes are kept.
    corners = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    corners = corners[order]
    x0, y0, x1, y1 = corners.T
    areas = (x1 - x0) * (y1 - y0)
    alive = np.ones(len(corners), dtype=bool)
    kept = []
    for index in range(len(corners)):
        if not alive[index]:
            continue
        kept.append(order[index])
        rest = slice(index + 1, None)
        width = np.minimum(x1[index], x1[rest]) - np.maximum(x0[index], x0[rest])
        height = np.minimum(y1[index], y1[rest]) - np.maximum(y0[index], y0[rest])
        both = width.clip(min=0) * height.clip(min=0)
        either = areas[index] + areas[rest] - both
        with np.errstate(divide="ignore", invalid="ignore"):
            alive[rest] &= ~(both / either > np.float32(threshold))
    return np.array(kept, dtype=np.int64)


def box_near_crop_edge(
    boxes: ArrayLike, crop_box: Box, image_box: Box, *, tolerance: float = EDGE_TOLERANCE
) -> NDArray[np.bool_]:
    """Whether boxes end at the edge of a crop that is not the edge of the image.

    Parameters
    ----------
    boxes : array-like of shape (N, 4)
        xyxy, in pixels of the image.
    crop_box, image_box : tuple of int
        x0, y0, x1, y1 of the crop and of the image.
    tolerance : float
        How near is at the edge, in pixels.

    Returns
    -------
    ndarray of shape (N,), bool
    """
    corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    near_crop = np.abs(corners - np.array(crop_box)) <= tolerance
    near_image = np.abs(corners - np.array(image_box)) <= tolerance
    return (near_crop & ~near_image).any(axis=1)
