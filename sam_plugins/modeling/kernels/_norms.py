"""Sums, and the norm of sums of rows, as vector instructions.

Arrays are float32, or bfloat16 as uint16; what is written to one of these is rounded.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sam_plugins.modeling.kernels import _vectors as v


@intrinsic
def add_numbers(context, x, x_start, y, y_start, count, out):
    """Add numbers of two arrays.

    Parameters
    ----------
    x, y : ndarray of any shape, contiguous
        Numbers, from elements ``x_start`` and ``y_start`` on.
    count : int
        How many, a multiple of LANES.
    out : ndarray of any shape, contiguous
        Receives the sums, from its first element on.
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, x_start, y, y_start, count, out = args
        code, kinds, zero = (context, builder), signature.args, ir.Constant(v.INT, 0)
        first, second = v.Row(code, kinds[0], x, x_start), v.Row(code, kinds[2], y, y_start)
        target = v.Row(code, kinds[5], out, zero)

        def add(i: Any, nothing: Any) -> Any:
            target.store(builder.fadd(first.load(i), second.load(i)), i)
            return nothing

        v.loop(builder, (count, v.LANES), zero, add)
        return context.get_dummy_value()

    i = types.intp
    return types.void(x, i, y, i, i, out), code


@intrinsic
def norm_sums(context, x, y, y_start, y_row, rows, columns, weight, bias, eps, out, out_start):
    """Add rows of two matrices, and normalise the sums.

    Parameters
    ----------
    x : ndarray of float32
        Rows of ``columns`` numbers, which follow each other; replaced by the sums.
    y : ndarray
        Its row r begins at element ``y_start + r * y_row``.
    rows, columns : int
        How many rows, 1 or more, and their length, a multiple of LANES.
    weight, bias : ndarray of float32
        What the normalised sums are multiplied by, and what is added, (columns,).
    eps : float
        Added to the variance.
    out : ndarray
        Receives the rows, which follow each other, from element ``out_start`` on. It may be ``x``
        or ``y`` if the rows' places are the same.
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, y, y_start, y_row, rows, columns, weight, bias, eps, out, out_start = args
        code, kinds, zero = (context, builder), signature.args, ir.Constant(v.INT, 0)
        sources = v.Row(code, kinds[0], x, zero), v.Row(code, kinds[1], y, y_start)
        scale = v.Row(code, kinds[6], weight, zero), v.Row(code, kinds[7], bias, zero)
        target, eps = v.Row(code, kinds[9], out, out_start), v.single(builder, eps)

        def row(r: Any, nothing: Any) -> Any:
            first, of_y = builder.mul(r, columns), builder.mul(r, y_row)
            lines = sources[0].below(first), sources[1].below(of_y), target.below(first)
            _norm(builder, lines, columns, scale, eps)
            return nothing

        v.loop(builder, (rows, 1), zero, row)
        return context.get_dummy_value()

    i = types.intp
    return types.void(x, y, i, i, i, i, weight, bias, types.float64, out, i), code


def _norm(builder: ir.IRBuilder, lines: Any, columns: Any, scale: Any, eps: Any) -> None:
    x, y, out = lines
    weight, bias = scale
    steps = columns, v.LANES

    def add(i: Any, total: Any) -> Any:
        value = builder.fadd(x.load(i), y.load(i))
        x.store(value, i)
        return builder.fadd(total, value)

    def square(i: Any, total: Any) -> Any:
        rest = builder.fsub(x.load(i), mean)
        return v.fma(builder, rest, rest, total)

    def finish(i: Any, nothing: Any) -> Any:
        normal = builder.fmul(builder.fsub(x.load(i), mean), inverse)
        out.store(v.fma(builder, normal, weight.load(i), bias.load(i)), i)
        return nothing

    count = builder.sitofp(columns, eps.type)
    mean = builder.fdiv(v.total(builder, v.loop(builder, steps, v.constant(0), add)), count)
    mean = v.in_all_lanes(builder, mean)
    squares = v.total(builder, v.loop(builder, steps, v.constant(0), square))
    variance = builder.fadd(builder.fdiv(squares, count), eps)
    root = builder.call(
        cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(eps.type, [eps.type]), "llvm.sqrt.f32"
        ),
        [variance],
    )
    inverse = v.in_all_lanes(builder, builder.fdiv(ir.Constant(eps.type, 1.0), root))
    v.loop(builder, steps, ir.Constant(v.INT, 0), finish)
