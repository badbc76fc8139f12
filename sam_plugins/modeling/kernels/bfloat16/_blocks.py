"""Products of bfloat16 matrices by AMX, as its instructions.

A tile register holds 16 rows of 64 bytes, a line of the caches each. Two tiles of rows and two of
columns give four tiles of sums: as many products as loads of 16 by 32 numbers, which is what the
processor can do at once (Intel 64 and IA-32 optimization manual, 20.5).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sam_plugins.modeling.kernels._memory import LINE

# Rows and columns of a tile of sums, and numbers along the common side in one step.
SIDE, STEP = 16, 32
# Rows and columns of a block: two tiles each.
BLOCK = 2 * SIDE
# Numbers of two bytes to a bfloat16 pair, in which matrices on the right are stored.
PAIR = 2

_INT, _BYTE = ir.IntType(64), ir.IntType(8)
_POINTER = ir.PointerType(_BYTE)
_SUMS, _LEFT, _RIGHT = (0, 1, 2, 3), (4, 5), (6, 7)
# Palette 1: eight tiles with bytes to a row (16 bits each, from byte 16) and rows (from byte 48).
_CONFIGURATION = bytes([1, *[0] * 15, *[LINE, 0] * 8, *[0] * 16, *[SIDE] * 8, *[0] * 8])


@intrinsic
def open_tiles(context):
    """Take the processor's tiles into use; `close_tiles` must follow in the same thread."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        content = ir.Constant(ir.ArrayType(_BYTE, len(_CONFIGURATION)), bytearray(_CONFIGURATION))
        place = cgutils.global_constant(builder, "tile_configuration", content)
        _call(builder, "ldtilecfg", builder.bitcast(place, _POINTER))
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def close_tiles(context):
    """Give the tiles back: whoever uses them next configures them anew."""

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        _call(builder, "tilerelease")
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
        left = [
            _at(context, builder, kinds[0], a, each) for each in _below(builder, a_start, a_row)
        ]
        right = [
            _at(context, builder, kinds[4], b, each)
            for each in (b_start, builder.add(b_start, b_panel))
        ]
        places = [
            _at(context, builder, kinds[7], out, builder.add(each, offset))
            for each in _below(builder, start, row)
            for offset in (ir.Constant(_INT, 0), side)
        ]
        pitch = _times(builder, row, 4)
        for tile, place in zip(_SUMS, places, strict=True):
            if accumulate:
                _call(builder, "tileloadd64", _number(tile), place, pitch)
            else:
                _call(builder, "tilezero", _number(tile))
        of_left = left, _times(builder, a_row, 2), _times(builder, a_step, 2)
        _sum(builder, of_left, right, steps)
        for tile, place in zip(_SUMS, places, strict=True):
            _call(builder, "tilestored64", _number(tile), place, pitch)
        return context.get_dummy_value()

    return code


def _sum(builder: ir.IRBuilder, a: Any, panels: Any, steps: Any) -> None:
    """Write the loop along the common side."""
    (lines, line, distance), width = a, ir.Constant(_INT, LINE)
    before = builder.block
    loop, after = (builder.append_basic_block(name) for name in ("tile", "tile.end"))
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(_INT)
    along = builder.mul(step, distance)
    down = builder.mul(step, ir.Constant(_INT, SIDE * LINE))
    for tile, place in zip(_LEFT, lines, strict=True):
        _call(builder, "tileloadd64", _number(tile), builder.gep(place, [along]), line)
    for tile, place in zip(_RIGHT, panels, strict=True):
        _call(builder, "tileloadd64", _number(tile), builder.gep(place, [down]), width)
    for tile in _SUMS:
        pair = _number(_LEFT[tile // 2]), _number(_RIGHT[tile % 2])
        _call(builder, "tdpbf16ps", _number(tile), *pair)
    following = builder.add(step, ir.Constant(_INT, 1))
    step.add_incoming(ir.Constant(_INT, 0), before)
    step.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, after)
    builder.position_at_end(after)


def _below(builder: ir.IRBuilder, start: Any, row: Any) -> tuple[Any, Any]:
    """Elements where two tiles begin, one below the other."""
    return start, builder.add(start, _times(builder, row, SIDE))


def _times(builder: ir.IRBuilder, value: Any, number: int) -> Any:
    return builder.mul(value, ir.Constant(_INT, number))


def _at(context: Any, builder: ir.IRBuilder, kind: Any, array: Any, start: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [start]), _POINTER)


def _number(tile: int) -> Any:
    return ir.Constant(_BYTE, tile)


def _call(builder: ir.IRBuilder, name: str, *args: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [each.type for each in args])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
    builder.call(function, args)
