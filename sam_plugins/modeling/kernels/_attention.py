"""Attention of one head within one window, with decomposed relative positions.

Some queries at a time meet some rows of keys, so that their weights stay in the caches; the largest
weight and the sum so far are carried from one to the next (arXiv 2112.05682). Keys of a row of the
window take whole panels; what is missing in the last of them weighs nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sam_plugins.modeling.kernels._elementwise import exp, exp_below, largest, total
from sam_plugins.modeling.kernels._tiles import COLUMNS, ROWS, add_tile, multiply_tile

# Queries that are weighed at once, a multiple of ROWS, and the keys about: 200 kB of weights.
QUERIES, KEYS = 96, 512


class Scratch(NamedTuple):
    """What a thread needs to attend with, all float32."""

    queries: np.ndarray  # (N, padded to whole tiles, d)
    keys: np.ndarray  # (panels, d, COLUMNS)
    values: np.ndarray  # (panels * COLUMNS, d)
    bias_h: np.ndarray  # (N, height, padded to whole panels)
    bias_w: np.ndarray  # (N, width, padded to whole panels)
    weights: np.ndarray  # (QUERIES, rows at once * width, padded)
    sums: np.ndarray  # (QUERIES, d)
    largest: np.ndarray  # (QUERIES,)
    totals: np.ndarray  # (QUERIES,)


def make_scratch(height: int, width: int, head_dim: int) -> Scratch:
    """Allocate what attending within windows of one size needs.

    Parameters
    ----------
    height, width : int
        Tokens to a window along each axis.
    head_dim : int
        Width of a head, a multiple of COLUMNS.

    Returns
    -------
    Scratch
    """
    tokens = height * width
    tall, wide = (-(-side // COLUMNS) * COLUMNS for side in (height, width))
    at_once = min(height, max(1, KEYS // wide))
    shapes = (
        (-(-tokens // ROWS) * ROWS, head_dim),
        (height * wide // COLUMNS, head_dim, COLUMNS),
        (height * wide, head_dim),
        (tokens, tall),
        (tokens, wide),
        (QUERIES, at_once * wide),
        (QUERIES, head_dim),
        (QUERIES,),
        (QUERIES,),
    )
    # Zeros, because what fills tiles and panels is multiplied as well.
    return Scratch(*(np.zeros(shape, np.float32) for shape in shapes))


@njit(nogil=True, cache=True)
def attend(qkv, head, grid, window, fill, positions_h, positions_w, out, scratch):
    """Attend with one head within one window.

    Parameters
    ----------
    qkv : ndarray of shape (3 * heads, N, d), float32
        Queries, keys and values of a grid's tokens, for each head.
    head : int
        Which one.
    grid : tuple of int
        Height and width of the grid.
    window : tuple of int
        Top, left, height and width. It may reach over the grid to the right and below.
    fill : ndarray of shape (3 * heads, d), float32
        Query, key and value where there is no token.
    positions_h, positions_w : ndarray of shape (side, panels, d, COLUMNS), float32
        Embeddings of a query's and a key's position along an axis of the window, `in_panels`.
    out : ndarray of shape (N, heads * d), float32
        Receives the head's part of each token in the window.
    scratch : Scratch
        For windows of this size.
    """
    _gather(qkv, head, grid, window, fill, scratch)
    _weigh_positions(window, positions_h, positions_w, scratch)
    for first in range(0, window[2] * window[3], QUERIES):
        rows = min(QUERIES, window[2] * window[3] - first)
        _attend_some(first, rows, window, scratch)
        _scatter(first, rows, head, grid, window, out, scratch)


@njit(nogil=True, cache=True)
def _gather(qkv, head, grid, window, fill, scratch):
    """Copy the window's queries and values, and its keys into panels."""
    top, left, height, width = window
    heads, d = len(qkv) // 3, qkv.shape[2]
    wide = scratch.bias_w.shape[1]
    for y in range(height):
        for x in range(width):
            token = (top + y) * grid[1] + left + x
            inside = top + y < grid[0] and left + x < grid[1]
            query = qkv[head, token] if inside else fill[head]
            key = qkv[heads + head, token] if inside else fill[heads + head]
            value = qkv[2 * heads + head, token] if inside else fill[2 * heads + head]
            place = y * wide + x
            panel, column = place // COLUMNS, place % COLUMNS
            for i in range(d):
                scratch.queries[y * width + x, i] = query[i]
            for i in range(d):
                scratch.values[place, i] = value[i]
            for i in range(d):
                scratch.keys[panel, i, column] = key[i]


