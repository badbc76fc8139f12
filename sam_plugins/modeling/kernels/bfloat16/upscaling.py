"""The mask decoder's last steps in bfloat16 by compiled kernels, one prompt at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels._memory import aligned
from sam_plugins.modeling.kernels.layers import array
from sam_plugins.modeling.kernels.upscaling import Layers, convolution, norm_of
from sam_plugins.threads import share


def suits(keys: Tensor, weights: Tensor) -> bool:
    """Tell whether kernels can upscale, on a processor where they are the fastest.

    Parameters
    ----------
    keys : Tensor of shape (B, N, C)
        Image tokens, in float32.
    weights : Tensor of shape (B, K, C / 8)
        Of K masks.

    Returns
    -------
    bool
    """
    if not (processor.takes_in_tiles(keys) and keys.dtype == torch.float32):
        return False
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, STEP

    channels = keys.shape[2]
    return len(keys) == 1 and channels % (8 * STEP) == 0 and weights.shape[1] <= BLOCK


def upscale(keys: Tensor, grid: tuple[int, int], layers: Layers, weights: Tensor) -> Tensor:
    """Upscale image tokens and weigh their channels for each mask.

    Parameters
    ----------
    keys : Tensor of shape (1, N, C)
        Image tokens of one prompt.
    grid : tuple of int
        Their (h, w).
    layers : tuple of nn.Module
        Transposed convolution, norm, GELU, transposed convolution and GELU.
    weights : Tensor of shape (1, K, C / 8)
        Of K masks.

    Returns
    -------
    Tensor of shape (1, K, 4 h, 4 w)
        Logits, in float32.
    """
    from sam_plugins.modeling.kernels.bfloat16 import _upscaling
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK
    from sam_plugins.modeling.kernels.bfloat16._numbers import in_panels

    (height, width), at_once = grid, _upscaling.TOKENS
    first, norm, _, second, _ = layers
    source, scale = keys[0].numpy(), norm_of(norm)
    convolutions = []
    for layer in (first, second):
        weight, bias = convolution(layer)
        convolutions.append((in_panels(weight[None], *weight.shape)[0], bias))
    of_masks = in_panels(array(weights), BLOCK, weights.shape[2])[0]
    masks = torch.empty(1, weights.shape[1], 4 * height, 4 * width)
    out = masks[0].numpy()

    def work(starts: Iterator[int]) -> None:
        scratch = _make_scratch(source.shape[1], at_once)
        for start in starts:
            _upscaling.upscale(
                start, min(len(source), start + at_once), source, width,
                convolutions[0], scale, convolutions[1], of_masks, out, scratch,
            )  # fmt: skip

    share(range(0, len(source), at_once), work)
    return masks


def _make_scratch(channels: int, tokens: int) -> tuple[np.ndarray, ...]:
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, STEP

    arrays = (
        ((channels // STEP, tokens, STEP), np.uint16),
        ((tokens, channels), np.float32),
        ((4 * tokens, channels // 4), np.float32),
        ((channels // 4 // STEP, 4 * tokens, STEP), np.uint16),
        ((4 * tokens, channels // 2), np.float32),
        ((channels // 8 // STEP, 16 * tokens, STEP), np.uint16),
        ((16 * tokens, BLOCK), np.float32),
    )
    return tuple(aligned(shape, kind) for shape, kind in arrays)
