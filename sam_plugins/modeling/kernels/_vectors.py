"""Vectors of numbers, as instructions: for loops that LLVM makes no such vectors of.

It makes none of a maximum, and on Intel's processors prefers vectors half as long as they can be.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils

# Numbers in a vector: of AVX-512, or of AVX2.
LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8

INT = ir.IntType(64)
_LANE, _FLOAT, _HALF = ir.IntType(32), ir.FloatType(), ir.IntType(16)
FLOATS, INTS, HALVES = (ir.VectorType(kind, LANES) for kind in (_FLOAT, _LANE, _HALF))


class Row:
    """Elements of an array from some place on, in vectors.

    An array of uint16 is one of bfloat16: its numbers are float32 as vectors.

    Parameters
    ----------
    code : tuple
        Context and builder of the code that is written.
    kind : type
        Of the array.
    array, start : value
        The array and its first element.
    """

    def __init__(self, code: tuple[Any, Any], kind: Any, array: Any, start: Any) -> None:
        context, self.builder = code
        data = context.make_array(kind)(context, self.builder, array).data
        self.first = self.builder.gep(data, [start])
        self.is_half = kind.dtype == types.uint16

    def load(self, start: Any) -> Any:
        """Give the vector of float32 that begins at an element."""
        if not self.is_half:
            return self.builder.load(self._at(start, FLOATS), align=4)
        bits = self.builder.zext(self.builder.load(self._at(start, HALVES), align=2), INTS)
        return self.builder.bitcast(self.builder.shl(bits, integers(16)), FLOATS)

    def store(self, vector: Any, start: Any) -> None:
        """Write a vector down so that it begins at an element."""
        if self.is_half and vector.type == FLOATS:
            vector = rounded(self.builder, vector)
        self.builder.store(vector, self._at(start, vector.type), align=2)

    def repeated(self, place: Any) -> Any:
        """Give a vector of one number."""
        number = self.builder.load(self.builder.gep(self.first, [place]))
        return in_all_lanes(self.builder, number)

    def below(self, distance: Any) -> Row:
        """Give the elements from some place further on."""
        row = copy(self)
        row.first = self.builder.gep(self.first, [distance])
        return row

    def _at(self, start: Any, kind: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(self.first, [start]), kind.as_pointer())


def loop(
    builder: ir.IRBuilder, steps: tuple[Any, int], first: Any, body: Callable[[Any, Any], Any]
) -> Any:
    """Write a loop of one round or more.

    Parameters
    ----------
    builder : ir.IRBuilder
    steps : tuple
        Where a number that begins with 0 ends, and what is added to it in each round.
    first : value
        What is handed on from round to round.
    body : callable
        Takes the number and what is handed on, and gives the next.

    Returns
    -------
    value
        What the last round gave.
    """
    end, step = steps
    before = builder.block
    inside, after = (builder.append_basic_block(name) for name in ("lanes", "lanes.end"))
    builder.branch(inside)
    builder.position_at_end(inside)
    number, value = builder.phi(INT), builder.phi(first.type)
    result = body(number, value)
    following = builder.add(number, ir.Constant(INT, step))
    for phi, at_first, at_last in (
        (number, ir.Constant(INT, 0), following),
        (value, first, result),
    ):
        phi.add_incoming(at_first, before)
        phi.add_incoming(at_last, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, end), inside, after)
    builder.position_at_end(after)
    return result


def polynomial(builder: ir.IRBuilder, x: Any, coefficients: tuple[float, ...]) -> Any:
    """Sum of powers of x, from the zeroth on."""
    series = constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        series = fma(builder, series, x, constant(coefficient))
    return series


def rounded(builder: ir.IRBuilder, x: Any) -> Any:
    """Round to bfloat16, as `bfloat16._numbers.rounded`."""
    bits = builder.add(builder.bitcast(x, INTS), integers(1 << 15))
    return builder.trunc(builder.lshr(bits, integers(16)), HALVES)


def larger(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    """The larger of two numbers in each lane."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def smaller(builder: ir.IRBuilder, a: Any, b: Any) -> Any:
    """The smaller of two numbers in each lane."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


def fma(builder: ir.IRBuilder, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once."""
    return _call(builder, f"llvm.fma.v{LANES}f32", FLOATS, a, b, c)


def largest(builder: ir.IRBuilder, vector: Any) -> Any:
    """The largest of all lanes."""
    return _call(builder, f"llvm.vector.reduce.fmax.v{LANES}f32", _FLOAT, vector)


def total(builder: ir.IRBuilder, vector: Any) -> Any:
    """The sum of all lanes."""
    return _call(
        builder, f"llvm.vector.reduce.fadd.v{LANES}f32", _FLOAT, ir.Constant(_FLOAT, 0.0), vector
    )


def single(builder: ir.IRBuilder, value: Any) -> Any:
    """A float64 as a float32."""
    return builder.fptrunc(value, _FLOAT)


def constant(value: Any) -> Any:
    """A float32 in all lanes."""
    return ir.Constant(FLOATS, [float(value)] * LANES)


def integers(value: int) -> Any:
    """An integer in all lanes."""
    return ir.Constant(INTS, [value] * LANES)


def in_order(builder: ir.IRBuilder, vector: Any, places: list[int]) -> Any:
    """Put the lanes of a vector into another order: each takes what is at its place."""
    order = ir.Constant(INTS, places)
    return builder.shuffle_vector(vector, vector, order)


def in_all_lanes(builder: ir.IRBuilder, value: Any) -> Any:
    """A number in all lanes."""
    nothing = ir.Constant(FLOATS, ir.Undefined)
    alone = builder.insert_element(nothing, value, ir.Constant(_LANE, 0))
    return builder.shuffle_vector(alone, nothing, integers(0))


def _call(builder: ir.IRBuilder, name: str, result: Any, *args: Any) -> Any:
    kind = ir.FunctionType(result, [each.type for each in args])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    # Of all lanes, in any order; there is no NaN that a maximum would have to look for.
    return builder.call(function, args, fastmath=("reassoc", "nnan") if "reduce" in name else ())
