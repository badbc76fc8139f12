"""An inverted bottleneck row by row: only three rows of its wide hidden map are ever held."""

from __future__ import annotations

from numba import njit

from sam_plugins.modeling.kernels._elementwise import AS_WRITTEN, add_rows, gelu_of_sum
from sam_plugins.modeling.kernels._products import multiply


@njit(nogil=True, cache=True)
def bottleneck(x, top, bottom, widen, convolution, narrow, out, scratch):
    """Widen, convolve each channel, narrow, and add the input, with GELU after each.

    Parameters
    ----------
    x : ndarray of shape (h, w, C), float32
        The map.
    top, bottom : int
        The rows that are computed.
    widen, narrow : tuple
        Weights of the pointwise convolutions, from `pack`, and their biases (H,) and (C,).
    convolution : tuple
        Weights (3, 3, H) and bias (H,) of that of each channel.
    out : ndarray of shape (h, w, C), float32
        Receives the rows.
    scratch : tuple of ndarray
        Hidden rows (3, w + 2, H), whose first and last columns are zeros, one row that is convolved
        (1, w, H), and one that is narrowed (1, w, C).
    """
    height, width, _ = x.shape
    hidden, convolved, narrowed = scratch
    for y in range(top - 1, bottom + 1):
        slot = y % 3
        if 0 <= y < height:
            multiply(x[y], 0, width, widen[0], hidden[slot : slot + 1], 1)
            gelu_of_sum(hidden[slot, 1 : width + 1], widen[1])
        else:
            hidden[slot] = 0  # the padding of the hidden map
        if y > top:
            _convolve(hidden, y - 1, convolution[0], convolved[0])
            gelu_of_sum(convolved[0], convolution[1])
            multiply(convolved[0], 0, width, narrow[0], narrowed, 0)
            add_rows(narrowed[0], x[y - 1])
            gelu_of_sum(narrowed[0], narrow[1])
            out[y - 1] = narrowed[0]


@njit(nogil=True, cache=True, fastmath=AS_WRITTEN)
def _convolve(hidden, y, weights, out):
    """Convolve row ``y`` of the hidden map, which lies in its slot between its neighbours'."""
    width, channels = out.shape
    for above in range(3):
        row, taps = hidden[(y - 1 + above) % 3], weights[above]
        for x in range(width):
            pixel = out[x]
            left, middle, right = row[x], row[x + 1], row[x + 2]
            if above == 0:
                pixel[:] = 0
            for c in range(channels):
                pixel[c] += left[c] * taps[0, c] + middle[c] * taps[1, c] + right[c] * taps[2, c]
