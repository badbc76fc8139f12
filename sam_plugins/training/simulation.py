"""Simulated annotators: boxes drawn with a shaky hand, clicks where the mask is wrong."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Paper, §A: noise of 10 % of the box's side, at most 20 pixels.
BOX_NOISE = 0.1
MOST_BOX_NOISE = 20.0


def noisy_boxes(boxes: Tensor, *, noise: float = BOX_NOISE) -> Tensor:
    """Move the sides of boxes at random.

    Parameters
    ----------
    boxes : Tensor of shape (N, 4)
        xyxy, in pixels.
    noise : float
        Standard deviation as a fraction of the box's width and height, at most 20 pixels.

    Returns
    -------
    Tensor of shape (N, 4)
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)  # (N, 4): w, h, w, h
    spread = (noise * sides).clamp(max=MOST_BOX_NOISE)
    moved = boxes + (torch.randn_like(boxes) * spread).clamp(-MOST_BOX_NOISE, MOST_BOX_NOISE)
    return torch.cat(
        [torch.minimum(moved[:, :2], moved[:, 2:]), torch.maximum(moved[:, :2], moved[:, 2:])], 1
    )


def corrective_clicks(logits: Tensor, truth: Tensor, *, stride: int) -> tuple[Tensor, Tensor]:
    """Sample a click from where a mask is wrong.

    Parameters
    ----------
    logits : Tensor of shape (N, h, w)
        Predicted masks.
    truth : Tensor of shape (N, h, w)
        True masks, in 0 .. 1.
    stride : int
        Frame pixels to one logit along each axis.

    Returns
    -------
    points : Tensor of shape (N, 1, 2)
        x then y, in frame pixels.
    labels : Tensor of shape (N, 1), int64
        1 where the truth is foreground (a miss), 0 where it is background.

    Notes
    -----
    The paper samples uniformly from the error region. Here the inside of an error is preferred to
    its rim, because people click where the error is large, and because the rim of a true mask is
    uncertain itself. Where nothing is wrong, any pixel of the truth may be clicked.
    """
    count, _, width = truth.shape
    wrong = ((logits > 0) != (truth >= 0.5)).float()
    inside = functional.avg_pool2d(wrong[:, None], 5, 1, 2)[:, 0] * wrong  # (N, h, w)
    perfect = (wrong.sum((1, 2)) == 0).float()[:, None, None]
    weight = inside**3 + perfect * (truth >= 0.5).float() + 1e-12
    index = torch.multinomial(weight.flatten(1), 1)  # (N, 1)
    rows = torch.arange(count, device=truth.device)
    labels = (truth.flatten(1)[rows, index[:, 0]] >= 0.5).long()[:, None]
    cell = torch.stack([index % width, index // width], dim=-1).float()  # (N, 1, 2)
    # In the middle of the cell; the prompt encoder adds half a pixel by itself.
    return cell * stride + (stride - 1) / 2, labels
