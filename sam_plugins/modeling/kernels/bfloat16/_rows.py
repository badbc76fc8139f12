"""The parts of a block that transform each token by itself, a number of rows at a time."""

from __future__ import annotations

from numba import njit

from sam_plugins.modeling.kernels._elementwise import ANY_ORDER, add_bias, moments
from sam_plugins.modeling.kernels.bfloat16._blocks import (
    BLOCK,
    SIDE,
    STEP,
    add_block,
    close_tiles,
    multiply_block,
    open_tiles,
)
from sam_plugins.modeling.kernels.bfloat16._numbers import rounded
from sam_plugins.modeling.kernels.bfloat16._outputs import write_gelu, write_sums


@njit(nogil=True, cache=True)
def project(x, first, last, norm, weight, bias, qkv, normal, block):
    """Normalise tokens, and give the queries, keys and values of each head.

    Parameters
    ----------
    x : ndarray of shape (N, D), float32
        Tokens, a multiple of BLOCK.
    first, last : int
        Which of them, also multiples.
    norm : tuple
        Weight (D,), bias (D,) and epsilon of the norm.
    weight : ndarray of shape (3 * D / SIDE, D / PAIR, SIDE), uint32
        From `pack`.
    bias : ndarray of shape (3 * D,), float32
    qkv : ndarray of shape (3 * D / SIDE, N, SIDE), uint16
        Receives them, SIDE channels after the other.
    normal : ndarray of shape (D / STEP, last - first or more, STEP), uint16
        Scratch.
    block : ndarray of shape (2, BLOCK, SIDE), float32
        Scratch.
    """
    open_tiles()
    _normalise(x[first:last], norm, normal)
    for panel in range(0, len(weight), BLOCK // SIDE):
        for row in range(0, last - first, BLOCK):
            _multiply(normal, row, weight, panel, block)
            for side in range(BLOCK // SIDE):
                place = ((panel + side) * qkv.shape[1] + first + row) * SIDE
                start = side * BLOCK * SIDE
                write_sums(block, start, SIDE, bias, (panel + side) * SIDE, qkv, place, SIDE)
    close_tiles()


@njit(nogil=True, cache=True)
def finish(x, first, last, attended, projection, norm, mlp, scratch):
    """End a block: add the projected attention to tokens, then their MLP.

    Parameters
    ----------
    x : ndarray of shape (N, D), float32
        Tokens, a multiple of BLOCK; replaced.
    first, last : int
        Which of them, also multiples.
    attended : ndarray of shape (D / STEP, N, STEP), uint16
        What the heads gave, STEP channels after the other.
    projection : tuple
        Its weight, from `pack`, and bias (D,).
    norm : tuple
        Weight (D,), bias (D,) and epsilon of the norm before the MLP.
    mlp : tuple
        Weight, from `pack`, bias, weight and bias of its two layers.
    scratch : tuple of ndarray
        Normalised (D / STEP, R, STEP) and hidden (H / STEP, R, STEP) tokens, uint16, R being
        ``last - first`` or more, and a block (2, BLOCK, SIDE), float32.
    """
    add_projection(x, first, last, attended, projection)
    add_mlp(x, first, last, norm, mlp, scratch)


@njit(nogil=True, cache=True)
def add_projection(x, first, last, attended, projection):
    """Add the projected attention to tokens; see `finish`."""
    open_tiles()
    _add_product(attended, first, last - first, projection[0], x, first)
    close_tiles()
    add_bias(x[first:last], projection[1])


@njit(nogil=True, cache=True)
def add_mlp(x, first, last, norm, mlp, scratch):
    """Add their MLP to tokens; see `finish`."""
    normal, hidden, block = scratch
    rows, tokens = last - first, x[first:last]
    open_tiles()
    _normalise(tokens, norm, normal)
    for panel in range(0, len(mlp[0]), BLOCK // SIDE):
        for row in range(0, rows, BLOCK):
            _multiply(normal, row, mlp[0], panel, block)
            for side in range(BLOCK // SIDE):
                place = (panel * SIDE // STEP * hidden.shape[1] + row) * STEP + side * SIDE
                start = side * BLOCK * SIDE
                write_gelu(block, start, SIDE, mlp[1], (panel + side) * SIDE, hidden, place, STEP)
    _add_product(hidden, 0, rows, mlp[2], x, first)
    close_tiles()
    add_bias(tokens, mlp[3])


@njit(nogil=True, cache=True)
def _multiply(a, row, weight, panel, block):
    """Set a block to the product of rows and two panels of a weight."""
    size = weight.shape[1] * SIDE
    multiply_block(
        a, row * STEP, STEP, a.shape[1] * STEP,
        weight, panel * size, size,
        block, 0, SIDE, BLOCK * SIDE, len(a),
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _add_product(a, first, rows, weight, out, out_first):
    """Add the product of rows and a weight: ``out[out_first + r] += a[first + r] @ b``."""
    width, size = out.shape[1], weight.shape[1] * SIDE
    for panel in range(0, len(weight), BLOCK // SIDE):
        for row in range(0, rows, BLOCK):
            add_block(
                a, (first + row) * STEP, STEP, a.shape[1] * STEP,
                weight, panel * size, size,
                out, (out_first + row) * width + panel * SIDE, width, SIDE, len(a),
            )  # fmt: skip


@njit(nogil=True, cache=True, fastmath=ANY_ORDER, error_model="numpy")
def _normalise(x, norm, out):
    """Normalise each row of ``x`` (rows, D), scale it by a weight and add a bias; round it."""
    weight, bias, eps = norm
    for r in range(len(x)):
        row = x[r]
        mean, scale = moments(row, eps)
        for part in range(len(out)):
            start = part * STEP
            for i in range(STEP):
                normal = (row[start + i] - mean) * scale
                out[part, r, i] = rounded(normal * weight[start + i] + bias[start + i])
