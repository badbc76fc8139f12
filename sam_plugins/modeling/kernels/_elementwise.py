"""What is done to each number or row, in loops that become vector instructions.

Sums may be taken in any order there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

AS_WRITTEN = {"contract"}
ANY_ORDER = {"contract", "reassoc", "nnan", "nsz", "arcp"}
_F = np.float32

# erf(x / sqrt(2)) / x for x from 0 to where it is 1, as a polynomial of the square of x, scaled to
# -1 to 1: least squares at Chebyshev's points, weighed by x.
END_OF_ERF = 5.6
ERF = tuple(
    _F(coefficient)
    for coefficient in (
        +2.52519190e-1, -1.26102597e-1, +9.39619541e-2, -7.66903162e-2,
        +6.39363751e-2, -5.26318848e-2, +4.19048667e-2, -3.14678848e-2,
        +2.19083838e-2, -1.51877590e-2, +1.07490541e-2, -5.58402948e-3,
        +1.54514180e-3, -1.35986030e-3, +1.70293940e-3, -6.32155105e-4,
    )
)  # fmt: skip


@njit(inline="always", fastmath=AS_WRITTEN)
def _four_terms(first, x, square):
    low, high = ERF[first] + ERF[first + 1] * x, ERF[first + 2] + ERF[first + 3] * x
    return low + high * square


@njit(inline="always", fastmath=AS_WRITTEN)
def gelu(x):
    """``x * (1 + erf(x / sqrt(2))) / 2``, to 1.5e-7 of x.

    The polynomial is added up by pairs, and pairs of these, so that few steps wait for each other.
    """
    inside = min(max(x, _F(-END_OF_ERF)), _F(END_OF_ERF))
    place = inside * inside * _F(2 / END_OF_ERF**2) - _F(1)
    square = place * place
    fourth = square * square
    low = _four_terms(0, place, square) + _four_terms(4, place, square) * fourth
    high = _four_terms(8, place, square) + _four_terms(12, place, square) * fourth
    half = _F(0.5) * x
    return half + half * (inside * (low + high * (fourth * fourth)))


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN)
def replace_by_gelu(x):
    """Replace numbers (N,) by their GELU."""
    for i in range(len(x)):
        x[i] = gelu(x[i])


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN)
def gelu_of_sum(x, bias):
    """Replace rows (rows, D) by the GELU of them and a bias (D,)."""
    for r in range(len(x)):
        row = x[r]
        for i in range(len(row)):
            row[i] = gelu(row[i] + bias[i])


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN)
def add_bias(x, bias):
    """Add a bias (D,) to rows (rows, D)."""
    for r in range(len(x)):
        row = x[r]
        for i in range(len(row)):
            row[i] += bias[i]


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN)
def add_rows(x, others):
    """Add other rows to rows, both (rows, D)."""
    for r in range(len(x)):
        row, other = x[r], others[r]
        for i in range(len(row)):
            row[i] += other[i]


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN)
def add(x, bias, others):
    """Add a bias (D,) and other rows to rows, all (rows, D)."""
    for r in range(len(x)):
        row, other = x[r], others[r]
        for i in range(len(row)):
            row[i] += bias[i] + other[i]


@njit(nogil=True, cache=True, fastmath=ANY_ORDER, error_model="numpy")
def moments(row, eps):
    """Mean of a row, and the inverse of its standard deviation."""
    total = _F(0)
    for i in range(len(row)):
        total += row[i]
    mean = total / _F(len(row))
    squares = _F(0)
    for i in range(len(row)):
        squares += (row[i] - mean) * (row[i] - mean)
    return mean, _F(1) / np.sqrt(squares / _F(len(row)) + _F(eps))


@njit(nogil=True, cache=True, fastmath=ANY_ORDER, error_model="numpy")
def layer_norm(x, weight, bias, eps, out):
    """Normalise each row of ``x`` (rows, D) into ``out``, then scale by a weight and add a bias."""
    for r in range(len(x)):
        row, normal = x[r], out[r]
        mean, scale = moments(row, eps)
        for i in range(len(row)):
            normal[i] = (row[i] - mean) * scale * weight[i] + bias[i]
