"""The product of two small matrices whose result stays in the registers, as vector instructions.

LLVM makes no such code from loops, so that this writes its instructions: for each step along the
common side, two vectors of ``b`` times one number of each of six rows of ``a``. Twelve vectors of
sums are as many as AVX2 has room for, and enough that no multiplication waits for the one before
(the scheme of Goto and van de Geijn, doi:10.1145/1356052.1356053).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Numbers in a vector of AVX2; rows of a tile, vectors in each and columns.
LANES = 8
ROWS, VECTORS = 6, 2
COLUMNS = VECTORS * LANES

_INT, _LANE, _FLOAT = ir.IntType(64), ir.IntType(32), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)


@intrinsic
def multiply_tile(context, a, a_start, a_row, a_step, b, b_start, b_step, out, start, row, depth):
    """Set a tile: ``out = a @ b``.

    Parameters
    ----------
    a : ndarray of float32
        Left matrix, (ROWS, depth): number (r, i) is element ``a_start + r * a_row + i * a_step``.
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
def add_tile(context, a, a_start, a_row, a_step, b, b_start, b_step, out, start, row, depth):
    """Add to a tile: ``out += a @ b``; see `multiply_tile`."""
    return _signature(a, b, out), _tile_code(accumulate=True)


@intrinsic
def scaled_by_bits(context, value, exponent):
    """Multiply by two to the power of the integer in the lowest bits of another float32.

    Written so that loops with it are made of vector instructions.
    """

    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        value, exponent = (builder.bitcast(each, _LANE) for each in args)
        scaled = builder.add(value, builder.shl(exponent, ir.Constant(_LANE, MANTISSA_BITS)))
        return builder.bitcast(scaled, _FLOAT)

    return types.float32(types.float32, types.float32), code


# Of a float32 (IEEE 754): above them lies the exponent.
MANTISSA_BITS = 23


def _signature(a: Any, b: Any, out: Any) -> Any:
    i = types.intp
    return types.void(a, i, i, i, b, i, i, out, i, i, i)


def _tile_code(*, accumulate: bool) -> Any:
    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        a, a_start, a_row, a_step, b, b_start, b_step, out, start, row, depth = args
        kinds = signature.args
        a_rows = _rows(builder, _at(context, builder, kinds[0], a, a_start), a_row)
        b_first = _at(context, builder, kinds[4], b, b_start)
        out_rows = _rows(builder, _at(context, builder, kinds[7], out, start), row)
        if accumulate:
            begin = [[_load(builder, each, v) for v in range(VECTORS)] for each in out_rows]
        else:
            begin = [[ir.Constant(_VECTOR, [0.0] * LANES)] * VECTORS for _ in out_rows]
        sums = _sums(builder, (a_rows, a_step), (b_first, b_step), begin, depth)
        for each, vectors in zip(out_rows, sums, strict=True):
            for number, vector in enumerate(vectors):
                builder.store(vector, _vector_at(builder, each, number), align=4)
        return context.get_dummy_value()

    return code


def _sums(builder: ir.IRBuilder, a: Any, b: Any, begin: Any, depth: Any) -> Any:
    """Write the loop along the common side; gives its (ROWS, VECTORS) sums."""
    (a_rows, a_step), (b_first, b_step) = a, b
    multiply_add = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fma.v{LANES}f32"
    )
    before = builder.block
    loop, after = (builder.append_basic_block(name) for name in ("tile", "tile.end"))
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(_INT)
    sums = [[builder.phi(_VECTOR) for _ in range(VECTORS)] for _ in a_rows]
    b_row, a_place = builder.gep(b_first, [builder.mul(step, b_step)]), builder.mul(step, a_step)
    b_vectors = [_load(builder, b_row, number) for number in range(VECTORS)]
    results = []
    for row, of_row in zip(a_rows, sums, strict=True):
        value = _in_all_lanes(builder, builder.load(builder.gep(row, [a_place])))
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
    return builder.bitcast(first, _VECTOR.as_pointer())


def _load(builder: ir.IRBuilder, row: Any, number: int) -> Any:
    return builder.load(_vector_at(builder, row, number), align=4)


def _in_all_lanes(builder: ir.IRBuilder, value: Any) -> Any:
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    alone = builder.insert_element(nothing, value, ir.Constant(_LANE, 0))
    first = ir.Constant(ir.VectorType(_LANE, LANES), [0] * LANES)
    return builder.shuffle_vector(alone, nothing, first)
