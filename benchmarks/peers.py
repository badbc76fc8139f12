"""Making the peers importable beside a CPU build of torch.

The package index has torchvision only as a CUDA build. Beside a CPU build of torch its native
library cannot be loaded, and importing torchvision fails, because it describes an operator that
does not exist. Of the native operators the peers use one, non-maximum suppression: it is defined
here by the textbook, if torchvision could not bring its own. All else in the peers is their own.
"""

import importlib
import importlib.util
from pathlib import Path

import torch
from torch import Tensor


def prepare() -> None:
    """Define ``torchvision::nms`` if torchvision's native library cannot be loaded. Idempotent."""
    if hasattr(torch.ops.torchvision, "nms"):
        return
    found = importlib.util.find_spec("torchvision")
    if found is None or found.origin is None:
        return
    try:
        torch.ops.load_library(str(Path(found.origin).parent / "_C.so"))
    except (ImportError, OSError):
        # Importing torchvision describes both; nothing here runs the quantised one.
        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}",
                "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
        torch.library.impl("torchvision::nms", "CPU", greedy_nms)
        extension = importlib.import_module("torchvision.extension")
        # Asked before each call: the operator is there now.
        extension._has_ops = lambda: True  # type: ignore[attr-defined]


def greedy_nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Keep boxes by descending score; drop those whose IoU with a kept one is above the threshold.

    Parameters
    ----------
    boxes : Tensor of shape (N, 4)
        xyxy.
    scores : Tensor of shape (N,)
    threshold : float

    Returns
    -------
    Tensor of shape (kept,), int64
        Indices by descending score; ties in the given order.
    """
    order = scores.argsort(descending=True, stable=True)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    alive = torch.ones(len(boxes), dtype=torch.bool)
    kept = []
    for index in order.tolist():
        if not alive[index]:
            continue
        kept.append(index)
        low = torch.maximum(boxes[index, :2], boxes[:, :2])
        high = torch.minimum(boxes[index, 2:], boxes[:, 2:])
        overlap = (high - low).clamp(min=0).prod(dim=1)
        alive &= ~(overlap / (areas[index] + areas - overlap) > threshold)
    return torch.tensor(kept, dtype=torch.int64)
