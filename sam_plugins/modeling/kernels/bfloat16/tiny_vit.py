"""Running the attention of a TinyViT in bfloat16 by compiled kernels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sam_plugins.modeling.kernels._memory import aligned, filled
from sam_plugins.modeling.kernels.bfloat16.layers import (
    layer_in_panels,
    padded,
    project,
    token_parts,
)
from sam_plugins.modeling.kernels.layers import array
from sam_plugins.threads import share

if TYPE_CHECKING:
    from sam_plugins.modeling.tiny_vit import WindowAttention


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
        In float32.
    """
    from sam_plugins.modeling.kernels.bfloat16._blocks import SIDE, STEP

    out = torch.empty(x.shape)
    height, width, dim = x.shape[1:]
    # What the tokens of zeros become that a grid is padded with.
    padding = attention.qkv(attention.norm(x.new_zeros(1, dim))).bfloat16()
    fill = array(padding.view(torch.int16)).view(np.uint16).reshape(-1, SIDE)
    of_pairs = _of_pairs(bias[0], attention.window_size)
    projection = layer_in_panels(attention.proj)
    for image, result in zip(x, out, strict=True):
        tokens = padded(image)
        qkv = aligned((len(fill), len(tokens), SIDE), np.uint16)
        attended = aligned((len(fill) * SIDE // (3 * STEP), len(tokens), STEP), np.uint16)
        attended[:, height * width :] = 0
        project(tokens, attention.norm, attention.qkv, qkv)
        _attend(qkv, (height, width), attention.window_size, fill, of_pairs, attended)
        _add_projection(tokens, attended, projection)
        result.copy_(torch.from_numpy(tokens[: height * width]).view(result.shape))
    return out


def _of_pairs(bias: Tensor, side: int) -> np.ndarray:
    """Bias (heads, N, N) of keys whose rows are filled up to panels: (heads, N, keys)."""
    from sam_plugins.modeling.kernels import _softmax
    from sam_plugins.modeling.kernels.bfloat16 import _windows
    from sam_plugins.modeling.kernels.bfloat16._blocks import SIDE

    heads, count, _ = bias.shape
    wide = filled(side, SIDE)
    out = aligned((heads, count, _windows.keys_of(side)))
    out.fill(-np.inf)
    rows = out[..., : side * wide].reshape(heads, count, side, wide)
    by_row = array(bias.float()).reshape(heads, count, side, side)
    rows[..., :side] = by_row * _softmax.LOG2_E
    out[..., : side * wide] = rows.reshape(heads, count, -1)
    return out


def _attend(
    qkv: np.ndarray,
    grid: tuple[int, int],
    side: int,
    fill: np.ndarray,
    bias: np.ndarray,
    out: np.ndarray,
) -> None:
    from sam_plugins.modeling.kernels.bfloat16 import _windows
    from sam_plugins.modeling.kernels.bfloat16._blocks import SIDE

    def work(jobs: Iterator[tuple[int, int]]) -> None:
        scratch = _windows.make_scratch(side, len(qkv) * SIDE // (3 * len(bias)))
        for top, head in jobs:
            _windows.attend_in_row(qkv, head, grid, top, side, fill, bias, out, scratch)

    share([(top, head) for top in range(0, grid[0], side) for head in range(len(bias))], work)


def _add_projection(
    x: np.ndarray, attended: np.ndarray, projection: tuple[np.ndarray, np.ndarray]
) -> None:
    from sam_plugins.modeling.kernels.bfloat16 import _rows

    def work(parts: Iterator[tuple[int, int]]) -> None:
        for first, last in parts:
            _rows.add_projection(x, first, last, attended, projection)

    share(token_parts(len(x)), work)
