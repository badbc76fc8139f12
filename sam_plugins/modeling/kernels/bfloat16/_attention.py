"""Attention of one head within one window, with decomposed relative positions, in bfloat16.

As in `kernels._attention`, some queries at a time meet some rows of keys. Products and sums are
float32; what is rounded are the factors: queries, keys, values and weights. Weights are taken as
powers of two, the base being in the scale of the products and in the positions' embeddings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from sam_plugins.modeling.kernels._memory import filled, zeros
from sam_plugins.modeling.kernels._softmax import LOG2_E, share_rounded_line, weigh_line
from sam_plugins.modeling.kernels.bfloat16._blocks import (
    BLOCK,
    PAIR,
    SIDE,
    STEP,
    add_block,
    close_tiles,
    multiply_block,
    open_tiles,
)
from sam_plugins.modeling.kernels.bfloat16._numbers import joined, rounded

# Queries that are weighed at once, a multiple of BLOCK, and the keys about: 128 kB of weights.
QUERIES, KEYS = 64, 512


class Scratch(NamedTuple):
    """What a thread needs to attend with."""

    queries: np.ndarray  # (rows, channels), uint16
    keys: np.ndarray  # (panels, channels / PAIR, SIDE), uint32
    values: np.ndarray  # (channels / SIDE, keys / PAIR, SIDE), uint32
    bias_h: np.ndarray  # (rows, height, filled up to whole blocks), float32
    bias_w: np.ndarray  # (rows, width, filled up to whole blocks), float32
    weights: np.ndarray  # (QUERIES, keys at once), float32
    shares: np.ndarray  # (QUERIES, keys at once and one block more), uint16
    sums: np.ndarray  # (QUERIES, channels), float32
    largest: np.ndarray  # (QUERIES,), float32
    totals: np.ndarray  # (QUERIES,), float32


def make_scratch(height: int, width: int, head_dim: int) -> Scratch:
    """Allocate what attending within windows of one size needs.

    Parameters
    ----------
    height, width : int
        Tokens to a window along each axis.
    head_dim : int
        Width of a head, a multiple of SIDE.

    Returns
    -------
    Scratch
    """
    # Blocks of queries along either axis reach beyond the last token.
    rows = filled(max(filled(height, BLOCK) * width, height * filled(width, BLOCK)), QUERIES)
    wide, channels = filled(width, SIDE), filled(head_dim, STEP)
    keys, at_once = filled(height * wide, BLOCK), rows_at_once(height, wide) * wide
    arrays = (
        ((rows, channels), np.uint16),
        ((keys // SIDE, channels // PAIR, SIDE), np.uint32),
        ((channels // SIDE, keys // PAIR, SIDE), np.uint32),
        ((rows, filled(height, BLOCK)), np.float32),
        ((rows, filled(width, BLOCK)), np.float32),
        ((QUERIES, filled(at_once, BLOCK)), np.float32),
        ((QUERIES, filled(at_once, BLOCK) + BLOCK), np.uint16),
        ((QUERIES, channels), np.float32),
        ((QUERIES,), np.float32),
        ((QUERIES,), np.float32),
    )
    return Scratch(*(zeros(shape, kind) for shape, kind in arrays))


@njit(nogil=True, cache=True)
def rows_at_once(height, wide):
    """Rows of keys that are weighed at once: whole blocks, unless there are no more."""
    unit = BLOCK // SIDE
    return min(height, max(unit, KEYS // wide // unit * unit))


@njit(nogil=True, cache=True)
def attend(qkv, heads, head, grid, window, fill, positions_h, positions_w, out, scratch):
    """Attend with one head within one window.

    Parameters
    ----------
    qkv : ndarray of shape (3 * heads * d / SIDE, N or more, SIDE), uint16
        Queries, keys and values of a grid's N tokens, for each head, SIDE channels after the other.
    heads, head : int
        How many there are, and which one.
    grid : tuple of int
        Height and width of the grid.
    window : tuple of int
        Top, left, height and width. It may reach over the grid to the right and below.
    fill : ndarray of shape (3 * heads * d / SIDE, SIDE), uint16
        Query, key and value where there is no token.
    positions_h, positions_w : ndarray of shape (side, panels, channels / PAIR, SIDE), uint32
        Embeddings of a query's and a key's position along an axis of the window, times the
        logarithm of e to base 2, `in_panels` of whole blocks.
    out : ndarray of shape (heads * d / STEP, N or more, STEP), uint16
        Receives the head's part of each token in the window.
    scratch : Scratch
        For windows of this size.
    """
    parts = len(qkv) // (3 * heads)
    scale = LOG2_E / np.sqrt(np.float32(parts * SIDE))
    open_tiles()
    for part in range(parts):
        query = head * parts + part
        key, value = query + heads * parts, query + 2 * heads * parts
        gather_queries(qkv[query], fill[query], grid, window, part, scratch.queries)
        gather_keys(qkv[key], fill[key], grid, window, part, scratch.keys)
        gather_values(qkv[value], fill[value], grid, window, scratch.values[part])
    _weigh_positions(window, positions_h, positions_w, scratch)
    for first in range(0, window[2] * window[3], QUERIES):
        rows = min(QUERIES, window[2] * window[3] - first)
        _attend_some(first, rows, window, scale, scratch)
        _scatter(first, rows, head * parts, parts, grid, window, out, scratch)
    close_tiles()


@njit(nogil=True, cache=True)
def gather_queries(tokens, fill, grid, window, part, queries):
    """Copy SIDE channels of the window's queries."""
    top, left, height, width = window
    start = part * SIDE
    for y in range(height):
        for x in range(width):
            inside = top + y < grid[0] and left + x < grid[1]
            token = (top + y) * grid[1] + left + x
            for i in range(SIDE):
                queries[y * width + x, start + i] = tokens[token, i] if inside else fill[i]


