"""Memory for compiled kernels."""

from __future__ import annotations

import numpy as np

# Bytes of a line of the caches.
LINE = 64


def aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
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
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.empty(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(dtype).reshape(shape)
