"""The softmax of one query over some keys: first their weights, then what share each has.

Weights are logarithms to base 2: powers of two need no product to find the exponent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sam_plugins.modeling.kernels import _vectors as v

LOG2_E = np.float32(np.log2(np.e))
# Added and subtracted, it rounds a float32 to an integer, which is left in the lowest bits.
ROUNDING = 1.5 * 2**23
# Of a float32 (IEEE 754): above them lies the exponent.
MANTISSA_BITS = 23
# Two to the power of x for x from -1/2 to 1/2, to 1e-8 and to 3e-6 of it: least squares of the
# relative error at Chebyshev's points. The second is enough for what is rounded to bfloat16.
POWER = (
    1.000000001e00,
    6.931472056e-01,
    2.402264661e-01,
    5.550328998e-02,
    9.618519534e-03,
    1.339986036e-03,
    1.533757684e-04,
)
ROUGH_POWER = (9.999991909e-1, 6.931219677e-1, 2.402498111e-1, 5.591703917e-2, 9.560510206e-3)
# The exponent of the smallest float32 of full precision.
LOWEST_POWER = -126


@intrinsic
def weigh_line(context, weights, start, rows, wide, scale, bias_h, h_start, bias_w, w_start, most):
    """Scale products of a query and keys, and add the positions' bias.

    Parameters
    ----------
    weights : ndarray of float32
        Products, ``rows * wide`` from element ``start`` on; replaced.
    rows, wide : int
        Rows of keys, and keys to a row, a multiple of LANES.
    scale : float32
        Of the products.
    bias_h : ndarray of float32
        From ``h_start`` on, what is added to each row.
    bias_w : ndarray of float32
        From ``w_start`` on, what is added to each key of a row.
    most : float32
        The largest weight so far.

    Returns
    -------
    float32
        The largest weight, with that.
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        weights, start, rows, wide, scale, bias_h, h_start, bias_w, w_start, most = args
        code, kinds = (context, builder), signature.args
        line = v.Row(code, kinds[0], weights, start)
        of_rows = v.Row(code, kinds[5], bias_h, h_start)
        of_keys = v.Row(code, kinds[7], bias_w, w_start)
        scales = v.in_all_lanes(builder, scale)

        def row(y: Any, most: Any) -> Any:
            more, first = of_rows.repeated(y), builder.mul(y, wide)

            def keys(x: Any, most: Any) -> Any:
                place, bias = builder.add(first, x), builder.fadd(of_keys.load(x), more)
                weight = v.fma(builder, line.load(place), scales, bias)
                line.store(weight, place)
                return v.larger(builder, weight, most)

            return v.loop(builder, (wide, v.LANES), most, keys)

        return v.largest(builder, v.loop(builder, (rows, 1), v.in_all_lanes(builder, most), row))

    i, f = types.intp, types.float32
    return f(weights, i, i, i, f, bias_h, i, bias_w, i, f), code


@intrinsic
def share_line(context, weights, start, count, most):
    """Replace weights by two to the power of each less the largest.

    Parameters
    ----------
    weights : ndarray of float32
        Weights, ``count`` from element ``start`` on; a multiple of LANES.
    most : float32
        The largest.

    Returns
    -------
    float32
        The sum.
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        weights, start, count, most = args
        line = v.Row((context, builder), signature.args[0], weights, start)
        return _share(builder, (line, count, most), POWER, line.store)

    i, f = types.intp, types.float32
    return f(weights, i, i, f), code


@intrinsic
def share_rounded_line(context, weights, start, count, most, shares, out_start):
    """Give two to the power of each weight less the largest, rounded to bfloat16.

    Parameters
    ----------
    weights, start, count, most
        As in `share_line`, but the weights stay.
    shares : ndarray of uint16
        Receives the shares from element ``out_start`` on, and LANES zeros behind them.

    Returns
    -------
    float32
        The sum of what was not rounded.
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        weights, start, count, most, shares, out_start = args
        line = v.Row((context, builder), signature.args[0], weights, start)
        out = v.Row((context, builder), signature.args[4], shares, out_start)

        def write(share: Any, x: Any) -> None:
            out.store(share, x)

        total = _share(builder, (line, count, most), ROUGH_POWER, write)
        out.store(ir.Constant(v.HALVES, [0] * v.LANES), count)
        return total

    i, f = types.intp, types.float32
    return f(weights, i, i, f, shares, i), code


def _share(builder: ir.IRBuilder, weights: Any, power: tuple[float, ...], write: Any) -> Any:
    line, count, most = weights
    highest = v.in_all_lanes(builder, most)

    def keys(x: Any, total: Any) -> Any:
        share = power_of_two(builder, builder.fsub(line.load(x), highest), power)
        write(share, x)
        return builder.fadd(total, share)

    return v.total(builder, v.loop(builder, (count, v.LANES), v.constant(0), keys))


def power_of_two(builder: ir.IRBuilder, x: Any, power: tuple[float, ...]) -> Any:
    """Two to the power of a number that is 0 or less, or of `LOWEST_POWER` if that is more.

    Added to `ROUNDING` and taken back, a number is rounded to an integer, which the sum has in its
    lowest bits.
    """
    x = v.larger(builder, x, v.constant(LOWEST_POWER))
    moved = builder.fadd(x, v.constant(ROUNDING))
    rest = builder.fsub(x, builder.fsub(moved, v.constant(ROUNDING)))
    series = builder.bitcast(v.polynomial(builder, rest, power), v.INTS)
    exponent = builder.shl(builder.bitcast(moved, v.INTS), v.integers(MANTISSA_BITS))
    return builder.bitcast(builder.add(series, exponent), v.FLOATS)