@njit(nogil=True, cache=True, error_model="numpy")
def _weigh_positions(window, positions_h, positions_w, scratch):
    """Multiply queries by the embeddings of their distances to each row and column; then scale."""
    _, _, height, width = window
    queries, bias_h, bias_w = scratch.queries, scratch.bias_h, scratch.bias_w
    d, tall, wide = queries.shape[1], bias_h.shape[1], bias_w.shape[1]
    for y in range(height):
        for start in range(0, width, ROWS):
            token = y * width + min(start, width - ROWS)
            for panel in range(tall // COLUMNS):
                multiply_tile(
                    queries, token * d, d, 1,
                    positions_h, (y * (tall // COLUMNS) + panel) * d * COLUMNS, COLUMNS,
                    bias_h, token * tall + panel * COLUMNS, tall,
                    d,
                )  # fmt: skip
    for x in range(width):
        for start in range(0, height, ROWS):
            token = min(start, height - ROWS) * width + x
            for panel in range(wide // COLUMNS):
                multiply_tile(
                    queries, token * d, width * d, 1,
                    positions_w, (x * (wide // COLUMNS) + panel) * d * COLUMNS, COLUMNS,
                    bias_w, token * wide + panel * COLUMNS, width * wide,
                    d,
                )  # fmt: skip
    scale = np.float32(1) / np.sqrt(np.float32(d))
    for token in range(height * width):
        for i in range(width, wide):
            bias_w[token, i] = -np.inf
        for i in range(d):
            queries[token, i] *= scale


@njit(nogil=True, cache=True)
def _attend_some(first, rows, window, scratch):
    """Sum the values for queries ``first`` to ``first + rows``, weighed, but not yet divided."""
    queries, keys, values, weights = (
        scratch.queries, scratch.keys, scratch.values, scratch.weights,
    )  # fmt: skip
    sums, d, step = scratch.sums, queries.shape[1], weights.shape[1]
    wide = scratch.bias_w.shape[1]
    scratch.largest[:rows] = -np.inf
    scratch.totals[:rows] = 0
    sums[:] = 0
    for top in range(0, window[2], step // wide):
        height = min(step // wide, window[2] - top)
        for panel in range(height * wide // COLUMNS):
            for row in range(0, rows, ROWS):
                multiply_tile(
                    queries, (first + row) * d, d, 1,
                    keys, (top * wide // COLUMNS + panel) * d * COLUMNS, COLUMNS,
                    weights, row * step + panel * COLUMNS, step,
                    d,
                )  # fmt: skip
        _softmax(first, rows, top, height, scratch)
        for part in range(d // COLUMNS):
            for row in range(0, rows, ROWS):
                add_tile(
                    weights, row * step, step, 1,
                    values, top * wide * d + part * COLUMNS, d,
                    sums, row * d + part * COLUMNS, d,
                    height * wide,
                )  # fmt: skip


@njit(nogil=True, cache=True)
def _softmax(first, rows, top, height, scratch):
    """Turn products with some rows of keys into weights; scale what was summed before to match."""
    wide = scratch.bias_w.shape[1]
    for r in range(rows):
        weights = scratch.weights[r, : height * wide]
        bias_h, bias_w = scratch.bias_h[first + r], scratch.bias_w[first + r]
        for y in range(height):
            line, more = weights[y * wide : (y + 1) * wide], bias_h[top + y]
            for x in range(wide):
                line[x] += bias_w[x] + more
        before = scratch.largest[r]
        most = max(before, largest(weights))
        exp_below(weights, most)
        shrink = exp(before - most)
        scratch.largest[r] = most
        scratch.totals[r] = scratch.totals[r] * shrink + total(weights)
        for i in range(scratch.sums.shape[1]):
            scratch.sums[r, i] *= shrink


@njit(nogil=True, cache=True, error_model="numpy")
def _scatter(first, rows, head, grid, window, out, scratch):
    """Divide the sums by the weights' totals, and write those of tokens that the grid has."""
    top, left, _, width = window
    d = scratch.sums.shape[1]
    for r in range(rows):
        y, x = top + (first + r) // width, left + (first + r) % width
        if y < grid[0] and x < grid[1]:
            share = np.float32(1) / scratch.totals[r]
            for i in range(d):
                out[y * grid[1] + x, head * d + i] = scratch.sums[r, i] * share
