"""Attention in small windows, with a bias for each pair of tokens, in bfloat16."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sam_plugins.modeling.kernels._memory import filled, zeros
from sam_plugins.modeling.kernels._softmax import LOG2_E, share_rounded_line, weigh_line
from sam_plugins.modeling.kernels.bfloat16._attention import (
    gather_keys,
    gather_queries,
    gather_values,
)
from sam_plugins.modeling.kernels.bfloat16._blocks import (
    BLOCK,
    PAIR,
    SIDE,
    STEP,
    close_tiles,
    multiply_block,
    open_tiles,
)
from sam_plugins.modeling.kernels.bfloat16._numbers import rounded


class Scratch(NamedTuple):
    """What a thread needs to attend with."""

    queries: np.ndarray  # (rows, d), uint16
    keys: np.ndarray  # (panels, d / PAIR, SIDE), uint32
    values: np.ndarray  # (d / SIDE, keys / PAIR, SIDE), uint32
    weights: np.ndarray  # (rows, keys), float32
    shares: np.ndarray  # (rows, keys and one block more), uint16
    sums: np.ndarray  # (rows, d), float32
    totals: np.ndarray  # (rows,), float32
    nothing: np.ndarray  # (1,), float32


def make_scratch(side: int, head_dim: int) -> Scratch:
    """Allocate what windows of a side need, for heads of a multiple of STEP channels."""
    rows, keys = filled(side**2, BLOCK), keys_of(side)
    arrays = (
        ((rows, head_dim), np.uint16),
        ((keys // SIDE, head_dim // PAIR, SIDE), np.uint32),
        ((head_dim // SIDE, keys // PAIR, SIDE), np.uint32),
        ((rows, keys), np.float32),
        ((rows, keys + BLOCK), np.uint16),
        ((rows, head_dim), np.float32),
        ((rows,), np.float32),
        ((1,), np.float32),
    )
    return Scratch(*(zeros(shape, kind) for shape, kind in arrays))


def keys_of(side: int) -> int:
    """Keys of a window whose rows are filled up to panels, up to whole blocks."""
    return filled(side * filled(side, SIDE), BLOCK)


@njit(nogil=True, cache=True)
def attend_in_row(qkv, head, grid, top, side, fill, bias, out, scratch):
    """Attend with one head within a row of windows.

    Parameters
    ----------
    qkv : ndarray of shape (heads * 3 * d / SIDE, N or more, SIDE), uint16
        Queries, keys and values of one head after the other, SIDE channels after the other.
    head : int
        Which one.
    grid : tuple of int
        Height and width of the grid.
    top, side : int
        First row of tokens, and tokens to a window along each axis.
    fill : ndarray of shape (heads * 3 * d / SIDE, SIDE), uint16
        Query, key and value where the grid has no token.
    bias : ndarray of shape (heads, side ** 2, keys), float32
        Added to the weights, times the logarithm of e to base 2; minus infinity for keys that fill
        rows and blocks.
    out : ndarray of shape (heads * d / STEP, N or more, STEP), uint16
        Receives the head's part of each token.
    scratch : Scratch
        For windows of this size.
    """
    d = scratch.queries.shape[1]
    parts, scale = d // SIDE, LOG2_E / np.sqrt(np.float32(d))
    open_tiles()
    for left in range(0, grid[1], side):
        window = (top, left, side, side)
        for part in range(parts):
            query = 3 * head * parts + part
            key, value = query + parts, query + 2 * parts
            gather_queries(qkv[query], fill[query], grid, window, part, scratch.queries)
            gather_keys(qkv[key], fill[key], grid, window, part, scratch.keys)
            gather_values(qkv[value], fill[value], grid, window, scratch.values[part])
        _weigh(scale, head, side * side, bias, scratch)
        _sum(scratch)
        _scatter(grid, top, left, side, head * d, out, scratch)
    close_tiles()


@njit(nogil=True, cache=True)
def _weigh(scale, head, tokens, bias, scratch):
    """Give the share of each key for each query."""
    queries, keys, weights, shares = (
        scratch.queries, scratch.keys, scratch.weights, scratch.shares,
    )  # fmt: skip
    d, columns, size = queries.shape[1], weights.shape[1], keys.shape[1] * SIDE
    for row in range(0, len(queries), BLOCK):
        for column in range(0, columns, BLOCK):
            multiply_block(
                queries, row * d, d, STEP,
                keys, column // SIDE * size, size,
                weights, row * columns + column, columns, SIDE, d // STEP,
            )  # fmt: skip
    for r in range(tokens):
        most = weigh_line(
            weights, r * columns, 1, columns, scale,
            scratch.nothing, 0, bias, (head * tokens + r) * columns, -np.float32(np.inf),
        )  # fmt: skip
        scratch.totals[r] = share_rounded_line(
            weights, r * columns, columns, most, shares, r * shares.shape[1]
        )


@njit(nogil=True, cache=True)
def _sum(scratch):
    """Sum the values by these shares."""
    values, shares, sums = scratch.values, scratch.shares, scratch.sums
    d, size = sums.shape[1], values.shape[1] * SIDE
    for row in range(0, len(sums), BLOCK):
        for part in range(0, d, BLOCK):
            multiply_block(
                shares, row * shares.shape[1], shares.shape[1], STEP,
                values, part // SIDE * size, size,
                sums, row * d + part, d, SIDE, scratch.weights.shape[1] // STEP,
            )  # fmt: skip


@njit(nogil=True, cache=True, error_model="numpy")
def _scatter(grid, top, left, side, first, out, scratch):
    """Divide the sums by the shares' totals, and write those of tokens that the grid has."""
    sums = scratch.sums
    for r in range(side * side):
        y, x = top + r // side, left + r % side
        if y < grid[0] and x < grid[1]:
            share, token = np.float32(1) / scratch.totals[r], y * grid[1] + x
            for strip in range(sums.shape[1] // STEP):
                start = strip * STEP
                for i in range(STEP):
                    out[first // STEP + strip, token, i] = rounded(sums[r, start + i] * share)
