"""Running the blocks of an image encoder in bfloat16 by compiled kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels._memory import aligned, filled, zeros
from sam_plugins.modeling.kernels.bfloat16.layers import (
    layer_in_panels,
    mlp_scratch,
    padded,
    project,
    token_parts,
)
from sam_plugins.modeling.kernels.layers import array, norm_parts
from sam_plugins.modeling.kernels.vit import are_plain
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
        False for anything but float32 weights on a CPU without gradients and under autocast to
        bfloat16, and for widths that are no multiples of a step.
    """
    if not processor.takes_bfloat16(x):
        return False
    from sam_plugins.modeling.kernels.bfloat16._blocks import SIDE, STEP

    dim = x.shape[-1]
    return are_plain(blocks) and not any(
        dim % STEP or dim // block.attn.num_heads % SIDE or block.mlp.lin1.out_features % STEP
        for block in blocks
    )


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
        float32, which the sum that blocks add to is kept in.
    """
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, SIDE, STEP

    out = torch.empty(x.shape)
    height, width, dim = x.shape[1:]
    tokens = height * width
    rows = filled(tokens, BLOCK)
    qkv = aligned((3 * dim // SIDE, rows, SIDE), np.uint16)
    attended = zeros((dim // STEP, rows, STEP), np.uint16)
    for image, result in zip(x, out, strict=True):
        grid = padded(image)
        for block in blocks:
            project(grid, block.norm1, block.attn.qkv, qkv)
            _attend(block, (height, width), qkv, attended)
            _finish(block, grid, attended)
        result.copy_(torch.from_numpy(grid[:tokens]).view(height, width, dim))
    return out


def _attend(block: Block, grid: tuple[int, int], qkv: np.ndarray, out: np.ndarray) -> None:
    """Attend within each window, or the whole grid."""
    from sam_plugins.modeling.kernels.bfloat16 import _attention
    from sam_plugins.modeling.kernels.bfloat16._blocks import SIDE

    heads, side = block.attn.num_heads, block.window_size
    height, width = (side, side) if side else grid
    positions_h, positions_w = _positions(block.attn, height, width)
    # What the tokens of zeros are projected to that a grid is padded with.
    bias = block.attn.qkv.bias.bfloat16().view(torch.int16)
    fill = array(bias).view(np.uint16).reshape(-1, SIDE)

    def work(jobs: Iterator[tuple[int, int, int]]) -> None:
        scratch = _attention.make_scratch(height, width, len(qkv) // (3 * heads) * SIDE)
        for top, left, head in jobs:
            window = (top, left, height, width)
            _attention.attend(
                qkv, heads, head, grid, window, fill, positions_h, positions_w, out, scratch
            )

    tops, lefts = range(0, grid[0], height), range(0, grid[1], width)
    share(((top, left, head) for top in tops for left in lefts for head in range(heads)), work)


def _finish(block: Block, x: np.ndarray, attended: np.ndarray) -> None:
    """Add the projected attention and the MLP to tokens (N, D)."""
    from sam_plugins.modeling.kernels.bfloat16 import _rows

    projection, norm = layer_in_panels(block.attn.proj), norm_parts(block.norm2)
    mlp = (*layer_in_panels(block.mlp.lin1), *layer_in_panels(block.mlp.lin2))

    def work(parts: Iterator[tuple[int, int]]) -> None:
        scratch = mlp_scratch(x.shape[1], len(mlp[1]))
        for first, last in parts:
            _rows.finish(x, first, last, attended, projection, norm, mlp, scratch)

    share(token_parts(len(x)), work)


def _positions(attention: Attention, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    from sam_plugins.modeling.kernels._softmax import LOG2_E
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, STEP
    from sam_plugins.modeling.kernels.bfloat16._numbers import in_panels

    def of(table: Tensor, size: int) -> np.ndarray:
        embeddings = array(relative_positions(table, size)) * LOG2_E
        return in_panels(embeddings, filled(size, BLOCK), filled(table.shape[1], STEP))

    return of(attention.rel_pos_h, height), of(attention.rel_pos_w, width)
