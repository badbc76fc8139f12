"""Memory for compiled kernels."""

from __future__ import annotations

from math import prod

import numpy as np

# Bytes of a line of the caches.
LINE = 64


def aligned(shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> np.ndarray:
    """Allocate an array that begins where a line of the caches does, as long vectors should.

    Parameters
    ----------
    shape : tuple of int
    dtype : type

    Returns
    -------
    ndarray
        Its content is arbitrary.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: type[np.generic] = np.float32) -> np.ndarray:
    """Allocate zeros like `aligned`: for what is multiplied although nothing was written there.

    Parameters
    ----------
    shape : tuple of int
    dtype : type

    Returns
    -------
    ndarray
    """
    out = aligned(shape, dtype)
    out.fill(0)
    return out


def filled(size: int, unit: int) -> int:
    """Round a size up to whole units.

    Parameters
    ----------
    size, unit : int

    Returns
    -------
    int

    Examples
    --------
    >>> filled(14, 16)
    16
    """
    return -(-size // unit) * unit
