"""Compiled part of matching edges: a largest matching of two sets of pixels."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def neighbours(places, numbers, steps):
    """Which pixels of the other map are near each of some pixels.

    Parameters
    ----------
    places : ndarray of shape (M,), int64
        Where they are in ``numbers``.
    numbers : ndarray of shape (K,), int32
        The other map with a border, flat: -1, or the number of the edge pixel.
    steps : ndarray of shape (S,), int64
        To all that is near, the nearest first; never over the border.

    Returns
    -------
    starts : ndarray of shape (M + 1,), int64
        Where each pixel's neighbours begin.
    columns : ndarray of shape (E,), int32
        The neighbours' numbers.
    """
    starts = np.zeros(len(places) + 1, dtype=np.int64)
    for row in range(len(places)):
        near = 0
        for step in steps:
            near += numbers[places[row] + step] >= 0
        starts[row + 1] = starts[row] + near
    columns = np.empty(starts[-1], dtype=np.int32)
    end = 0
    for place in places:
        for step in steps:
            if numbers[place + step] >= 0:
                columns[end] = numbers[place + step]
                end += 1
    return starts, columns


@njit(cache=True, nogil=True)
def largest_matching(starts, columns, count):
    """Pair rows with columns so that no other pairing has more pairs.

    Augmenting paths are searched depth first, from all unpaired rows in one pass that visits each
    column once, and in further passes until one finds none (Pothen and Fan 1990).

    Parameters
    ----------
    starts : ndarray of shape (M + 1,), int64
        Where each row's columns begin.
    columns : ndarray of shape (E,), int32
        Numbers of columns, those to try first first.
    count : int
        How many columns there are.

    Returns
    -------
    ndarray of shape (M,), int64
        Each row's column, or -1.
    """
    rows = len(starts) - 1
    column_of = np.full(rows, -1, dtype=np.int64)
    row_of = np.full(count, -1, dtype=np.int64)
    # Columns before this one are paired, and stay so.
    free = starts[:-1].copy()
    visited = np.zeros(count, dtype=np.int64)
    path = np.empty(rows + 1, dtype=np.int64)
    turn, grown = 0, True
    while grown:
        turn, grown = turn + 1, False
        tried = starts[:-1].copy()
        for root in range(rows):
            if column_of[root] >= 0:
                continue
            path[0], depth = root, 0
            while depth >= 0:
                row = path[depth]
                end = starts[row + 1]
                while free[row] < end and row_of[columns[free[row]]] >= 0:
                    free[row] += 1
                if free[row] < end:
                    _shift(path, depth, columns[free[row]], column_of, row_of)
                    grown = True
                    break
                while tried[row] < end and visited[columns[tried[row]]] == turn:
                    tried[row] += 1
                if tried[row] < end:
                    column = columns[tried[row]]
                    visited[column] = turn
                    depth += 1
                    path[depth] = row_of[column]
                else:
                    depth -= 1
    return column_of


@njit(cache=True, nogil=True)
def _shift(path, depth, column, column_of, row_of):
    """Give the last row of a path the free column, its own to the row before, and so on."""
    for place in range(depth, -1, -1):
        row = path[place]
        before = column_of[row]
        column_of[row] = column
        row_of[column] = row
        column = before
