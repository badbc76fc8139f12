"""Planes: 2D cuts through an image of any number of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# One entry an axis: an index, or None for the two axes that are rows and columns, in this order.
Plane = tuple[int | None, ...]


def plane_index(plane: Plane, rows: slice, columns: slice) -> tuple[int | slice, ...]:
    """Index that cuts a rectangle of a plane out of an array.

    Parameters
    ----------
    plane : tuple of int or None
        The plane.
    rows, columns : slice
        The rectangle.

    Returns
    -------
    tuple of int or slice

    Raises
    ------
    ValueError
        If the plane has not exactly two axes that are None.

    Examples
    --------
    >>> plane_index((3, None, None), slice(0, 2), slice(4, 6))
    (3, slice(0, 2, None), slice(4, 6, None))
    """
    if sum(index is None for index in plane) != 2:
        raise ValueError(f"a plane has two axes that are None, got {plane}")
    sides = iter((rows, columns))
    return tuple(next(sides) if index is None else index for index in plane)


def plane_size(plane: Plane, shape: tuple[int, ...]) -> tuple[int, int]:
    """(H, W) of a plane of an array.

    Parameters
    ----------
    plane : tuple of int or None
        The plane.
    shape : tuple of int
        The array's shape, one side an entry of the plane.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> plane_size((None, 3, None), (10, 20, 30))
    (10, 30)
    """
    height, width = (side for side, index in zip(shape, plane, strict=True) if index is None)
    return int(height), int(width)


def pixels_at(
    plane: Plane, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> tuple[NDArray[Any], ...]:
    """Index arrays of single pixels of a plane, one an axis.

    Parameters
    ----------
    plane : tuple of int or None
        The plane.
    rows, columns : ndarray of shape (n,), integer
        The pixels.

    Returns
    -------
    tuple of ndarray of shape (n,)

    Examples
    --------
    >>> [each.tolist() for each in pixels_at((3, None, None), np.array([1, 2]), np.array([5, 6]))]
    [[3, 3], [1, 2], [5, 6]]
    """
    sides = iter((rows, columns))
    return tuple(
        next(sides) if index is None else np.full(len(rows), index, dtype=np.intp)
        for index in plane
    )
