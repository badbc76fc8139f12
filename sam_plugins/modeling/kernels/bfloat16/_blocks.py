"""Products of bfloat16 matrices, a block at a time: by tiles, or by vectors of pairs."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels.bfloat16 import _pairs, _tiles
from sam_plugins.modeling.kernels.bfloat16._operands import (
    BLOCK,
    BYTE,
    PAIR,
    SIDE,
    STEP,
    Operands,
)

__all__ = [
    "BLOCK",
    "PAIR",
    "SIDE",
    "STEP",
    "add_block",
    "close_tiles",
    "multiply_block",
    "open_tiles",
]

_BY_TILES = processor.has_tiles()


@intrinsic
def open_tiles(context):
    """Take the processor's tiles into use; `close_tiles` must follow in the same thread."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        if _BY_TILES:
            _tiles.configure(builder)
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def close_tiles(context):
    """Give the tiles back: whoever uses them next configures them anew."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        if _BY_TILES:
            _tiles.release(builder)
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def multiply_block(
    context, a, a_start, a_row, a_step, b, b_start, b_panel, out, start, row, side, steps
):
    """Set a block: ``out = a @ b``.

    Parameters
    ----------
    a : ndarray of uint16
        Left matrix of bfloat16, (BLOCK, steps * STEP): STEP numbers of row r begin at element
        ``a_start + r * a_row``, the next at ``a_step`` further on, and so on.
    b : ndarray of uint32
        Right matrix, (steps * STEP, BLOCK), in two panels that begin at element ``b_start`` and
        ``b_start + b_panel``. A panel is (steps * STEP / PAIR, SIDE): pairs of numbers that follow
        each other down a column, the first in the lower half.
    out : ndarray of float32
        Product, (BLOCK, BLOCK): the first SIDE numbers of row r begin at element
        ``start + r * row``, the others ``side`` elements further on.
    steps : int
        Length of the common side, in STEPs; 1 or more.

    Notes
    -----
    Nothing is checked. Arrays are contiguous, of any shape.
    """
    return _signature(a, b, out), _block_code(accumulate=False)


@intrinsic
def add_block(
    context, a, a_start, a_row, a_step, b, b_start, b_panel, out, start, row, side, steps
):
    """Add to a block: ``out += a @ b``; see `multiply_block`."""
    return _signature(a, b, out), _block_code(accumulate=True)


def _signature(a: Any, b: Any, out: Any) -> Any:
    i = types.intp
    return types.void(a, i, i, i, b, i, i, out, i, i, i, i)


def _block_code(*, accumulate: bool) -> Any:
    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        a, a_start, a_row, a_step, b, b_start, b_panel, out, start, row, side, steps = args
        kinds = signature.args

        def place(number: int, array: Any, *elements: Any) -> Any:
            data = context.make_array(kinds[number])(context, builder, array).data
            for each in elements:
                data = builder.gep(data, [each])
            return builder.bitcast(data, ir.PointerType(BYTE))

        def size(elements: Any, bytes_each: int) -> Any:
            return builder.mul(elements, ir.Constant(elements.type, bytes_each))

        block = Operands(
            builder,
            left=place(0, a, a_start),
            left_row=size(a_row, 2),
            left_step=size(a_step, 2),
            right=(place(4, b, b_start), place(4, b, b_start, b_panel)),
            out=(place(7, out, start), place(7, out, start, side)),
            out_row=size(row, 4),
            steps=steps,
            accumulate=accumulate,
        )
        (_tiles if _BY_TILES else _pairs).write(block)
        return context.get_dummy_value()

    return code
