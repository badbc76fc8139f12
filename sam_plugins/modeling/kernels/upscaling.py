"""The mask decoder's last steps by compiled kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels._memory import aligned
from sam_plugins.modeling.kernels.layers import array
from sam_plugins.modeling.layers import LayerNorm2d
from sam_plugins.threads import share

# Transposed convolution, norm, GELU, transposed convolution and GELU.
Layers = tuple[nn.ConvTranspose2d, LayerNorm2d, nn.Module, nn.ConvTranspose2d, nn.Module]


def suits(keys: Tensor, weights: Tensor) -> bool:
    """Tell whether kernels can upscale, on a processor where they are the fastest.

    Parameters
    ----------
    keys : Tensor of shape (B, N, C)
        Image tokens.
    weights : Tensor of shape (B, K, C / 8)
        Of K masks.

    Returns
    -------
    bool
    """
    if not processor.takes(keys):
        return False
    from sam_plugins.modeling.kernels._tiles import COLUMNS, ROWS

    return (
        keys.shape[1] >= ROWS and keys.shape[2] % (2 * COLUMNS) == 0 and weights.shape[1] <= COLUMNS
    )


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
        Logits.
    """
    from sam_plugins.modeling.kernels import _upscaling
    from sam_plugins.modeling.kernels._products import in_panels
    from sam_plugins.modeling.kernels._tiles import COLUMNS

    (height, width), at_once = grid, _upscaling.TOKENS
    first, norm, _, second, _ = layers
    source, (prompts, tokens, channels) = array(keys), keys.shape
    of_masks = in_panels(array(weights))  # (B, 1, C / 8, COLUMNS)
    convolutions = []
    for layer in (first, second):
        weight, bias = convolution(layer)
        convolutions.append((in_panels(weight), bias))
    scale = norm_of(norm)
    masks = torch.empty(prompts, weights.shape[1], 4 * height, 4 * width)
    out, count = masks.numpy(), -(-tokens // at_once)
    edges = [tokens * number // count for number in range(count + 1)]

    def work(parts: Iterator[int]) -> None:
        shapes = ((4, channels // 4), (4, channels // 2), (16, COLUMNS))
        scratch = tuple(aligned((1, each * at_once, size)) for each, size in shapes)
        for number in parts:
            prompt, part = divmod(number, count)
            _upscaling.upscale(
                edges[part], edges[part + 1], source[prompt], width,
                convolutions[0], scale, convolutions[1], of_masks[prompt], out[prompt], scratch,
            )  # fmt: skip

    share(range(prompts * count), work)
    return masks


def convolution(layer: nn.ConvTranspose2d) -> tuple[np.ndarray, np.ndarray]:
    """Give a 2 x 2 transposed convolution as a linear layer.

    Parameters
    ----------
    layer : nn.ConvTranspose2d

    Returns
    -------
    weight : ndarray of shape (2 * 2 * out, in), float32
        Pixels with their channels.
    bias : ndarray of shape (2 * 2 * out,), float32
    """
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 * 2 * out, in)
    return array(weight), array(cast(Tensor, layer.bias).repeat(4))


def norm_of(norm: LayerNorm2d) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Give a norm's weight, bias, as many zeros, and epsilon.

    Parameters
    ----------
    norm : LayerNorm2d

    Returns
    -------
    weight, bias, zeros : ndarray of shape (C,), float32
    eps : float
    """
    bias = array(norm.bias)
    return array(norm.weight), bias, np.zeros_like(bias), norm.eps
