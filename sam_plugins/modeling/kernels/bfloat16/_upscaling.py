"""The mask decoder's last steps in bfloat16, some image tokens at a time."""

from __future__ import annotations

from numba import njit

from sam_plugins.modeling.kernels._elementwise import add_bias, layer_norm
from sam_plugins.modeling.kernels._upscaling import place
from sam_plugins.modeling.kernels.bfloat16._blocks import (
    BLOCK,
    SIDE,
    STEP,
    close_tiles,
    multiply_block,
    open_tiles,
)
from sam_plugins.modeling.kernels.bfloat16._numbers import rounded
from sam_plugins.modeling.kernels.bfloat16._outputs import write_gelu

# Image tokens at once, a multiple of BLOCK: 200 kB of finer and finer tokens.
TOKENS = 64


@njit(nogil=True, cache=True)
def upscale(first, last, x, width, first_layer, norm, second_layer, weights, masks, scratch):
    """Upscale image tokens twice, 2 x 2 to each, and weigh their channels for each mask.

    Parameters
    ----------
    first, last : int
        Which image tokens, up to TOKENS.
    x : ndarray of shape (N, C), float32
        Image tokens, row by row.
    width : int
        Tokens to a row.
    first_layer, second_layer : tuple
        Weights of the transposed convolutions, 2 x 2 pixels with their channels, `in_panels`, and
        biases (4 * channels,).
    norm : tuple
        Weight (C / 4,), bias (C / 4,), zeros (C / 4,) and epsilon of the norm between them.
    weights : ndarray of shape (panels, C / 8 / PAIR, SIDE), uint32
        Of the masks, filled up to a block.
    masks : ndarray of shape (K, 4 * h, 4 * w), float32
        Receives the logits.
    scratch : tuple of ndarray
        Tokens (C / STEP, TOKENS, STEP), uint16; finer (TOKENS, C) and normalised ones
        (4 * TOKENS, C / 4), float32; the same (C / 4 / STEP, 4 * TOKENS, STEP), uint16; sums
        (4 * TOKENS, C / 2), float32; finest (C / 8 / STEP, 16 * TOKENS, STEP), uint16; logits
        (16 * TOKENS, BLOCK), float32.
    """
    tokens = last - first
    rows = -(-tokens // BLOCK) * BLOCK
    scale, bias, zeros, eps = norm
    coarse, finer, normal, fine, sums, finest, logits = scratch
    open_tiles()
    _round(x, first, tokens, coarse)
    _multiply(coarse, rows, first_layer[0], finer)
    add_bias(finer[:tokens], first_layer[1])
    layer_norm(finer.reshape(normal.shape)[: 4 * tokens], scale, zeros, eps, normal)
    for part in range(normal.shape[1] // SIDE):
        column = part * SIDE
        strip, inside = column // STEP * fine.shape[1], column % STEP
        for row in range(0, 4 * rows, BLOCK):
            write_gelu(
                normal, row * normal.shape[1] + column, normal.shape[1], bias, column,
                fine, (strip + row) * STEP + inside, STEP,
            )  # fmt: skip
    _multiply(fine, 4 * rows, second_layer[0], sums)
    for part in range(sums.shape[1] // SIDE):
        # A row holds four pixels.
        column, channels = part * SIDE, sums.shape[1] // 4
        pixel, channel = column // channels, column % channels
        strip, inside = channel // STEP * finest.shape[1], channel % STEP
        for row in range(0, 4 * rows, BLOCK):
            write_gelu(
                sums, row * sums.shape[1] + column, sums.shape[1], second_layer[1], column,
                finest, (strip + 4 * row + pixel) * STEP + inside, 4 * STEP,
            )  # fmt: skip
    _multiply(finest, 16 * rows, weights, logits)
    close_tiles()
    place(first, tokens, width, logits, masks)


@njit(nogil=True, cache=True)
def _round(x, first, tokens, out):
    """Round tokens to bfloat16."""
    for token in range(tokens):
        row = x[first + token]
        for strip in range(len(out)):
            start = strip * STEP
            for i in range(STEP):
                out[strip, token, i] = rounded(row[start + i])


@njit(nogil=True, cache=True)
def _multiply(a, rows, weight, out):
    """Multiply rows (depth / STEP, R, STEP) by a weight in panels: (R, columns)."""
    width, size = out.shape[1], weight.shape[1] * SIDE
    for panel in range(0, len(weight), BLOCK // SIDE):
        for row in range(0, rows, BLOCK):
            multiply_block(
                a, row * STEP, STEP, a.shape[1] * STEP,
                weight, panel * size, size,
                out, row * width + panel * SIDE, width, SIDE, len(a),
            )  # fmt: skip
