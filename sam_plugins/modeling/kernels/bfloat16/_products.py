"""Products of matrices in bfloat16, made of blocks."""

from __future__ import annotations

from numba import njit

from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, SIDE, STEP, multiply_block


@njit(nogil=True, cache=True)
def multiply(a, first, rows, panels, out):
    """Multiply rows of a matrix: ``out[r] = a[first + r] @ b``.

    Parameters
    ----------
    a : ndarray of shape (A, depth), uint16
        The left matrix; ``depth`` is a multiple of STEP.
    first, rows : int
        Which rows of it: a multiple of BLOCK.
    panels : ndarray of shape (columns / SIDE, depth / PAIR, SIDE), uint32
        The right matrix, in panels; ``columns`` are a multiple of BLOCK.
    out : ndarray of shape (rows or more, columns), float32
    """
    depth, width, size = a.shape[1], out.shape[1], panels.shape[1] * SIDE
    for panel in range(0, len(panels), BLOCK // SIDE):
        for row in range(0, rows, BLOCK):
            multiply_block(
                a, (first + row) * depth, depth, STEP,
                panels, panel * size, size,
                out, row * width + panel * SIDE, width, SIDE, depth // STEP,
            )  # fmt: skip
