"""What a box tells beyond where to look: the object fills it, and does not leave it."""

from __future__ import annotations

import torch
from torch import Tensor

# Thresholds to choose from, in logits, those nearest to the usual one first.
THRESHOLDS = (0.0, -0.5, 0.5, -1.0, 1.0, -1.5, 1.5, -2.0, 2.0, -3.0, 3.0, -4.0)

# What a logit of distance from the usual threshold costs, in IoU of boxes.
COST = 0.01

# How far an object may reach beyond its box: a share of the box's side. People draw with a shaky
# hand.
MARGIN = 0.02

# Logits further out.
OUTSIDE = -20.0


def fit_to_boxes(logits: Tensor, boxes: Tensor, *, stride: int) -> Tensor:
    """Shift masks' logits until their own boxes are most like those they were prompted with.

    A small model is often sure of a part of an object and in doubt about the rest, or the other
    way round: its logits are right in order, and wrong in height.

    Parameters
    ----------
    logits : Tensor of shape (B, K, h, w)
        Low-resolution logits.
    boxes : Tensor of shape (B, M, 4)
        xyxy, in frame pixels; the M boxes of a prompt describe one object.
    stride : int
        Frame pixels to one logit along each axis.

    Returns
    -------
    Tensor of shape (B, K, h, w)
        Shifted by one of `THRESHOLDS`, and `OUTSIDE` where the prompt's boxes, taken together, do
        not reach.
    """
    low, high = boxes[..., :2].amin(1) / stride, boxes[..., 2:].amax(1) / stride  # (B, 2): x, y
    columns = _extents(logits.amax(-2))  # (T, B, K, 2)
    rows = _extents(logits.amax(-1))
    wanted = [torch.stack([low[:, axis], high[:, axis]], 1)[:, None] for axis in (0, 1)]
    overlap_x, overlap_y = _overlap(columns, wanted[0]), _overlap(rows, wanted[1])  # (T, B, K)
    both = overlap_x * overlap_y
    area = (columns[..., 1] - columns[..., 0]) * (rows[..., 1] - rows[..., 0])
    sides = (high - low).clamp(min=1e-6)
    either = area + (sides[:, :1] * sides[:, 1:]) - both
    thresholds = logits.new_tensor(THRESHOLDS, dtype=torch.float32)
    score = both / either - COST * thresholds.abs()[:, None, None]
    chosen = thresholds[score.argmax(0)]  # (B, K)
    height, width = logits.shape[-2:]
    room = MARGIN * sides + 1.0 / stride
    x = torch.arange(width, device=logits.device) + 0.5
    y = torch.arange(height, device=logits.device) + 0.5
    in_x = (x > (low - room)[:, :1]) & (x < (high + room)[:, :1])  # (B, w)
    in_y = (y > (low - room)[:, 1:]) & (y < (high + room)[:, 1:])  # (B, h)
    inside = in_y[:, None, :, None] & in_x[:, None, None, :]  # (B, 1, h, w)
    return torch.where(inside, logits - chosen[..., None, None].to(logits.dtype), OUTSIDE)


def _extents(peaks: Tensor) -> Tensor:
    """First and last line, (T, B, K, 2), in which the peaks (B, K, n) reach each threshold."""
    thresholds = peaks.new_tensor(THRESHOLDS)[:, None, None, None]
    reached = (peaks > thresholds).to(torch.uint8)  # (T, B, K, n)
    first = reached.argmax(-1)
    last = peaks.shape[-1] - reached.flip(-1).argmax(-1)
    some = reached.any(-1)
    return torch.stack([first * some, last * some], -1).float()


def _overlap(extents: Tensor, wanted: Tensor) -> Tensor:
    """Length (T, B, K) that extents (T, B, K, 2) share with others (B, 1, 2)."""
    end = torch.minimum(extents[..., 1], wanted[..., 1])
    return (end - torch.maximum(extents[..., 0], wanted[..., 0])).clamp(min=0)
