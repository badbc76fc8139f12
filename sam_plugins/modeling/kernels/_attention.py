"""Attention of one head within one window, with decomposed relative positions.

Some queries at a time meet some rows of keys, so that their weights stay in the caches; the largest
weight and the sum so far are carried from one to the next (arXiv 2112.05682). Keys of a row of the
window take whole vectors; what is missing in the last of them weighs nothing. Weights are taken as
powers of two, the base being in the scale of the products and in the positions' embeddings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sam_plugins.modeling.kernels._memory import filled, zeros
from sam_plugins.modeling.kernels._softmax import LOG2_E, share_line, weigh_line
from sam_plugins.modeling.kernels._tiles import COLUMNS, ROWS, VECTORS, add_tile, multiply_tile
from sam_plugins.modeling.kernels._vectors import LANES

# Queries that are weighed at once, a multiple of ROWS, and the keys about: 200 kB of weights.
QUERIES, KEYS = 96, 512


class Scratch(NamedTuple):
    """What a thread needs to attend with, all float32."""

    queries: np.ndarray  # (rows, d)
    keys: np.ndarray  # (panels, d, COLUMNS)
    values: np.ndarray  # (panels * COLUMNS, d, filled up to whole tiles)
    bias_h: np.ndarray  # (rows, height, filled up to whole panels)
    bias_w: np.ndarray  # (rows, width, filled up to whole panels)
    weights: np.ndarray  # (QUERIES, keys at once)
    sums: np.ndarray  # (QUERIES, d, filled up)
    largest: np.ndarray  # (QUERIES,)
    totals: np.ndarray  # (QUERIES,)


def make_scratch(height: int, width: int, head_dim: int) -> Scratch:
    """Allocate what attending within windows of one size needs.

    Parameters
    ----------
    height, width : int
        Tokens to a window along each axis.
    head_dim : int
        Width of a head.

    Returns
    -------
    Scratch
    """
    # Tiles of queries along either axis reach beyond the last token.
    rows = filled(max(filled(height, ROWS) * width, height * filled(width, ROWS)), ROWS)
    wide, channels = filled(width, LANES), filled(head_dim, COLUMNS)
    keys, at_once = filled(height * wide, COLUMNS), rows_at_once(height, wide) * wide
    shapes = (
        (rows, head_dim),
        (keys // COLUMNS, head_dim, COLUMNS),
        (keys, channels),
        (rows, filled(height, COLUMNS)),
        (rows, filled(width, COLUMNS)),
        (QUERIES, filled(at_once, COLUMNS)),
        (QUERIES, channels),
        (QUERIES,),
        (QUERIES,),
    )
    return Scratch(*(zeros(shape) for shape in shapes))


@njit(nogil=True, cache=True)
def rows_at_once(height, wide):
    """Rows of keys that are weighed at once: whole panels, unless there are no more."""
    return min(height, max(VECTORS, KEYS // wide // VECTORS * VECTORS))


@njit(nogil=True, cache=True)
def attend(qkv, heads, head, grid, window, fill, positions_h, positions_w, out, scratch):
    """Attend with one head within one window.

    Parameters
    ----------
    qkv : ndarray of shape (N, 3 * heads * d), float32
        Queries, keys and values of a grid's tokens, each with its heads one after the other.
    heads, head : int
        How many there are, and which one.
    grid : tuple of int
        Height and width of the grid.
    window : tuple of int
        Top, left, height and width. It may reach over the grid to the right and below.
    fill : ndarray of shape (3 * heads * d,), float32
        Query, key and value where there is no token.
    positions_h, positions_w : ndarray of shape (side, panels, d, COLUMNS), float32
        Embeddings of a query's and a key's position along an axis of the window, times the
        logarithm of e to base 2, `in_panels`.
    out : ndarray of shape (N, heads * d), float32
        Receives the head's part of each token in the window.
    scratch : Scratch
        For windows of this size.
    """
    _gather(qkv, heads, head, grid, window, fill, scratch)
    _weigh_positions(window, positions_h, positions_w, scratch)
    scale = LOG2_E / np.sqrt(np.float32(scratch.queries.shape[1]))
    for first in range(0, window[2] * window[3], QUERIES):
        rows = min(QUERIES, window[2] * window[3] - first)
        _attend_some(first, rows, window, scale, scratch)
        _scatter(first, rows, head, grid, window, out, scratch)


@njit(nogil=True, cache=True)
def _gather(qkv, heads, head, grid, window, fill, scratch):
    """Copy the window's queries and values, and its keys into panels."""
    top, left, height, width = window
    d, wide = scratch.queries.shape[1], -(-width // LANES) * LANES
    of_query, of_key, of_value = head * d, (heads + head) * d, (2 * heads + head) * d
    for y in range(height):
        for x in range(width):
            inside = top + y < grid[0] and left + x < grid[1]
            token = qkv[(top + y) * grid[1] + left + x] if inside else fill
            place = y * wide + x
            panel, column = place // COLUMNS, place % COLUMNS
            query, value = scratch.queries[y * width + x], scratch.values[place]
            query[:] = token[of_query : of_query + d]
            value[:d] = token[of_value : of_value + d]
            key = token[of_key : of_key + d]
            for i in range(d):
                scratch.keys[panel, i, column] = key[i]


@njit(nogil=True, cache=True)
def _weigh_positions(window, positions_h, positions_w, scratch):
    """Multiply queries by the embeddings of their distances to each row and column."""
    _, _, height, width = window
    queries, bias_h, bias_w = scratch.queries, scratch.bias_h, scratch.bias_w
    d, tall, wide = queries.shape[1], bias_h.shape[1], bias_w.shape[1]
    # What a tile writes beyond a row of tokens, the next row replaces.
    for y in range(height):
        for x in range(0, width, ROWS):
            token = y * width + x
            for column in range(0, tall, COLUMNS):
                multiply_tile(
                    queries, token * d, d,
                    positions_h, (y * tall + column) * d, COLUMNS,
                    bias_h, token * tall + column, tall,
                    d,
                )  # fmt: skip
    for x in range(width):
        for y in range(0, height, ROWS):
            token = y * width + x
            for column in range(0, wide, COLUMNS):
                multiply_tile(
                    queries, token * d, width * d,
                    positions_w, (x * wide + column) * d, COLUMNS,
                    bias_w, token * wide + column, width * wide,
                    d,
                )  # fmt: skip
    for token in range(height * width):
        for i in range(width, wide):
            bias_w[token, i] = -np.inf


@njit(nogil=True, cache=True)
def _attend_some(first, rows, window, scale, scratch):
    """Sum the values for queries ``first`` to ``first + rows``, weighed, but not yet divided."""
    queries, keys, values, weights = (
        scratch.queries, scratch.keys, scratch.values, scratch.weights,
    )  # fmt: skip
    sums, d, step = scratch.sums, queries.shape[1], weights.shape[1]
    wide, channels = -(-window[3] // LANES) * LANES, values.shape[1]
    scratch.largest[:rows] = -np.inf
    scratch.totals[:rows] = 0
    sums[:] = 0
    at_once = rows_at_once(window[2], wide)
    for top in range(0, window[2], at_once):
        height = min(at_once, window[2] - top)
        for column in range(0, height * wide, COLUMNS):
            for row in range(0, rows, ROWS):
                multiply_tile(
                    queries, (first + row) * d, d,
                    keys, (top * wide + column) * d, COLUMNS,
                    weights, row * step + column, step,
                    d,
                )  # fmt: skip
        _softmax(first, rows, (top, height, wide), scale, scratch)
        for part in range(0, channels, COLUMNS):
            for row in range(0, rows, ROWS):
                add_tile(
                    weights, row * step, step,
                    values, top * wide * channels + part, channels,
                    sums, row * channels + part, channels,
                    height * wide,
                )  # fmt: skip


@njit(nogil=True, cache=True)
def _softmax(first, rows, keys, scale, scratch):
    """Turn products with some rows of keys into shares; scale what was summed before to match."""
    top, height, wide = keys
    weights, sums, step = scratch.weights, scratch.sums, scratch.weights.shape[1]
    bias_h, bias_w = scratch.bias_h, scratch.bias_w
    for r in range(rows):
        before = scratch.largest[r]
        most = weigh_line(
            weights, r * step, height, wide, scale,
            bias_h, (first + r) * bias_h.shape[1] + top,
            bias_w, (first + r) * bias_w.shape[1],
            before,
        )  # fmt: skip
        total = share_line(weights, r * step, height * wide, most)
        shrink = np.exp2(before - most)
        scratch.largest[r] = most
        scratch.totals[r] = scratch.totals[r] * shrink + total
        for i in range(sums.shape[1]):
            sums[r, i] *= shrink


@njit(nogil=True, cache=True, error_model="numpy")
def _scatter(first, rows, head, grid, window, out, scratch):
    """Divide the sums by the weights' totals, and write those of tokens that the grid has."""
    top, left, _, width = window
    d = scratch.queries.shape[1]
    for r in range(rows):
        y, x = top + (first + r) // width, left + (first + r) % width
        if y < grid[0] and x < grid[1]:
            share = np.float32(1) / scratch.totals[r]
            for i in range(d):
                out[y * grid[1] + x, head * d + i] = scratch.sums[r, i] * share
