"""The mask decoder's last steps in bfloat16, some image tokens at a time."""

from __future__ import annotations

from numba import njit

from sam_plugins.modeling.kernels._norms import norm_sums
from sam_plugins.modeling.kernels._upscaling import place
from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, SIDE, close_tiles, open_tiles
from sam_plugins.modeling.kernels.bfloat16._outputs import write_gelu
from sam_plugins.modeling.kernels.bfloat16._products import multiply

# Image tokens at once, a multiple of BLOCK: 200 kB of finer and finer tokens.
TOKENS = 64


@njit(nogil=True, cache=True)
def upscale(first, last, x, width, first_layer, norm, second_layer, weights, masks, scratch):
    """Upscale image tokens twice, 2 x 2 to each, and weigh their channels for each mask.

    Parameters
    ----------
    first, last : int
        Which image tokens.
    x : ndarray of shape (N or more, C), uint16
        Image tokens, row by row, whole blocks.
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
        Finer tokens (4 * TOKENS, C / 4), float32, and rounded, uint16; sums (4 * TOKENS, C / 2),
        float32, and rounded, uint16; logits (16 * TOKENS, BLOCK), float32.
    """
    open_tiles()
    for start in range(first, last, TOKENS):
        tokens = min(TOKENS, last - start)
        _upscale(start, tokens, x, first_layer, norm, second_layer, weights, scratch)
        place(start, tokens, width, scratch[-1], masks)
    close_tiles()


@njit(nogil=True, cache=True)
def _upscale(first, tokens, x, first_layer, norm, second_layer, weights, scratch):
    rows, channels = -(-tokens // BLOCK) * BLOCK, x.shape[1]
    scale, bias, zeros, eps = norm
    finer, fine, sums, finest, logits = scratch
    multiply(x, first, rows, first_layer[0], finer.reshape((TOKENS, channels)))
    norm_sums(finer, first_layer[1], 0, 0, 4 * rows, channels // 4, scale, zeros, eps, finer, 0)
    _round_gelu(finer, 4 * rows, bias, fine)
    multiply(fine, 0, 4 * rows, second_layer[0], sums)
    # A row holds four pixels.
    _round_gelu(sums, 4 * rows, second_layer[1], finest)
    multiply(finest.reshape((16 * TOKENS, channels // 8)), 0, 16 * rows, weights, logits)


@njit(nogil=True, cache=True)
def _round_gelu(x, rows, bias, out):
    """Add a bias to rows, take their GELU, and round it."""
    width = x.shape[1]
    for column in range(0, width, SIDE):
        for row in range(0, rows, BLOCK):
            place = row * width + column
            write_gelu(x, place, width, bias, column, out, place, width)
