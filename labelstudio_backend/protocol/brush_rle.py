"""Label Studio's run-length code of brush masks.

A stream of bits, most significant first: the number of values in 32 bits; the width of a value
less one in 5 (always 8 bits wide); four widths of lengths, each less one in 4; then blocks until
all values are there. A block has a flag (1 for a run, 0 for literals), two bits that choose the
width of the length, the length less one, and one value, or one a literal. Zeros fill the last byte.

The values are the pixels of an RGBA image, row by row, four equal channels a pixel: 0 or 255.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from sam_plugins.errors import InvalidMaskError

CHANNELS = 4
FOREGROUND = 255
VALUE_BITS = 8
LENGTH_BITS = (3, 4, 8, 16)
HEADER_BITS = 32 + 5 + 4 * len(LENGTH_BITS)
LONGEST = 2 ** LENGTH_BITS[-1]


def encode(mask: NDArray[np.bool_]) -> list[int]:
    """Encode a mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool

    Returns
    -------
    list of int
        Bytes, as Label Studio's own converter writes them.

    Examples
    --------
    >>> encode(np.ones((1, 2), dtype=bool))
    [0, 0, 0, 8, 57, 27, 252, 255, 224]
    """
    flat = np.asarray(mask, dtype=bool).ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges, [flat.size]])
    lengths = CHANNELS * np.diff(starts)
    values = np.where(flat[starts[:-1].clip(max=max(flat.size - 1, 0))], FOREGROUND, 0)
    pieces = np.maximum(-(-lengths // LONGEST), 1)
    values = values.repeat(pieces)
    whole = np.full(len(values), LONGEST)
    last = np.cumsum(pieces) - 1
    whole[last] = lengths - LONGEST * (pieces - 1)
    kind = np.searchsorted(2 ** np.array(LENGTH_BITS), whole)  # the narrowest that is wide enough
    width = np.array(LENGTH_BITS)[kind]
    codes = (((4 | kind) << width | (whole - 1)) << VALUE_BITS) | values
    used = 3 + width + VALUE_BITS
    aligned = (codes.astype(np.uint64) << (32 - used).astype(np.uint64)).astype(">u4")
    bits = np.unpackbits(aligned.view(np.uint8)).reshape(-1, 32)
    body = bits[np.arange(32) < used[:, None]]
    header = f"{CHANNELS * flat.size:032b}{VALUE_BITS - 1:05b}"
    header += "".join(f"{width - 1:04b}" for width in LENGTH_BITS)
    stream = np.concatenate([np.array(list(header), dtype=np.uint8), body])
    # A whole byte of zeros follows where the last byte is full already, as the converter does it.
    filled = np.pad(stream, (0, 8 - len(stream) % 8))
    return np.packbits(filled).tolist()


def decode(code: ArrayLike, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode a mask.

    Parameters
    ----------
    code : array-like of int
        Bytes; missing zeros at the end do no harm.
    size : tuple of int
        (H, W) that the mask must have.

    Returns
    -------
    ndarray of shape (H, W), bool
        Where alpha is not zero.

    Raises
    ------
    InvalidMaskError
        If it is no such code, or of a mask of another size.
    """
    data = np.asarray(code)
    if data.ndim != 1 or data.dtype.kind not in "iu" or len(data) * 8 < HEADER_BITS:
        raise InvalidMaskError("a brush mask is a list of bytes of at least 7 bytes")
    if data.min() < 0 or data.max() > 255:
        raise InvalidMaskError("a brush mask is a list of numbers from 0 to 255")
    height, width = size
    count = int.from_bytes(bytes(data[:4].tolist()), "big")
    # Before anything is allocated: a short code may claim gigabytes.
    if count != CHANNELS * height * width:
        raise InvalidMaskError(
            f"a brush mask of {count / CHANNELS:g} pixels is not one of {height} x {width}"
        )
    alpha = np.zeros(height * width, dtype=np.bool_)
    if not _decode(np.append(data.astype(np.uint8), np.zeros(8, dtype=np.uint8)), alpha):
        raise InvalidMaskError("the code of a brush mask ends before its last pixel")
    return alpha.reshape(size)


@njit(cache=True)
def _bits(data, at, count):  # type: ignore[no-untyped-def]
    value = 0
    for offset in range(at, at + count):
        value = value << 1 | (data[offset >> 3] >> (7 - (offset & 7)) & 1)
    return value


@njit(cache=True)
def _decode(data, alpha):  # type: ignore[no-untyped-def]
    end = 8 * len(data) - 64  # zeros were added behind
    count = CHANNELS * len(alpha)
    word = _bits(data, 32, 5) + 1
    widths = np.array([_bits(data, 37 + 4 * i, 4) + 1 for i in range(4)])
    at, done = 53, 0
    while done < count:
        if at >= end:
            return False
        run = _bits(data, at, 1)
        width = widths[_bits(data, at + 1, 2)]
        if at + 3 + width > end:
            return False
        length = min(_bits(data, at + 3, width) + 1, count - done)
        at += 3 + width
        if run:
            value = _bits(data, at, word) & 255
            # Alpha is the last channel of a pixel.
            alpha[done // CHANNELS : (done + length) // CHANNELS] = value > 0
            at += word
        else:
            for index in range(done, done + length):
                if at >= end:
                    return False
                if index % CHANNELS == CHANNELS - 1:
                    alpha[index // CHANNELS] = _bits(data, at, word) & 255 > 0
                at += word
        done += length
    return True
