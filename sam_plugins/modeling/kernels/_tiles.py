"""The product of two small matrices whose result stays in the registers, as vector instructions.

LLVM makes no such code from loops, so that this writes its instructions: for each step along the
common side, two vectors of ``b`` times one number of each row of ``a``. Of AVX2's 16 registers
twelve hold sums, of AVX-512's 32 twice as many: enough that no multiplication waits for the one
before (the scheme of Goto and van de Geijn, doi:10.1145/1356052.1356053).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sam_plugins.modeling.kernels._vectors import FLOATS, LANES, in_all_lanes

# Rows of a tile, vectors in each, and columns.
ROWS, VECTORS = (12, 2) if LANES == 16 else (6, 2)
COLUMNS = VECTORS * LANES

_INT = ir.IntType(64)


@intrinsic
def multiply_tile(context, a, a_start, a_row, b, b_start, b_step, out, start, row, depth):
    """Set a tile: ``out = a @ b``.

    Parameters
    ----------
    a : ndarray of float32
        Left matrix, (ROWS, depth): number (r, i) is element ``a_start + r * a_row + i``.
    b : ndarray of float32
        Right matrix, (depth, COLUMNS): its row i begins at element ``b_start + i * b_step``.
    out : ndarray of float32
        Product, (ROWS, COLUMNS): its row r begins at element ``start + r * row``.
    depth : int
        Length of the common side, 1 or more.

    Notes
    -----
    Nothing is checked. Arrays are contiguous, of any shape.
    """
    return _signature(a, b, out), _tile_code(accumulate=False)


@intrinsic
def add_tile(context, a, a_start, a_row, b, b_start, b_step, out, start, row, depth):
    """Add to a tile: ``out += a @ b``; see `multiply_tile`."""
    return _signature(a, b, out), _tile_code(accumulate=True)


def _signature(a: Any, b: Any, out: Any) -> Any:
    i = types.intp
    return types.void(a, i, i, b, i, i, out, i, i, i)


def _tile_code(*, accumulate: bool) -> Any:
    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        a, a_start, a_row, b, b_start, b_step, out, start, row, depth = args
        kinds = signature.args
        a_rows = _rows(builder, _at(context, builder, kinds[0], a, a_start), a_row)
        b_first = _at(context, builder, kinds[3], b, b_start)
        out_rows = _rows(builder, _at(context, builder, kinds[6], out, start), row)
        if accumulate:
            begin = [[_load(builder, each, v) for v in range(VECTORS)] for each in out_rows]
        else:
            begin = [[ir.Constant(FLOATS, [0.0] * LANES)] * VECTORS for _ in out_rows]
        sums = _sums(builder, a_rows, (b_first, b_step), begin, depth)
        for each, vectors in zip(out_rows, sums, strict=True):
            for number, vector in enumerate(vectors):
                builder.store(vector, _vector_at(builder, each, number), align=4)
        return context.get_dummy_value()

    return code


def _sums(builder: ir.IRBuilder, a_rows: Any, b: Any, begin: Any, depth: Any) -> Any:
    """Write the loop along the common side; gives its (ROWS, VECTORS) sums."""
    b_first, b_step = b
    multiply_add = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(FLOATS, [FLOATS] * 3), f"llvm.fma.v{LANES}f32"
    )
    before = builder.block
    loop, after = (builder.append_basic_block(name) for name in ("tile", "tile.end"))
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(_INT)
    sums = [[builder.phi(FLOATS) for _ in range(VECTORS)] for _ in a_rows]
    b_row = builder.gep(b_first, [builder.mul(step, b_step)])
    b_vectors = [_load(builder, b_row, number) for number in range(VECTORS)]
    results = []
    for row, of_row in zip(a_rows, sums, strict=True):
        value = in_all_lanes(builder, builder.load(builder.gep(row, [step])))
        pairs = zip(b_vectors, of_row, strict=True)
        results.append([builder.call(multiply_add, [value, each, total]) for each, total in pairs])
    following = builder.add(step, ir.Constant(_INT, 1))
    step.add_incoming(ir.Constant(_INT, 0), before)
    step.add_incoming(following, loop)
    for of_row, first, last in zip(sums, begin, results, strict=True):
        for total, at_first, at_last in zip(of_row, first, last, strict=True):
            total.add_incoming(at_first, before)
            total.add_incoming(at_last, loop)
    builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
    builder.position_at_end(after)
    return results


def _at(context: Any, builder: ir.IRBuilder, kind: Any, array: Any, start: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [start])


def _rows(builder: ir.IRBuilder, first: Any, distance: Any) -> list[Any]:
    starts = [builder.mul(distance, ir.Constant(_INT, number)) for number in range(ROWS)]
    return [builder.gep(first, [start]) for start in starts]


def _vector_at(builder: ir.IRBuilder, row: Any, number: int) -> Any:
    first = builder.gep(row, [ir.Constant(_INT, number * LANES)])
    return builder.bitcast(first, FLOATS.as_pointer())


def _load(builder: ir.IRBuilder, row: Any, number: int) -> Any:
    return builder.load(_vector_at(builder, row, number), align=4)
