"""What becomes of a block of sums: a bias is added, perhaps the GELU taken, the result rounded."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sam_plugins.modeling.kernels import _vectors as v
from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK

# erf(x / sqrt(2)) / x for x from 0 to where it is nearly 1, as a polynomial of the square of x,
# scaled to -1 to 1, to 2e-5: least squares at Chebyshev's points, weighed by x. Enough for what is
# rounded to bfloat16.
END_OF_ERF = 4.2
ERF = (
    +3.35711624e-01,
    -1.62969261e-01,
    +1.11655420e-01,
    -7.78594259e-02,
    +4.98514422e-02,
    -2.74750713e-02,
    +1.65041653e-02,
    -1.15523159e-02,
    +4.22514352e-03,
)


@intrinsic
def write_sums(context, sums, start, pitch, bias, bias_start, out, out_start, row):
    """Add a bias to BLOCK rows of sums, and write them down in bfloat16.

    Parameters
    ----------
    sums : ndarray of float32
        LANES of row r begin at element ``start + r * pitch``.
    bias : ndarray of float32
        LANES numbers from element ``bias_start`` on.
    out : ndarray of uint16
        Receives row r from element ``out_start + r * row`` on.
    """
    return _signature(sums, bias, out), _code(lambda builder, x: x)


@intrinsic
def write_gelu(context, sums, start, pitch, bias, bias_start, out, out_start, row):
    """Add a bias to BLOCK rows of sums, and write their GELU down in bfloat16; see `write_sums`."""
    return _signature(sums, bias, out), _code(_gelu)


def _signature(sums: Any, bias: Any, out: Any) -> Any:
    i = types.intp
    return types.void(sums, i, i, bias, i, out, i, i)


def _code(function: Any) -> Any:
    def code(context: Any, builder: ir.IRBuilder, signature: Any, args: Any) -> Any:
        sums, start, pitch, bias, bias_start, out, out_start, row = args
        code, kinds = (context, builder), signature.args
        source = v.Row(code, kinds[0], sums, start)
        target = v.Row(code, kinds[5], out, out_start)
        zero = ir.Constant(v.INT, 0)
        more = v.Row(code, kinds[3], bias, bias_start).load(zero)

        def write(r: Any, nothing: Any) -> Any:
            x = source.load(builder.mul(r, pitch))
            result = function(builder, builder.fadd(x, more))
            target.store(result, builder.mul(r, row))
            return nothing

        v.loop(builder, (ir.Constant(v.INT, BLOCK), 1), zero, write)
        return context.get_dummy_value()

    return code


def _gelu(builder: ir.IRBuilder, x: Any) -> Any:
    inside = v.larger(builder, x, v.constant(-END_OF_ERF))
    inside = v.smaller(builder, inside, v.constant(END_OF_ERF))
    square = builder.fmul(inside, inside)
    place = v.fma(builder, square, v.constant(2 / END_OF_ERF**2), v.constant(-1))
    erf = builder.fmul(inside, v.polynomial(builder, place, ERF))
    half = builder.fmul(x, v.constant(0.5))
    return v.fma(builder, half, erf, half)
