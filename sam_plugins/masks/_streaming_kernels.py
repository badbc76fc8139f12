"""Compiled kernels that walk a low-resolution mask at the image's size without making it."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _bilinear(a, b, c, d, outer, inner, outer_is_x):
    """Between a (0, 0), b (0, 1), c (1, 0), d (1, 1), named (outer, inner), in float32.

    x is interpolated before y, whichever is outer, because that is the order in which PyTorch
    rounds.
    """
    one = np.float32(1)
    if outer_is_x:
        low = (one - outer) * a + outer * c
        high = (one - outer) * b + outer * d
        return (one - inner) * low + inner * high
    low = (one - inner) * a + inner * b
    high = (one - inner) * c + inner * d
    return (one - outer) * low + outer * high


@njit(cache=True, nogil=True)
def _frame_line(logits, frame, o, inner_frame, band_f0, band_f1, band, out, outer_is_x):
    """Interpolate a stretch of line ``o`` of the frame from the logits (outer, inner)."""
    index0, index1, weight = frame
    i0, i1, inner_weight = inner_frame
    a, b, w = index0[o], index1[o], weight[o]
    for f in range(band_f0[band], band_f1[band] + 1):
        p, q = i0[f], i1[f]
        out[f] = _bilinear(
            logits[a, p], logits[a, q], logits[b, p], logits[b, q], w, inner_weight[f], outer_is_x
        )


@njit(cache=True, nogil=True)
def trace(logits, outer, outer_frame, inner, inner_frame, bands, low, middle, high, outer_is_x,
          full, offset):  # fmt: skip
    """Runs, counts and bounds of one mask at the image's size.

    Parameters
    ----------
    logits : (h, w) float32, outer axis first
    outer, inner : for each image position: two frame positions, weight of the second
    outer_frame, inner_frame : for each frame position: two low-resolution positions, weight
    bands : stretches of inner positions that depend on the same low-resolution positions:
        first and last + 1, first and last low-resolution position, first and last frame position
    low, middle, high : thresholds
    outer_is_x : whether the outer axis is x
    full, offset : (outer, inner) size of the full image, and where this image lies in it

    Returns
    -------
    runs (int64), pixels above middle, above high, above low,
    first and last outer, first and last inner position (-1 if empty)
    """
    o0, o1, o_weight = outer
    i0, i1, i_weight = inner
    start, stop, first, last, f_first, f_last = bands
    lines, cells = len(o0), logits.shape[1]
    least = np.empty(cells, np.float32)
    most = np.empty(cells, np.float32)
    # Two lines of the frame, by parity, and for each band which line stands there.
    frame_lines = np.empty((2, len(inner_frame[0])), np.float32)
    stands = np.full((2, len(start)), -1, np.int64)
    runs = np.empty(1024, np.int64)
    count, begun, state = 0, 0, False
    area, above_high, above_low = 0, 0, 0
    o_min, o_max, i_min, i_max = -1, -1, -1, -1
    cut_inner = full[1] != stop[-1]
    seen_a, seen_b = -1, -1
    for o in range(lines):
        base = (o + offset[0]) * full[1] + offset[1]
        a, b = outer_frame[0][o0[o]], outer_frame[1][o1[o]]
        if a != seen_a or b != seen_b:
            seen_a, seen_b = a, b
            for cell in range(cells):
                smallest = largest = logits[a, cell]
                for line in range(a + 1, b + 1):
                    value = logits[line, cell]
                    smallest = min(smallest, value)
                    largest = max(largest, value)
                least[cell], most[cell] = smallest, largest
        if count + 2 * stop[-1] + 4 > len(runs):
            grown = np.empty(2 * len(runs) + 2 * stop[-1] + 4, np.int64)
            grown[:count] = runs[:count]
            runs = grown
        for band in range(len(start)):
            smallest, largest = least[first[band]], most[first[band]]
            for cell in range(first[band] + 1, last[band] + 1):
                smallest = min(smallest, least[cell])
                largest = max(largest, most[cell])
            # Interpolated values stay between those that they come from. The margin is for the
            # rounding of the interpolation itself.
            margin = np.float32(1e-5) * max(abs(smallest), abs(largest))
            if largest + margin <= low:
                if state:
                    position = base + start[band]
                    runs[count] = position - begun
                    count, begun, state = count + 1, position, False
                continue
            if smallest - margin > high:
                length = stop[band] - start[band]
                area, above_high, above_low = area + length, above_high + length, above_low + length
                if not state:
                    position = base + start[band]
                    runs[count] = position - begun
                    count, begun, state = count + 1, position, True
                if o_min < 0:
                    o_min, i_min, i_max = o, start[band], stop[band] - 1
                o_max = o
                i_min, i_max = min(i_min, start[band]), max(i_max, stop[band] - 1)
                continue
            for line in (o0[o], o1[o]):
                if stands[line & 1, band] != line:
                    stands[line & 1, band] = line
                    _frame_line(logits, outer_frame, line, inner_frame, f_first, f_last, band,
                                frame_lines[line & 1], outer_is_x)  # fmt: skip
            above, below = frame_lines[o0[o] & 1], frame_lines[o1[o] & 1]
            for i in range(start[band], stop[band]):
                p, q = i0[i], i1[i]
                value = _bilinear(above[p], above[q], below[p], below[q], o_weight[o], i_weight[i],
                                  outer_is_x)  # fmt: skip
                above_high += value > high
                above_low += value > low
                inside = value > middle
                if inside != state:
                    position = base + i
                    runs[count] = position - begun
                    count, begun, state = count + 1, position, inside
                if inside:
                    area += 1
                    if o_min < 0:
                        o_min, i_min, i_max = o, i, i
                    o_max = o
                    i_min, i_max = min(i_min, i), max(i_max, i)
        # Outside of a crop there is background.
        if state and (cut_inner or o == lines - 1):
            position = base + stop[-1]
            runs[count] = position - begun
            count, begun, state = count + 1, position, False
    total = full[0] * full[1]
    if begun < total or count == 0:
        runs[count] = total - begun
        count += 1
    return runs[:count], area, above_high, above_low, o_min, o_max, i_min, i_max


@njit(cache=True, nogil=True)
def compress(runs):
    """COCO's compression of run lengths: groups of 6 bits, differences to the last but one."""
    out = np.empty(13 * len(runs) + 1, np.uint8)
    size = 0
    for index in range(len(runs)):
        value = runs[index]
        if index > 2:
            value -= runs[index - 2]
        more = True
        while more:
            group = value & 31
            value >>= 5
            more = value != -1 if group & 16 else value != 0
            out[size] = (group | 32 if more else group) + 48
            size += 1
    return out[:size]


@njit(cache=True, nogil=True)
def paint(runs, flat):
    """Set every second run of a flat array to True."""
    position = 0
    for index in range(len(runs)):
        if index & 1:
            flat[position : position + runs[index]] = True
        position += runs[index]
