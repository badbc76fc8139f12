"""A block of a product by AMX, as its instructions.

A tile register holds 16 rows of 64 bytes, a line of the caches each. Two tiles of rows and two of
columns give four tiles of sums: as many products as loads of 16 by 32 numbers, which is what the
processor can do at once (Intel 64 and IA-32 optimization manual, 20.5).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from sam_plugins.modeling.kernels._memory import LINE
from sam_plugins.modeling.kernels.bfloat16._operands import BYTE, INT, SIDE, Operands

_SUMS, _LEFT, _RIGHT = (0, 1, 2, 3), (4, 5), (6, 7)
# Palette 1: eight tiles with bytes to a row (16 bits each, from byte 16) and rows (from byte 48).
_CONFIGURATION = bytes([1, *[0] * 15, *[LINE, 0] * 8, *[0] * 16, *[SIDE] * 8, *[0] * 8])


def configure(builder: ir.IRBuilder) -> None:
    """Write the code that takes the tiles into use."""
    content = ir.Constant(ir.ArrayType(BYTE, len(_CONFIGURATION)), bytearray(_CONFIGURATION))
    place = cgutils.global_constant(builder, "tile_configuration", content)
    _call(builder, "ldtilecfg", builder.bitcast(place, ir.PointerType(BYTE)))


def release(builder: ir.IRBuilder) -> None:
    """Write the code that gives the tiles back."""
    _call(builder, "tilerelease")


def write(block: Operands) -> None:
    """Write the code of a block of a product."""
    builder = block.builder
    rows = [block.further(each, block.out_row, SIDE * row) for row in (0, 1) for each in block.out]
    for tile, place in zip(_SUMS, rows, strict=True):
        if block.accumulate:
            _call(builder, "tileloadd64", _number(tile), place, block.out_row)
        else:
            _call(builder, "tilezero", _number(tile))
    _sum(block)
    for tile, place in zip(_SUMS, rows, strict=True):
        _call(builder, "tilestored64", _number(tile), place, block.out_row)


def _sum(block: Operands) -> None:
    """Write the loop along the common side."""
    builder, width = block.builder, ir.Constant(INT, LINE)
    lines = [block.further(block.left, block.left_row, SIDE * row) for row in (0, 1)]
    with cgutils.for_range(builder, block.steps) as loop:
        along = builder.mul(loop.index, block.left_step)
        down = builder.mul(loop.index, ir.Constant(INT, SIDE * LINE))
        for tile, place in zip(_LEFT, lines, strict=True):
            line = builder.gep(place, [along])
            _call(builder, "tileloadd64", _number(tile), line, block.left_row)
        for tile, place in zip(_RIGHT, block.right, strict=True):
            _call(builder, "tileloadd64", _number(tile), builder.gep(place, [down]), width)
        for tile in _SUMS:
            pair = _number(_LEFT[tile // 2]), _number(_RIGHT[tile % 2])
            _call(builder, "tdpbf16ps", _number(tile), *pair)


def _number(tile: int) -> Any:
    return ir.Constant(BYTE, tile)


def _call(builder: ir.IRBuilder, name: str, *args: Any) -> None:
    kind = ir.FunctionType(ir.VoidType(), [each.type for each in args])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
    builder.call(function, args)
