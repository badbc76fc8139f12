"""Running the blocks of an image encoder by compiled kernels, where these are the fastest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from sam_plugins.modeling.cpu import Linear
from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels._memory import aligned
from sam_plugins.modeling.kernels.layers import (
    TOKENS,
    array,
    layer_in_panels,
    norm_parts,
    project,
    token_parts,
)
from sam_plugins.modeling.layers import MLPBlock
from sam_plugins.modeling.relative_attention import relative_positions
from sam_plugins.threads import share

if TYPE_CHECKING:
    from sam_plugins.modeling.image_encoder import Attention, Block


def suits(x: Tensor, blocks: Sequence[Block]) -> bool:
    """Tell whether blocks can be run by the kernels, and on a processor where that is faster.

    Parameters
    ----------
    x : Tensor of shape (B, h, w, D)
        Their input.
    blocks : sequence of Block
        Of one encoder.

    Returns
    -------
    bool
        False for anything but plain float32 weights on a CPU without gradients, for widths that
        are no multiples of a panel, and for grids of fewer tokens than a tile has rows.
    """
    if not processor.takes(x):
        return False
    from sam_plugins.modeling.kernels._tiles import COLUMNS, ROWS

    return (
        x.shape[1] * x.shape[2] >= ROWS
        and are_plain(blocks)
        and x.shape[-1] % COLUMNS == 0
        and not any(block.mlp.lin1.out_features % COLUMNS for block in blocks)
    )


def are_plain(blocks: Sequence[Block]) -> bool:
    """Tell whether blocks have their own layers, in float32: neither quantised nor replaced.

    Parameters
    ----------
    blocks : sequence of Block

    Returns
    -------
    bool
    """
    for block in blocks:
        layers = [block.attn.qkv, block.attn.proj, *block.mlp.children()]
        if (
            type(block.mlp) is not MLPBlock
            or [type(layer) for layer in layers if not isinstance(layer, nn.GELU)] != [Linear] * 4
            or any(weight.dtype != torch.float32 for weight in block.parameters())
        ):
            return False
    return True


def run_blocks(blocks: Sequence[Block], x: Tensor) -> Tensor:
    """Run blocks one after the other.

    Parameters
    ----------
    blocks : sequence of Block
        For which `suits` is true.
    x : Tensor of shape (B, h, w, D)
        Tokens of grids.

    Returns
    -------
    Tensor of the same shape

    Notes
    -----
    The same as by the blocks' own way, but for the rounding: weights are read as they are, so that
    nothing is kept that could become stale.
    """
    out = x.contiguous().clone()
    height, width, dim = x.shape[1:]
    tokens = height * width
    qkv = aligned((1, tokens, 3 * dim), np.float32)
    attended = aligned((tokens, dim), np.float32)
    for image in out:
        grid = image.view(1, tokens, dim).numpy()
        for block in blocks:
            project(grid[0], block.norm1, block.attn.qkv, qkv)
            _attend(block.attn, (height, width), qkv[0], attended)
            _finish(block, grid, attended)
    return out


def _attend(attention: Attention, grid: tuple[int, int], qkv: np.ndarray, out: np.ndarray) -> None:
    """Attend within each window, or the whole grid: (N, 3 * D) to (N, D)."""
    from sam_plugins.modeling.kernels import _attention

    heads, side = attention.num_heads, attention.window_size
    height, width = (side, side) if side else grid
    positions_h, positions_w = _positions(attention, height, width)
    # What the tokens of zeros are projected to that a grid is padded with.
    fill = array(attention.qkv.bias)

    def work(jobs: Iterator[tuple[int, int, int]]) -> None:
        scratch = _attention.make_scratch(height, width, out.shape[1] // heads)
        for top, left, head in jobs:
            window = (top, left, height, width)
            _attention.attend(
                qkv, heads, head, grid, window, fill, positions_h, positions_w, out, scratch
            )

    tops, lefts = range(0, grid[0], height), range(0, grid[1], width)
    share(((top, left, head) for top in tops for left in lefts for head in range(heads)), work)


def _finish(block: Block, x: np.ndarray, attended: np.ndarray) -> None:
    """Add the projected attention and the MLP to tokens (1, N, D)."""
    from sam_plugins.modeling.kernels import _rows

    projection, norm = layer_in_panels(block.attn.proj), norm_parts(block.norm2)
    mlp = (*layer_in_panels(block.mlp.lin1), *layer_in_panels(block.mlp.lin2))
    _, tokens, dim = x.shape
    widths = (dim, dim, len(mlp[1]))

    def work(parts: Iterator[tuple[int, int]]) -> None:
        scratch = tuple(aligned((1, TOKENS, width), np.float32) for width in widths)
        for first, last in parts:
            _rows.finish(x, first, last, attended, projection, norm, mlp, scratch)

    share(token_parts(tokens), work)


def _positions(attention: Attention, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    from sam_plugins.modeling.kernels._products import in_panels
    from sam_plugins.modeling.kernels._softmax import LOG2_E

    def of(table: Tensor, size: int) -> np.ndarray:
        return in_panels(array(relative_positions(table, size)) * LOG2_E)

    return of(attention.rel_pos_h, height), of(attention.rel_pos_w, width)
