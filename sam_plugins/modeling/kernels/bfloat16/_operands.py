"""A block of a product, as values of the code that is written for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

# Rows and columns of a quarter of a block, and numbers along the common side in one step.
SIDE, STEP = 16, 32
# Rows and columns of a block.
BLOCK = 2 * SIDE
# Numbers of two bytes to a bfloat16 pair, in which matrices on the right are stored.
PAIR = 2

INT, BYTE = ir.IntType(64), ir.IntType(8)


@dataclass(frozen=True, eq=False)
class Operands:
    """What is multiplied, and where the product goes; all distances are in bytes.

    Parameters
    ----------
    builder : ir.IRBuilder
        Of the code.
    left : value
        First byte of the left matrix.
    left_row, left_step : value
        From row to row there, and from STEP numbers to the next of the same row.
    right : tuple of value
        First bytes of the two panels.
    out : tuple of value
        First bytes of the product's two halves, SIDE columns each.
    out_row : value
        From row to row there.
    steps : value
        Length of the common side, in STEPs.
    accumulate : bool
        Whether the product is added to what is there.
    """

    builder: ir.IRBuilder
    left: Any
    left_row: Any
    left_step: Any
    right: tuple[Any, Any]
    out: tuple[Any, Any]
    out_row: Any
    steps: Any
    accumulate: bool

    def further(self, place: Any, distance: Any, times: int) -> Any:
        """Give the place so many distances further on."""
        return self.builder.gep(place, [self.times(distance, times)])

    def times(self, value: Any, number: int) -> Any:
        """Give a multiple."""
        return self.builder.mul(value, ir.Constant(INT, number))
