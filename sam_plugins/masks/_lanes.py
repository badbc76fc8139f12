"""Vectors of pixels, as instructions: for what LLVM makes no vectors of by itself.

Weights and thresholds are applied lane by lane as in plain code, so that results are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic


def _has(feature: str) -> bool:
    """Tell whether Numba compiles for a processor with a feature: for this one, if none is told."""
    if config.CPU_NAME is None and config.CPU_FEATURES is None:
        return bool(binding.get_host_cpu_features().get(feature))
    return f"+{feature}" in (config.CPU_FEATURES or "").split(",")


# Positions that are interpolated at once, in AVX-512 or in AVX2, and that are decided at once.
LANES, BLOCK = 16 if _has("avx512f") else 8, 16

# What gives each lane of a vector what is at its place: LLVM does not find it by itself.
_IN_ORDER = {16: "llvm.x86.avx512.permvar.sf.512", 8: "llvm.x86.avx2.permps"}[LANES]

_BYTE, _BITS, _LANE, _WORD = (ir.IntType(bits) for bits in (8, LANES, 32, 64))
_FLOATS, _PLACES = (ir.VectorType(kind, LANES) for kind in (ir.FloatType(), _LANE))


@intrinsic
def stretch(_typing, line, base, place, step, weight, block, out):
    """Interpolate along a line to the positions of a block.

    Each lies between two neighbours of the line; of `LANES` positions, the first neighbours are at
    most `LANES` - 1 from one another.

    Parameters
    ----------
    line : (n,) float32
    base : (positions / LANES,) int64
        First neighbour of the first of `LANES` positions.
    place : (positions,) int32
        How far each position's first neighbour is behind that.
    step : int64
        How far the second neighbours are behind the first.
    weight : (positions,) float32
        Of the second.
    block : int64
    out : (positions,) float32
    """

    def write(context, builder, signature, args):
        line, *rest = _pointers(context, builder, signature, args)
        _stretch(builder, lambda start: _vector(builder, line, start, _FLOATS), *rest)
        return context.get_dummy_value()

    return types.none(line, base, place, step, weight, block, out), write


@intrinsic
def stretch_between(_typing, a, b, share, base, place, step, weight, block, out):
    """Interpolate between two lines, then along them as `stretch` does.

    Parameters
    ----------
    a, b : (n,) float32
    share : float32
        Weight of ``b``.
    base, place, step, weight, block, out
        See `stretch`.
    """

    def write(context, builder, signature, args):
        a, b, share, *rest = _pointers(context, builder, signature, args)
        shares = _repeated(builder, share)

        def between(start):
            lines = (_vector(builder, each, start, _FLOATS) for each in (a, b))
            return _between(builder, *lines, shares)

        _stretch(builder, between, *rest)
        return context.get_dummy_value()

    return types.none(a, b, share, base, place, step, weight, block, out), write


@intrinsic
def cut(_typing, values, block, threshold, bits, place):
    """Set the bits of a block to where values are above a threshold.

    Parameters
    ----------
    values : (positions,) float32
    block : int64
    threshold : float32
    bits : (n,) uint64
        The first position's is the lowest bit.
    place : int64
        Which block of the bits is set.
    """

    def write(context, builder, signature, args):
        values, block, threshold, bits, place = _pointers(context, builder, signature, args)
        limits, bits = _repeated(builder, threshold), builder.bitcast(bits, _BITS.as_pointer())
        for (_, start), (number, _) in zip(
            _parts(builder, block), _parts(builder, place), strict=True
        ):
            above = builder.fcmp_ordered(">", _vector(builder, values, start, _FLOATS), limits)
            builder.store(builder.bitcast(above, _BITS), builder.gep(bits, [number]))
        return context.get_dummy_value()

    return types.none(values, block, threshold, bits, place), write


@intrinsic
def blend_above(_typing, a, b, share, threshold, block, pixels):
    """Tell where what lies between two lines is above a threshold, at the positions of a block.

    Parameters
    ----------
    a, b : (n,) float32
    share : float32
        Weight of ``b``.
    threshold : float32
    block : int64
    pixels : (n,) bool
    """

    def write(context, builder, signature, args):
        a, b, share, threshold, block, pixels = _pointers(context, builder, signature, args)
        shares, limits = _repeated(builder, share), _repeated(builder, threshold)
        for _, start in _parts(builder, block):
            lines = (_vector(builder, each, start, _FLOATS) for each in (a, b))
            above = builder.fcmp_ordered(">", _between(builder, *lines, shares), limits)
            found = builder.zext(above, ir.VectorType(_BYTE, LANES))
            builder.store(found, _pointer(builder, pixels, start, found.type), align=1)
        return context.get_dummy_value()

    return types.none(a, b, share, threshold, block, pixels), write


@intrinsic
def ones(_typing, word):
    """Count the bits that are set in a word of 64."""

    def write(_context, builder, _signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), write


@intrinsic
def lowest(_typing, word):
    """Number of the lowest bit that is set in a word of 64; 64 if none is."""

    def write(_context, builder, _signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), write


@intrinsic
def bits_needed(_typing, word):
    """Number of the highest bit that is set in a word of 64, counted from 1; 0 if none is."""

    def write(_context, builder, _signature, args):
        before = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(_WORD(64), before)

    return types.int64(types.uint64), write


def _pointers(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """Arguments, with a pointer to the first element in place of each array."""
    return [
        context.make_array(kind)(context, builder, value).data
        if isinstance(kind, types.Array)
        else value
        for kind, value in zip(signature.args, args, strict=True)
    ]


def _parts(builder: Any, block: Any) -> Iterator[tuple[Any, Any]]:
    """Number and first position of each `LANES` positions of a block."""
    parts = BLOCK // LANES
    for part in range(parts):
        number = builder.add(builder.mul(block, _WORD(parts)), _WORD(part))
        yield number, builder.mul(number, _WORD(LANES))


def _stretch(
    builder: Any,
    line: Callable[[Any], Any],
    base: Any,
    place: Any,
    step: Any,
    weight: Any,
    block: Any,
    out: Any,
) -> None:
    """Write `stretch` of a line that is given as vectors from some place on."""
    for number, start in _parts(builder, block):
        first = builder.load(builder.gep(base, [number]))
        places = _vector(builder, place, start, _PLACES)
        lower, upper = (
            _in_order(builder, line(at), places) for at in (first, builder.add(first, step))
        )
        value = _between(builder, lower, upper, _vector(builder, weight, start, _FLOATS))
        builder.store(value, _pointer(builder, out, start, _FLOATS), align=4)


def _between(builder: Any, a: Any, b: Any, weight: Any) -> Any:
    other = builder.fsub(ir.Constant(_FLOATS, [1.0] * LANES), weight)
    return builder.fadd(builder.fmul(other, a), builder.fmul(weight, b))


def _repeated(builder: Any, number: Any) -> Any:
    alone = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), number, _LANE(0))
    return builder.shuffle_vector(alone, alone, ir.Constant(_PLACES, [0] * LANES))


def _pointer(builder: Any, row: Any, start: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(row, [start]), kind.as_pointer())


def _vector(builder: Any, row: Any, start: Any, kind: Any) -> Any:
    return builder.load(_pointer(builder, row, start, kind), align=4)


def _in_order(builder: Any, vector: Any, places: Any) -> Any:
    """Give each lane what is at its place."""
    if _has("avx2"):
        kind = ir.FunctionType(_FLOATS, [_FLOATS, _PLACES])
        function = cgutils.get_or_insert_function(builder.module, kind, _IN_ORDER)
        return builder.call(function, [vector, places])
    result = ir.Constant(_FLOATS, ir.Undefined)
    for lane in range(LANES):
        place = builder.extract_element(places, _LANE(lane))
        number = builder.extract_element(vector, place)
        result = builder.insert_element(result, number, _LANE(lane))
    return result
