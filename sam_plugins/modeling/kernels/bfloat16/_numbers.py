"""Rounding to bfloat16, which is the upper half of a float32, and pairs of such numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from sam_plugins.modeling.kernels import _vectors as v
from sam_plugins.modeling.kernels._memory import aligned
from sam_plugins.modeling.kernels.bfloat16._blocks import PAIR, SIDE

_BITS, _HALF = ir.IntType(32), ir.IntType(16)
# Half of what the lowest bit of a bfloat16 is worth: ties are rounded away from zero.
_TIE, _WIDTH, _UPPER = (ir.Constant(_BITS, value) for value in (1 << 15, 16, 0xFFFF0000))


@intrinsic
def rounded(context, x):
    """Round a float32 to bfloat16, as uint16."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        return builder.trunc(builder.lshr(_with_tie(builder, args[0]), _WIDTH), _HALF)

    return types.uint16(types.float32), code


@intrinsic
def pair(context, first, second):
    """Round two float32 to a pair of bfloat16, as uint32 with the first in its lower half."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        low, high = (_with_tie(builder, each) for each in args)
        return builder.or_(builder.lshr(low, _WIDTH), builder.and_(high, _UPPER))

    return types.uint32(types.float32, types.float32), code


@intrinsic
def pair_rows(context, x, start, columns, out, out_start, panel):
    """Round two rows to pairs of bfloat16, one row's number in the lower half of each.

    Parameters
    ----------
    x : ndarray of float32
        Two rows of ``columns`` numbers without gaps, from element ``start`` on.
    columns : int
        A multiple of SIDE.
    out : ndarray of uint32
        Receives SIDE pairs from element ``out_start`` on, the next ``panel`` elements further, and
        so on.
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        x, start, columns, out, out_start, panel = args
        code, kinds = (context, builder), signature.args
        first = v.Row(code, kinds[0], x, start)
        second, target = first.below(columns), v.Row(code, kinds[3], out, out_start)
        tie, width, upper = (v.integers(each.constant) for each in (_TIE, _WIDTH, _UPPER))

        def write(i: Any, place: Any) -> Any:
            low, high = (
                builder.add(builder.bitcast(row.load(i), v.INTS), tie) for row in (first, second)
            )
            pairs = builder.or_(builder.lshr(low, width), builder.and_(high, upper))
            target.store(pairs, place)
            return builder.add(place, panel)

        v.loop(builder, (columns, v.LANES), ir.Constant(v.INT, 0), write)
        return context.get_dummy_value()

    i = types.intp
    return types.void(x, i, i, out, i, i), code


@intrinsic
def joined(context, first, second):
    """Join two bfloat16, as uint16, to a pair, as uint32 with the first in its lower half."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        low, high = (builder.zext(each, _BITS) for each in args)
        return builder.or_(low, builder.shl(high, _WIDTH))

    return types.uint32(types.uint16, types.uint16), code


def _with_tie(builder: ir.IRBuilder, x: Any) -> Any:
    return builder.add(builder.bitcast(x, _BITS), _TIE)


@njit(nogil=True, cache=True)
def pack(weight, first, last, panels):
    """Round rows of a weight and cut them into panels ``first`` to ``last``.

    Parameters
    ----------
    weight : ndarray of shape (out, in), float32
        ``out`` is a multiple of SIDE, ``in`` of STEP.
    first, last : int
        Which panels.
    panels : ndarray of shape (out / SIDE, in / PAIR, SIDE), uint32
        Receives them.
    """
    pairs = weight.shape[1] // PAIR
    for panel in range(first, last):
        # By squares, so that both sides go through the caches line by line.
        for start in range(0, pairs, SIDE):
            for column in range(SIDE):
                row = weight[panel * SIDE + column]
                for step in range(start, start + SIDE):
                    panels[panel, step, column] = pair(row[PAIR * step], row[PAIR * step + 1])


def in_panels(matrix: np.ndarray, rows: int, depth: int) -> np.ndarray:
    """Round small matrices and cut them into panels, filled up with zeros.

    Parameters
    ----------
    matrix : ndarray of shape (count, out, in), float32
        Transposed, as a weight is: each row is a column of the product's right matrix.
    rows, depth : int
        ``out`` and ``in`` with the zeros; multiples of SIDE and STEP.

    Returns
    -------
    ndarray of shape (count, rows / SIDE, depth / PAIR, SIDE), uint32
    """
    count, out, size = matrix.shape
    filled = np.zeros((count * rows, depth), np.float32)
    filled.reshape(count, rows, depth)[:, :out, :size] = matrix
    panels = aligned((count * rows // SIDE, depth // PAIR, SIDE), np.uint32)
    pack(filled, 0, len(panels), panels)
    return panels.reshape(count, rows // SIDE, depth // PAIR, SIDE)
