"""Losses between predicted masks and true ones, for every pair of the two at once.

The paper combines focal and dice loss 20 : 1 (§A). It does not give focal's parameters; gamma 2 is
the focal loss's own default (arXiv 1708.02002), and no class weighting is used.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

FOCAL_WEIGHT = 20.0
DICE_WEIGHT = 1.0
FOCAL_GAMMA = 2.0

# Added to both halves of the dice ratio, in pixels, so that empty masks have a gradient.
DICE_SMOOTHING = 1.0


def focal_loss(
    logits: Tensor, truth: Tensor, *, gamma: float = FOCAL_GAMMA, alpha: float | None = None
) -> Tensor:
    """Focal loss of each predicted mask against each true mask, mean over pixels.

    Parameters
    ----------
    logits : Tensor of shape (N, P, h, w)
        P predicted masks for each of N prompts.
    truth : Tensor of shape (N, G, h, w)
        G true masks for each prompt, in 0 .. 1 (fractions where a pixel is cut by the border).
    gamma : float
        How little pixels count that are right already.
    alpha : float, optional
        Weight of the foreground, that of the background being 1 - alpha; None: 1 for both.

    Returns
    -------
    Tensor of shape (N, P, G)

    Notes
    -----
    Linear in the truth, so that all pairs are two matrix products.
    """
    x, y = logits.flatten(2), truth.flatten(2)  # (N, P, h * w), (N, G, h * w)
    probability = x.sigmoid()
    if_foreground = functional.softplus(-x) * (1 - probability) ** gamma
    if_background = functional.softplus(x) * probability**gamma
    if alpha is not None:
        if_foreground, if_background = alpha * if_foreground, (1 - alpha) * if_background
    difference = (if_foreground - if_background) @ y.transpose(1, 2)  # (N, P, G)
    return (difference + if_background.sum(-1, keepdim=True)) / x.shape[-1]


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Dice loss of each predicted mask against each true mask.

    Parameters
    ----------
    logits : Tensor of shape (N, P, h, w)
        P predicted masks for each of N prompts.
    truth : Tensor of shape (N, G, h, w)
        G true masks for each prompt, in 0 .. 1.

    Returns
    -------
    Tensor of shape (N, P, G)
    """
    probability, y = logits.flatten(2).sigmoid(), truth.flatten(2)
    both = probability @ y.transpose(1, 2)  # (N, P, G)
    total = probability.sum(-1)[:, :, None] + y.sum(-1)[:, None]  # (N, P, G)
    return 1 - (2 * both + DICE_SMOOTHING) / (total + DICE_SMOOTHING)


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Focal and dice loss, 20 : 1 (paper, §A), of each predicted mask against each true mask.

    Parameters
    ----------
    logits : Tensor of shape (N, P, h, w)
        P predicted masks for each of N prompts.
    truth : Tensor of shape (N, G, h, w)
        G true masks for each prompt, in 0 .. 1.

    Returns
    -------
    Tensor of shape (N, P, G)
    """
    return FOCAL_WEIGHT * focal_loss(logits, truth) + DICE_WEIGHT * dice_loss(logits, truth)


@torch.no_grad()
def mask_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of each predicted mask with each true mask, without gradients.

    Parameters
    ----------
    logits : Tensor of shape (N, P, h, w)
        P predicted masks for each of N prompts; above 0 is foreground.
    truth : Tensor of shape (N, G, h, w)
        G true masks for each prompt, in 0 .. 1; from one half on is foreground.

    Returns
    -------
    Tensor of shape (N, P, G)
        0 for two empty masks.
    """
    predicted = (logits.flatten(2) > 0).float()
    true = (truth.flatten(2) >= 0.5).float()
    both = predicted @ true.transpose(1, 2)  # (N, P, G)
    either = predicted.sum(-1)[:, :, None] + true.sum(-1)[:, None] - both
    return both / either.clamp(min=1)


def ambiguous_loss(losses: Tensor, target: Tensor, valid: Tensor, *, all_heads: float) -> Tensor:
    """Loss of the candidates after one click, which may mean several nested things.

    Parameters
    ----------
    losses : Tensor of shape (N, P, G)
        Of each candidate against each truth.
    target : Tensor of shape (N,), int64
        The truth that was sampled.
    valid : Tensor of shape (N, G), bool
        Truths that contain the click.
    all_heads : float
        Weight of the mean loss over all candidates, which keeps each of them alive.

    Returns
    -------
    Tensor of shape (N,)

    Notes
    -----
    The paper trains the best candidate on the one sampled truth. Here each valid truth also trains
    its own best candidate, the sampled one with double weight: a small model learns from fewer
    clicks, and each click tells it all that is known.
    """
    rows = torch.arange(len(losses), device=losses.device)
    best = losses.min(dim=1).values  # (N, G)
    weight = valid.float()
    weight[rows, target] += 1
    nested = (best * weight).sum(1) / weight.sum(1)
    return nested + all_heads * losses[rows, :, target].mean(1)
