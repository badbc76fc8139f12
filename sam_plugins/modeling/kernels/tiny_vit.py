"""Running the parts of a TinyViT by compiled kernels, where these are the fastest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels.layers import (
    TOKENS,
    array,
    layer_in_panels,
    project,
    token_parts,
)
from sam_plugins.threads import default_threads, share

if TYPE_CHECKING:
    from sam_plugins.modeling.tiny_vit import WindowAttention

# Rows of a bottleneck at once, at least, for which two more of its hidden map are computed.
FEWEST_ROWS = 8


def with_attention(attention: WindowAttention, x: Tensor, bias: Tensor) -> Tensor:
    """Add their attention in windows to tokens.

    Parameters
    ----------
    attention : WindowAttention
        For whose layers `layers.suits` is true.
    x : Tensor of shape (B, h, w, C)
        Tokens of grids.
    bias : Tensor of shape (1, heads, N, N)
        Of each pair of a window's tokens.

    Returns
    -------
    Tensor of the same shape
    """
    from sam_plugins.modeling.kernels._softmax import LOG2_E
    from sam_plugins.modeling.kernels._tiles import COLUMNS

    out = x.contiguous().clone()
    height, width, dim = x.shape[1:]
    count, heads = bias.shape[-1], bias.shape[1]
    # What the tokens of zeros become that a grid is padded with.
    padding = attention.qkv(attention.norm(x.new_zeros(1, dim)))
    fill = array(padding).reshape(3 * heads, -1)
    logarithms = bias[0] * float(LOG2_E)
    filled = array(functional.pad(logarithms, (0, -count % COLUMNS), value=-torch.inf))
    qkv = np.empty((3 * heads, height * width, fill.shape[1]), np.float32)
    attended = np.empty((height * width, heads * fill.shape[1]), np.float32)
    projection = layer_in_panels(attention.proj)
    for image in out:
        tokens = image.view(-1, dim).numpy()
        project(tokens, attention.norm, attention.qkv, qkv)
        _attend(qkv, (height, width), attention.window_size, fill, filled, attended)
        _add_projection(tokens, attended, projection)
    return out


def _attend(
    qkv: np.ndarray,
    grid: tuple[int, int],
    side: int,
    fill: np.ndarray,
    bias: np.ndarray,
    out: np.ndarray,
) -> None:
    from sam_plugins.modeling.kernels import _windows

    def work(jobs: Iterator[tuple[int, int]]) -> None:
        scratch = _windows.make_scratch(side**2, qkv.shape[2])
        for top, head in jobs:
            _windows.attend_in_row(qkv, head, grid, top, side, fill, bias, out, scratch)

    share([(top, head) for top in range(0, grid[0], side) for head in range(len(bias))], work)


def _add_projection(
    x: np.ndarray, attended: np.ndarray, projection: tuple[np.ndarray, np.ndarray]
) -> None:
    from sam_plugins.modeling.kernels import _rows

    def work(parts: Iterator[tuple[int, int]]) -> None:
        scratch = np.empty((1, TOKENS, x.shape[1]), np.float32)
        for first, last in parts:
            _rows.add_projection(x, first, last, attended, projection, scratch)

    share(token_parts(len(x)), work)


def suits_bottleneck(x: Tensor, weight: Tensor) -> bool:
    """Tell whether a bottleneck can be run by kernels, on a processor where they are the fastest.

    Parameters
    ----------
    x : Tensor of shape (B, C, h, w)
        Its input.
    weight : Tensor of shape (H, C, 1, 1)
        Of its first convolution.

    Returns
    -------
    bool
    """
    if not processor.takes(x) or weight.dtype != torch.float32:
        return False
    from sam_plugins.modeling.kernels._tiles import COLUMNS, ROWS

    return x.shape[3] >= ROWS and not any(side % COLUMNS for side in weight.shape[:2])


def bottleneck(
    x: Tensor,
    widen: tuple[Tensor, Tensor],
    convolution: tuple[Tensor, Tensor],
    narrow: tuple[Tensor, Tensor],
) -> Tensor:
    """Widen, convolve each channel, narrow, and add the input, with GELU after each.

    Parameters
    ----------
    x : Tensor of shape (B, C, h, w)
        A map.
    widen, convolution, narrow : tuple of Tensor
        Weights, (H, C, 1, 1), (H, 1, 3, 3) and (C, H, 1, 1), and biases.

    Returns
    -------
    Tensor of the same shape
    """
    from sam_plugins.modeling.kernels import _bottlenecks
    from sam_plugins.modeling.kernels._products import in_panels

    maps = x.permute(0, 2, 3, 1).contiguous()  # (B, h, w, C)
    out = torch.empty_like(maps)
    height, width, channels = maps.shape[1:]
    hidden, size = len(widen[0]), max(FEWEST_ROWS, -(-height // (2 * default_threads())))
    first, last = ((in_panels(array(w.flatten(1))), array(b)) for w, b in (widen, narrow))
    middle = array(convolution[0][:, 0].permute(1, 2, 0)), array(convolution[1])

    def work(jobs: Iterator[tuple[np.ndarray, np.ndarray, int]]) -> None:
        scratch = tuple(
            np.zeros(shape, np.float32)
            for shape in ((3, width + 2, hidden), (1, width, hidden), (1, width, channels))
        )
        for source, target, top in jobs:
            bottom = min(height, top + size)
            _bottlenecks.bottleneck(source, top, bottom, first, middle, last, target, scratch)

    images = list(zip(maps.numpy(), out.numpy(), strict=True))
    share([(*pair, top) for pair in images for top in range(0, height, size)], work)
    return out.permute(0, 3, 1, 2)