@njit(nogil=True, cache=True)
def gather_keys(tokens, fill, grid, window, part, keys):
    """Copy SIDE channels of the window's keys into panels, a key to a column."""
    top, left, height, width = window
    wide, start = -(-width // SIDE) * SIDE, part * (SIDE // PAIR)
    for y in range(height):
        for x in range(width):
            inside = top + y < grid[0] and left + x < grid[1]
            token, place = (top + y) * grid[1] + left + x, y * wide + x
            panel, column = place // SIDE, place % SIDE
            for i in range(SIDE // PAIR):
                first = tokens[token, PAIR * i] if inside else fill[PAIR * i]
                second = tokens[token, PAIR * i + 1] if inside else fill[PAIR * i + 1]
                keys[panel, start + i, column] = joined(first, second)


@njit(nogil=True, cache=True)
def gather_values(tokens, fill, grid, window, values):
    """Copy SIDE channels of the window's values into a panel, pairs of them to a row."""
    top, left, height, width = window
    wide = -(-width // SIDE) * SIDE
    for y in range(height):
        for x in range(0, width, PAIR):
            token, step = (top + y) * grid[1] + left + x, (y * wide + x) // PAIR
            # A second one beyond the window weighs nothing.
            inside = top + y < grid[0] and left + x < grid[1]
            both = top + y < grid[0] and left + x + 1 < grid[1]
            for i in range(SIDE):
                first = tokens[token, i] if inside else fill[i]
                values[step, i] = joined(first, tokens[token + 1, i] if both else fill[i])


@njit(nogil=True, cache=True)
def _weigh_positions(window, positions_h, positions_w, scratch):
    """Multiply queries by the embeddings of their distances to each row and column."""
    _, _, height, width = window
    queries, bias_h, bias_w = scratch.queries, scratch.bias_h, scratch.bias_w
    channels, tall, wide = queries.shape[1], bias_h.shape[1], bias_w.shape[1]
    size = channels // PAIR * SIDE
    # What a block writes beyond a row of tokens, the next row replaces.
    for y in range(height):
        for x in range(0, width, BLOCK):
            token = y * width + x
            for column in range(0, tall, BLOCK):
                multiply_block(
                    queries, token * channels, channels, STEP,
                    positions_h, (y * tall + column) // SIDE * size, size,
                    bias_h, token * tall + column, tall, SIDE, channels // STEP,
                )  # fmt: skip
    for x in range(width):
        for y in range(0, height, BLOCK):
            token = y * width + x
            for column in range(0, wide, BLOCK):
                multiply_block(
                    queries, token * channels, width * channels, STEP,
                    positions_w, (x * wide + column) // SIDE * size, size,
                    bias_w, token * wide + column, width * wide, SIDE, channels // STEP,
                )  # fmt: skip
    for token in range(height * width):
        for i in range(width, wide):
            bias_w[token, i] = -np.inf


@njit(nogil=True, cache=True)
def _attend_some(first, rows, window, scale, scratch):
    """Sum the values for queries ``first`` to ``first + rows``, weighed, but not yet divided."""
    queries, keys, values, weights, shares, sums = (
        scratch.queries, scratch.keys, scratch.values,
        scratch.weights, scratch.shares, scratch.sums,
    )  # fmt: skip
    channels, step = queries.shape[1], weights.shape[1]
    wide = -(-window[3] // SIDE) * SIDE
    of_keys, of_values = channels // PAIR * SIDE, values.shape[1] * SIDE
    scratch.largest[:rows] = -np.inf
    scratch.totals[:rows] = 0
    sums[:] = 0
    at_once = rows_at_once(window[2], wide)
    for top in range(0, window[2], at_once):
        height = min(at_once, window[2] - top)
        columns = -(-height * wide // BLOCK) * BLOCK
        for column in range(0, columns, BLOCK):
            for row in range(0, rows, BLOCK):
                multiply_block(
                    queries, (first + row) * channels, channels, STEP,
                    keys, (top * wide + column) // SIDE * of_keys, of_keys,
                    weights, row * step + column, step, SIDE, channels // STEP,
                )  # fmt: skip
        _softmax(first, rows, (top, height, wide), scale, scratch)
        for part in range(0, channels, BLOCK):
            for row in range(0, rows, BLOCK):
                add_block(
                    shares, row * shares.shape[1], shares.shape[1], STEP,
                    values, part // SIDE * of_values + top * wide // PAIR * SIDE, of_values,
                    sums, row * channels + part, channels, SIDE, columns // STEP,
                )  # fmt: skip


@njit(nogil=True, cache=True)
def _softmax(first, rows, keys, scale, scratch):
    """Turn products with some rows of keys into shares; scale what was summed before to match."""
    top, height, wide = keys
    weights, shares, sums = scratch.weights, scratch.shares, scratch.sums
    bias_h, bias_w, step = scratch.bias_h, scratch.bias_w, weights.shape[1]
    for r in range(rows):
        before = scratch.largest[r]
        most = weigh_line(
            weights, r * step, height, wide, scale,
            bias_h, (first + r) * bias_h.shape[1] + top,
            bias_w, (first + r) * bias_w.shape[1],
            before,
        )  # fmt: skip
        total = share_rounded_line(
            weights, r * step, height * wide, most, shares, r * shares.shape[1]
        )
        shrink = np.exp2(before - most)
        scratch.largest[r] = most
        scratch.totals[r] = scratch.totals[r] * shrink + total
        for i in range(sums.shape[1]):
            sums[r, i] *= shrink


@njit(nogil=True, cache=True, error_model="numpy")
def _scatter(first, rows, first_part, parts, grid, window, out, scratch):
    """Divide the sums by the weights' totals, and write those of tokens that the grid has."""
    top, left, _, width = window
    sums = scratch.sums
    for r in range(rows):
        y, x = top + (first + r) // width, left + (first + r) % width
        if y < grid[0] and x < grid[1]:
            share, token = np.float32(1) / scratch.totals[r], y * grid[1] + x
            for part in range(parts):
                place = (first_part + part) * SIDE
                strip, start = place // STEP, place % STEP
                for i in range(SIDE):
                    out[strip, token, start + i] = rounded(sums[r, part * SIDE + i] * share)
