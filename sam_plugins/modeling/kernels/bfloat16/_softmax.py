"""The softmax of one query over some keys: weights, and shares of them rounded to bfloat16."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sam_plugins.modeling.kernels._elementwise import ROUNDING
from sam_plugins.modeling.kernels._tiles import MANTISSA_BITS
from sam_plugins.modeling.kernels.bfloat16 import _vectors as v

# Two to the power of x for x from -1/2 to 1/2, to 3e-6 of it: least squares of the relative error
# at Chebyshev's points. Enough for what is rounded to bfloat16.
POWER = (9.999991909e-1, 6.931219677e-1, 2.402498111e-1, 5.591703917e-2, 9.560510206e-3)
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
def share_line(context, weights, start, count, most, shares, out_start):
    """Give two to the power of each weight less the largest, rounded to bfloat16.

    Parameters
    ----------
    weights : ndarray of float32
        Weights, ``count`` from element ``start`` on; a multiple of LANES.
    most : float32
        The largest.
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
        highest = v.in_all_lanes(builder, most)

        def keys(x: Any, total: Any) -> Any:
            share = _power_of_two(builder, builder.fsub(line.load(x), highest))
            out.store(v.rounded(builder, share), x)
            return builder.fadd(total, share)

        total = v.loop(builder, (count, v.LANES), v.constant(0), keys)
        out.store(ir.Constant(v.HALVES, [0] * v.LANES), count)
        return v.total(builder, total)

    i, f = types.intp, types.float32
    return f(weights, i, i, f, shares, i), code


def _power_of_two(builder: ir.IRBuilder, x: Any) -> Any:
    """Two to the power of a number that is 0 or less, or of `LOWEST_POWER` if that is more.

    Added to `ROUNDING` and taken back, a number is rounded to an integer, which the sum has in its
    lowest bits.
    """
    x = v.larger(builder, x, v.constant(LOWEST_POWER))
    moved = builder.fadd(x, v.constant(ROUNDING))
    rest = builder.fsub(x, builder.fsub(moved, v.constant(ROUNDING)))
    series = builder.bitcast(v.polynomial(builder, rest, POWER), v.INTS)
    exponent = builder.shl(builder.bitcast(moved, v.INTS), v.integers(MANTISSA_BITS))
    return builder.bitcast(builder.add(series, exponent), v.FLOATS)
