"""The two softmaxes between a few tokens and many image tokens, with a row to each of these.

A column belongs to one head of one token, the heads of a token side by side. An image token that
looks for tokens shares out its row, head by head; a token that looks for image tokens, its columns.
Weights are logarithms to base 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sam_plugins.modeling.kernels import _vectors as v
from sam_plugins.modeling.kernels._softmax import POWER, power_of_two


@intrinsic
def share_rows(context, weights, rows, columns, heads, offsets):
    """Replace weights by the shares that tokens have in each head of a row.

    Parameters
    ----------
    weights : ndarray of float32
        (rows, columns), contiguous.
    rows, columns : int
        Columns are a multiple of LANES.
    heads : int
        A power of two, up to LANES.
    offsets : ndarray of float32
        Added to each row first, (columns,); minus infinity where there is no token.
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        weights, rows, columns, heads, offsets = args
        start, kinds = ir.Constant(v.INT, 0), signature.args
        line = v.Row((context, builder), kinds[0], weights, start)
        more = v.Row((context, builder), kinds[4], offsets, start)

        def row(r: Any, nothing: Any) -> Any:
            _share_row(builder, line.below(builder.mul(r, columns)), columns, heads, more)
            return nothing

        v.loop(builder, (rows, 1), start, row)
        return context.get_dummy_value()

    i = types.intp
    return types.void(weights, i, i, i, offsets), code


@intrinsic
def share_columns(context, weights, rows, columns, largest, totals, shrinking):
    """Replace weights by two to the power of each less the largest of its column so far.

    Parameters
    ----------
    weights : ndarray of float32
        (rows, columns), contiguous.
    rows, columns : int
        Columns are a multiple of LANES.
    largest, totals : ndarray of float32
        The largest weight and the sum of powers of each column so far, (columns,); replaced.
    shrinking : ndarray of float32
        Receives what sums that were made with the largest until now are to be multiplied by,
        (columns,).
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        weights, rows, columns, *states = args
        code, start = (context, builder), ir.Constant(v.INT, 0)
        line = v.Row(code, signature.args[0], weights, start)
        of_columns = [
            v.Row(code, kind, array, start)
            for kind, array in zip(signature.args[3:], states, strict=True)
        ]

        def column(c: Any, nothing: Any) -> Any:
            _share_column(builder, (line, rows, columns), c, of_columns)
            return nothing

        v.loop(builder, (columns, v.LANES), start, column)
        return context.get_dummy_value()

    i = types.intp
    return types.void(weights, i, i, largest, totals, shrinking), code


def _share_row(builder: ir.IRBuilder, line: v.Row, columns: Any, heads: Any, more: v.Row) -> None:
    """Share out a row; lane i of each vector belongs to head i modulo their number."""
    steps = columns, v.LANES

    def weigh(c: Any, most: Any) -> Any:
        weight = builder.fadd(line.load(c), more.load(c))
        line.store(weight, c)
        return v.larger(builder, most, weight)

    def power(c: Any, total: Any) -> Any:
        share = power_of_two(builder, builder.fsub(line.load(c), most), POWER)
        line.store(share, c)
        return builder.fadd(total, share)

    def divide(c: Any, nothing: Any) -> Any:
        line.store(builder.fmul(line.load(c), inverse), c)
        return nothing

    most = v.loop(builder, steps, v.constant(-3e38), weigh)
    most = _folded(builder, most, heads, lambda a, b: v.larger(builder, a, b))
    total = v.loop(builder, steps, v.constant(0), power)
    total = _folded(builder, total, heads, builder.fadd)
    inverse = builder.fdiv(v.constant(1), total)
    v.loop(builder, steps, ir.Constant(v.INT, 0), divide)


def _share_column(builder: ir.IRBuilder, weights: Any, c: Any, states: Any) -> None:
    """Share out as many columns as a vector has lanes."""
    line, rows, columns = weights
    largest, totals, shrinking = states

    def at(r: Any) -> Any:
        return builder.add(builder.mul(r, columns), c)

    def weigh(r: Any, most: Any) -> Any:
        return v.larger(builder, most, line.load(at(r)))

    def power(r: Any, total: Any) -> Any:
        share = power_of_two(builder, builder.fsub(line.load(at(r)), most), POWER)
        line.store(share, at(r))
        return builder.fadd(total, share)

    before = largest.load(c)
    most = v.loop(builder, (rows, 1), before, weigh)
    shrink = power_of_two(builder, builder.fsub(before, most), POWER)
    total = v.loop(builder, (rows, 1), builder.fmul(totals.load(c), shrink), power)
    for state, value in ((largest, most), (totals, total), (shrinking, shrink)):
        state.store(value, c)


def _folded(
    builder: ir.IRBuilder, vector: Any, heads: Any, function: Callable[[Any, Any], Any]
) -> Any:
    """Join lanes of the same head, so that each has what all of them give."""
    step = v.LANES // 2
    while step:
        places = [(lane + step) % v.LANES for lane in range(v.LANES)]
        joined = function(vector, v.in_order(builder, vector, places))
        same = builder.icmp_signed("<=", heads, ir.Constant(v.INT, step))
        vector, step = builder.select(same, joined, vector), step // 2
    return vector
