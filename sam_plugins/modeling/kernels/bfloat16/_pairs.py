"""A block of a product by vectors of pairs (AVX512-BF16), as its instructions.

An instruction multiplies 16 pairs by one pair and adds both products to 16 sums. For each pair of
a few rows, two vectors of the right matrix are loaded once; the sums stay in registers.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir

from sam_plugins.modeling.kernels._vectors import in_all_lanes
from sam_plugins.modeling.kernels.bfloat16._operands import BLOCK, INT, PAIR, SIDE, STEP, Operands

# Rows whose sums are in registers at once: 16 vectors of 32 keep the multiplier busy, whose result
# takes up to six cycles.
_ROWS = 8
_FLOAT = ir.FloatType()
# Sums, or pairs, whose bits pass as numbers.
_VECTOR = ir.VectorType(_FLOAT, SIDE)
_BYTES = 4  # of a sum or a pair

# The instruction is written out: LLVM's own name for it takes other types in each version.
binding.initialize_native_asmparser()
_MULTIPLY_ADD = ir.InlineAsm(
    ir.FunctionType(_VECTOR, [_VECTOR] * 3), "vdpbf16ps $3, $2, $0", "=v,0,v,v"
)


def write(block: Operands) -> None:
    """Write the code of a block of a product."""
    for first in range(0, BLOCK, _ROWS):
        _write_rows(block, range(first, first + _ROWS))


def _write_rows(block: Operands, rows: range) -> None:
    """Write the code of some rows: a loop along the common side, by pairs."""
    builder = block.builder
    left = [block.further(block.left, block.left_row, row) for row in rows]
    out = [
        builder.bitcast(block.further(half, block.out_row, row), _VECTOR.as_pointer())
        for row in rows
        for half in block.out
    ]
    before = builder.block
    begin = [_first(block, place) for place in out]
    loop, after = (builder.append_basic_block(name) for name in ("pairs", "pairs.end"))
    builder.branch(loop)
    builder.position_at_end(loop)
    number = builder.phi(INT)
    sums = [builder.phi(_VECTOR) for _ in out]
    results = _add_pair(block, number, left, sums)
    following = builder.add(number, ir.Constant(INT, 1))
    number.add_incoming(ir.Constant(INT, 0), before)
    number.add_incoming(following, loop)
    for total, first, last in zip(sums, begin, results, strict=True):
        total.add_incoming(first, before)
        total.add_incoming(last, loop)
    pairs = block.times(block.steps, STEP // PAIR)
    builder.cbranch(builder.icmp_signed("<", following, pairs), loop, after)
    builder.position_at_end(after)
    for place, total in zip(out, results, strict=True):
        builder.store(total, place, align=4)


def _first(block: Operands, place: Any) -> Any:
    if block.accumulate:
        return block.builder.load(place, align=4)
    return ir.Constant(_VECTOR, [0.0] * SIDE)


def _add_pair(block: Operands, number: Any, left: list[Any], sums: list[Any]) -> list[Any]:
    """Multiply one pair of each row by its line of both panels, and add to the rows' sums."""
    builder, in_step = block.builder, ir.Constant(INT, STEP // PAIR)
    inside = block.times(builder.urem(number, in_step), _BYTES)
    along = builder.add(builder.mul(builder.udiv(number, in_step), block.left_step), inside)
    down = block.times(number, SIDE * _BYTES)
    lines = [_load(builder, builder.gep(panel, [down]), _VECTOR) for panel in block.right]
    results = []
    for index, row in enumerate(left):
        pair = in_all_lanes(builder, _load(builder, builder.gep(row, [along]), _FLOAT))
        for half, line in enumerate(lines):
            total = sums[len(lines) * index + half]
            results.append(builder.call(_MULTIPLY_ADD, [total, pair, line]))
    return results


def _load(builder: ir.IRBuilder, place: Any, kind: Any) -> Any:
    return builder.load(builder.bitcast(place, kind.as_pointer()), align=2)
