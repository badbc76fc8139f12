"""Simulated annotators: clicks in objects, boxes drawn with a shaky hand, corrections."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

# Paper, §A: noise of 10 % of the box's side, at most 20 pixels.
BOX_NOISE = 0.1
MOST_BOX_NOISE = 20.0

# A click on the background is at least this far from each object, in pixels: nearer ones could be
# meant for the object.
BACKGROUND_MARGIN = 3


def noisy_boxes(
    boxes: Tensor,
    *,
    noise: float = BOX_NOISE,
    kind: Literal["normal", "uniform"] = "normal",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Move the sides of boxes at random.

    Parameters
    ----------
    boxes : Tensor of shape (N, 4)
        xyxy, in pixels.
    noise : float
        As a fraction of the box's width and height, at most 20 pixels: the standard deviation, or
        the largest shift of uniform noise.
    kind : str
        ``"normal"`` or ``"uniform"``.
    generator : torch.Generator, optional
        On the CPU; by default the global one of the boxes' device.

    Returns
    -------
    Tensor of shape (N, 4)
    """
    device = boxes.device if generator is None else torch.device("cpu")
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)  # (N, 4): w, h, w, h
    spread = (noise * sides).clamp(max=MOST_BOX_NOISE)
    if kind == "normal":
        unit = torch.randn(boxes.shape, generator=generator, device=device)
    else:
        unit = 2 * torch.rand(boxes.shape, generator=generator, device=device) - 1
    moved = boxes + (unit.to(boxes) * spread).clamp(-MOST_BOX_NOISE, MOST_BOX_NOISE)
    return torch.cat(
        [torch.minimum(moved[:, :2], moved[:, 2:]), torch.maximum(moved[:, :2], moved[:, 2:])], 1
    )


def points_in_masks(masks: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Sample a pixel of each mask, each with the same chance (paper, §A).

    Parameters
    ----------
    masks : Tensor of shape (N, H, W)
        Above one half is in the mask; none is empty.
    generator : torch.Generator, optional
        On the CPU; by default the global one of the masks' device.

    Returns
    -------
    Tensor of shape (N, 1, 2), float32
        x then y, in pixels.
    """
    return _sample((masks > 0.5).float(), generator)


def error_clicks(
    logits: Tensor, truth: Tensor, *, stride: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Sample a click uniformly from where a mask is wrong (paper, §A).

    Parameters
    ----------
    logits : Tensor of shape (N, h, w)
        Predicted masks.
    truth : Tensor of shape (N, h, w)
        True masks, in 0 .. 1.
    stride : int
        Frame pixels to one logit along each axis.
    generator : torch.Generator, optional
        On the CPU; by default the global one of the logits' device.

    Returns
    -------
    points : Tensor of shape (N, 1, 2)
        x then y, in frame pixels.
    labels : Tensor of shape (N, 1), int64
        1 where the truth is foreground (a miss), 0 where it is background. Where nothing is wrong,
        any pixel of the truth may be clicked.
    """
    true = truth >= 0.5
    wrong = (logits > 0) != true
    perfect = ~wrong.flatten(1).any(1)[:, None, None]
    # A truth finer than the logits may have no cell that is mostly covered: any part of it then.
    somewhere = torch.where(true.flatten(1).any(1)[:, None, None], true, truth > 0)
    cell = _sample((wrong | (perfect & somewhere)).float(), generator)  # (N, 1, 2)
    return _in_frame(cell, true, stride)


def corrective_clicks(logits: Tensor, truth: Tensor, *, stride: int) -> tuple[Tensor, Tensor]:
    """Sample a click from where a mask is wrong, rather from the inside of an error.

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
    The paper samples uniformly, as `error_clicks` does. Here the inside of an error is preferred to
    its rim, because people click where the error is large, and because the rim of a true mask is
    uncertain itself. Where nothing is wrong, any pixel of the truth may be clicked.
    """
    wrong = ((logits > 0) != (truth >= 0.5)).float()
    inside = functional.avg_pool2d(wrong[:, None], 5, 1, 2)[:, 0] * wrong  # (N, h, w)
    perfect = (wrong.sum((1, 2)) == 0).float()[:, None, None]
    weight = inside**3 + perfect * (truth >= 0.5).float() + 1e-12
    return _in_frame(_sample(weight, None), truth >= 0.5, stride)


def background_clicks(
    labels: Tensor, count: int, *, margin: int = BACKGROUND_MARGIN
) -> tuple[Tensor, Tensor]:
    """Sample pixels that lie in no object.

    Parameters
    ----------
    labels : Tensor of shape (I, L, S, S), integer
        Levels of masks; 0 is none.
    count : int
        Pixels an image, K.
    margin : int
        Least distance to the nearest object, in pixels.

    Returns
    -------
    points : Tensor of shape (I * K, 1, 2), float32
        x then y, in pixels.
    valid : Tensor of shape (I * K,), bool
        False in images that have no background.
    """
    objects = (labels > 0).any(dim=1, keepdim=True).float()  # (I, 1, S, S)
    near = functional.max_pool2d(objects, 2 * margin + 1, 1, margin)
    free = (near == 0).flatten(1).float()  # (I, S * S)
    index = torch.multinomial(free + 1e-9, count, replacement=True).flatten()  # (I * K,)
    width = labels.shape[-1]
    points = torch.stack([index % width, index // width], dim=-1).float()[:, None]
    return points, free.any(dim=1).repeat_interleave(count)


def _sample(weight: Tensor, generator: torch.Generator | None) -> Tensor:
    """Sample a cell of each map (N, h, w) with its weight: (N, 1, 2), x then y."""
    flat = weight.flatten(1)
    if generator is not None:
        flat = flat.cpu()
    index = torch.multinomial(flat, 1, generator=generator).to(weight.device)  # (N, 1)
    width = weight.shape[-1]
    return torch.stack([index % width, index // width], dim=-1).float()


def _in_frame(cell: Tensor, true: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Bring cells (N, 1, 2) into the frame, and say what the truth is there."""
    x, y = cell[:, 0].long().unbind(-1)
    labels = true[torch.arange(len(true), device=true.device), y, x].long()[:, None]
    # In the middle of the cell; the prompt encoder adds half a pixel by itself.
    return cell * stride + (stride - 1) / 2, labels
