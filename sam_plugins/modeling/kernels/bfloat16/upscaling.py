"""The mask decoder's last steps in bfloat16 by compiled kernels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels._memory import aligned
from sam_plugins.modeling.kernels.layers import array
from sam_plugins.modeling.kernels.upscaling import Layers, convolution, norm_of
from sam_plugins.threads import share

# Image tokens that a thread takes at once: an eighth of SAM's.
PART = 512


def suits(keys: Tensor, weights: Tensor) -> bool:
    """Tell whether kernels can upscale, on a processor where they are the fastest.

    Parameters
    ----------
    keys : Tensor of shape (B, N, C)
        Image tokens, in float32 or bfloat16.
    weights : Tensor of shape (B, K, C / 8)
        Of K masks, in float32.

    Returns
    -------
    bool
    """
    if not (processor.can_take_bfloat16(keys) and weights.dtype == torch.float32):
        return False
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, STEP

    channels = keys.shape[2]
    return channels % (8 * STEP) == 0 and weights.shape[1] <= BLOCK


def upscale(keys: Tensor, grid: tuple[int, int], layers: Layers, weights: Tensor) -> Tensor:
    """Upscale image tokens and weigh their channels for each mask.

    Parameters
    ----------
    keys : Tensor of shape (B, N, C)
        Image tokens of each prompt.
    grid : tuple of int
        Their (h, w).
    layers : tuple of nn.Module
        Transposed convolution, norm, GELU, transposed convolution and GELU.
    weights : Tensor of shape (B, K, C / 8)
        Of K masks.

    Returns
    -------
    Tensor of shape (B, K, 4 h, 4 w)
        Logits, in float32.
    """
    from sam_plugins.modeling.kernels.bfloat16 import _upscaling
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK
    from sam_plugins.modeling.kernels.bfloat16._numbers import in_panels

    height, width = grid
    first, norm, _, second, _ = layers
    scale, (prompts, tokens, channels) = norm_of(norm), keys.shape
    source, missing = keys.to(torch.bfloat16), -tokens % BLOCK
    if missing:
        source = functional.pad(source, (0, 0, 0, missing))
    convolutions = []
    for layer in (first, second):
        weight, bias = convolution(layer)
        convolutions.append((in_panels(weight[None], *weight.shape)[0], bias))
    numbers = array(source.view(torch.uint16))
    of_masks = in_panels(array(weights), BLOCK, weights.shape[2])
    masks = torch.empty(prompts, weights.shape[1], 4 * height, 4 * width)
    out, count = masks.numpy(), -(-tokens // PART)

    def work(parts: Iterator[int]) -> None:
        scratch = _make_scratch(channels, _upscaling.TOKENS)
        for number in parts:
            prompt, part = divmod(number, count)
            _upscaling.upscale(
                part * PART, min(tokens, (part + 1) * PART), numbers[prompt], width,
                convolutions[0], scale, convolutions[1], of_masks[prompt], out[prompt], scratch,
            )  # fmt: skip

    share(range(prompts * count), work)
    return masks


def _make_scratch(channels: int, tokens: int) -> tuple[np.ndarray, ...]:
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK

    arrays = (
        ((4 * tokens, channels // 4), np.float32),
        ((4 * tokens, channels // 4), np.uint16),
        ((4 * tokens, channels // 2), np.float32),
        ((4 * tokens, channels // 2), np.uint16),
        ((16 * tokens, BLOCK), np.float32),
    )
    return tuple(aligned(shape, kind) for shape, kind in arrays)
