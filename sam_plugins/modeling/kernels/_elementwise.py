"""What is done to each number or row, in loops that become vector instructions.

Sums and maxima may be taken in any order there; the exponential must be computed as it is written.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sam_plugins.modeling.kernels._tiles import scaled_by_bits

AS_WRITTEN = {"contract"}
ANY_ORDER = {"contract", "reassoc", "nnan", "ninf", "nsz", "arcp"}
_F = np.float32

# Added and subtracted, it rounds a float32 to an integer, which is left in the lowest bits.
ROUNDING = _F(1.5 * 2**23)
LOG2_E = _F(np.log2(np.e))
# log(2) in two parts, the first of which has so few digits that its multiples are exact.
LN2_HIGH, LN2_LOW = _F(0.693359375), _F(np.log(2) - 0.693359375)
# Below, float32 has no full precision: the result is as good as 0.
LOWEST = _F(-87)
ROOT_HALF = _F(np.sqrt(0.5))


@njit(inline="always", fastmath=AS_WRITTEN)
def exp(x):
    """Exponential of a number that is 0 or less, to 2e-7 of it; at least that of `LOWEST`.

    Two to a whole power, times the series of the rest to the sixth power, whose coefficients are
    moved to spread its error (Cephes, expf).
    """
    x = max(x, LOWEST)
    rounded = x * LOG2_E + ROUNDING
    whole = rounded - ROUNDING
    rest = x - whole * LN2_HIGH
    rest = rest - whole * LN2_LOW
    series = _F(1.9875691500e-4)
    series = series * rest + _F(1.3981999507e-3)
    series = series * rest + _F(8.3334519073e-3)
    series = series * rest + _F(4.1665795894e-2)
    series = series * rest + _F(1.6666665459e-1)
    series = series * rest + _F(5.0000001201e-1)
    series = series * (rest * rest) + rest + _F(1)
    return scaled_by_bits(series, rounded)


@njit(inline="always", fastmath=AS_WRITTEN, error_model="numpy")
def gelu(x):
    """``x * (1 + erf(x / sqrt(2))) / 2``, to 1e-7 of x (Abramowitz and Stegun, 7.1.26)."""
    size = abs(x * ROOT_HALF)
    t = _F(1) / (_F(1) + _F(0.3275911) * size)
    series = _F(1.061405429)
    series = series * t - _F(1.453152027)
    series = series * t + _F(1.421413741)
    series = series * t - _F(0.284496736)
    series = series * t + _F(0.254829592)
    erf = _F(1) - series * t * exp(-size * size)
    return _F(0.5) * (x + abs(x) * erf)


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN, error_model="numpy")
def gelu_of_sum(x, bias):
    """Replace each row of ``x`` (rows, D) by the GELU of it and the bias (D,)."""
    for r in range(len(x)):
        row = x[r]
        for i in range(len(row)):
            row[i] = gelu(row[i] + bias[i])


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN)
def add(x, bias, others):
    """Add a bias (D,) and other rows to rows, all (rows, D)."""
    for r in range(len(x)):
        row, other = x[r], others[r]
        for i in range(len(row)):
            row[i] += bias[i] + other[i]


@njit(nogil=True, cache=True, fastmath=ANY_ORDER, error_model="numpy")
def layer_norm(x, weight, bias, eps, out):
    """Normalise each row of ``x`` (rows, D) into ``out``, then scale by a weight and add a bias."""
    dim = x.shape[1]
    for r in range(len(x)):
        row, normal = x[r], out[r]
        total = _F(0)
        for i in range(dim):
            total += row[i]
        mean = total / _F(dim)
        squares = _F(0)
        for i in range(dim):
            squares += (row[i] - mean) * (row[i] - mean)
        scale = _F(1) / np.sqrt(squares / _F(dim) + _F(eps))
        for i in range(dim):
            normal[i] = (row[i] - mean) * scale * weight[i] + bias[i]


@njit(nogil=True, cache=True, fastmath=ANY_ORDER)
def largest(row):
    """Largest number of a row."""
    most = row[0]
    for i in range(1, len(row)):
        most = max(most, row[i])
    return most


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN)
def exp_below(row, most):
    """Replace each number of a row by the exponential of it less the largest."""
    for i in range(len(row)):
        row[i] = exp(row[i] - most)


@njit(nogil=True, cache=True, fastmath=ANY_ORDER)
def total(row):
    """Sum of a row."""
    result = _F(0)
    for i in range(len(row)):
        result += row[i]
    return result
