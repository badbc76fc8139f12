"""Attention in small windows, with a bias for each pair of tokens."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sam_plugins.modeling.kernels._memory import filled, zeros
from sam_plugins.modeling.kernels._softmax import LOG2_E, share_line, weigh_line
from sam_plugins.modeling.kernels._tiles import COLUMNS, ROWS, multiply_tile


class Scratch(NamedTuple):
    """What a thread needs to attend with, all float32."""

    queries: np.ndarray  # (N, filled up to whole tiles, d)
    keys: np.ndarray  # (panels, d, COLUMNS)
    values: np.ndarray  # (panels * COLUMNS, d)
    weights: np.ndarray  # (N, filled up, panels * COLUMNS)
    sums: np.ndarray  # (N, filled up, d)
    totals: np.ndarray  # (N,)
    nothing: np.ndarray  # (1,)


def make_scratch(tokens: int, head_dim: int) -> Scratch:
    """Allocate what windows of some tokens need, for heads of a multiple of COLUMNS channels."""
    rows, columns = filled(tokens, ROWS), filled(tokens, COLUMNS)
    shapes = (
        (rows, head_dim),
        (columns // COLUMNS, head_dim, COLUMNS),
        (columns, head_dim),
        (rows, columns),
        (rows, head_dim),
        (tokens,),
        (1,),
    )
    return Scratch(*(zeros(shape) for shape in shapes))


@njit(nogil=True, cache=True, error_model="numpy")
def attend_in_row(qkv, head, grid, top, side, fill, bias, out, scratch):
    """Attend with one head within a row of windows.

    Parameters
    ----------
    qkv : ndarray of shape (3 * heads, N, d), float32
        Queries, keys and values of one head after the other, of a grid's tokens.
    head : int
        Which one.
    grid : tuple of int
        Height and width of the grid.
    top, side : int
        First row of tokens, and tokens to a window along each axis.
    fill : ndarray of shape (3 * heads, d), float32
        Query, key and value where the grid has no token.
    bias : ndarray of shape (heads, side ** 2, panels * COLUMNS), float32
        Added to the weights, times the logarithm of e to base 2; minus infinity beyond the tokens.
    out : ndarray of shape (N, heads * d), float32
        Receives the head's part of each token.
    scratch : Scratch
        For windows of this size.
    """
    queries, keys, values, weights, sums, totals, nothing = scratch
    d, columns, tokens = queries.shape[1], weights.shape[1], side * side
    scale = LOG2_E / np.sqrt(np.float32(d))
    for left in range(0, grid[1], side):
        _gather(qkv, head, grid, (top, left, side), fill, scratch)
        for row in range(0, tokens, ROWS):
            for panel in range(len(keys)):
                multiply_tile(
                    queries, row * d, d,
                    keys, panel * d * COLUMNS, COLUMNS,
                    weights, row * columns + panel * COLUMNS, columns,
                    d,
                )  # fmt: skip
        for token in range(tokens):
            start = token * columns
            most = weigh_line(
                weights, start, 1, columns, scale,
                nothing, 0, bias, (head * tokens + token) * columns, -np.float32(np.inf),
            )  # fmt: skip
            totals[token] = share_line(weights, start, columns, most)
        for row in range(0, tokens, ROWS):
            for part in range(0, d, COLUMNS):
                multiply_tile(
                    weights, row * columns, columns,
                    values, part, d,
                    sums, row * d + part, d,
                    tokens,
                )  # fmt: skip
        for token in range(tokens):
            y, x = top + token // side, left + token % side
            if y < grid[0] and x < grid[1]:
                share = np.float32(1) / totals[token]
                for i in range(d):
                    out[y * grid[1] + x, head * d + i] = sums[token, i] * share


@njit(nogil=True, cache=True)
def _gather(qkv, head, grid, window, fill, scratch):
    """Copy a window's queries and values, and its keys into panels."""
    top, left, side = window
    d = qkv.shape[2]
    for token in range(side * side):
        y, x = top + token // side, left + token % side
        place = y * grid[1] + x
        inside = y < grid[0] and x < grid[1]
        query = qkv[3 * head, place] if inside else fill[3 * head]
        key = qkv[3 * head + 1, place] if inside else fill[3 * head + 1]
        value = qkv[3 * head + 2, place] if inside else fill[3 * head + 2]
        panel, column = token // COLUMNS, token % COLUMNS
        for i in range(d):
            scratch.queries[token, i] = query[i]
        for i in range(d):
            scratch.values[token, i] = value[i]
        for i in range(d):
            scratch.keys[panel, i, column] = key[i]
