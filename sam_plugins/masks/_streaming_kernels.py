"""Compiled kernels that walk a low-resolution mask at the image's size without making it.

Image lines that depend on the same low-resolution lines are walked together. For these, the
stretches whose low-resolution logits decide are found once; what lies between is interpolated line
by line, in loops that a compiler can vectorise.
"""

import numpy as np
from numba import njit

# What is known of a stretch: all logits below the lowest threshold, above the highest, neither.
BACKGROUND, FOREGROUND, MIXED = 0, 1, 2

# Decided stretches of fewer bands between undecided ones are interpolated as well: longer loops.
FEWEST_BANDS = 4


@njit(cache=True, nogil=True)
def _decide(logits, a, b, bands, low, high, cells, kinds):
    """Tell of each band, for image lines between the logits' lines ``a`` and ``b``, what is known.

    Interpolated values stay between those that they come from. The margin is for the rounding of
    the interpolation itself.
    """
    least, most = cells
    first, last = bands[2], bands[3]
    for cell in range(logits.shape[1]):
        least[cell] = most[cell] = logits[a, cell]
    for line in range(a + 1, b + 1):
        for cell in range(logits.shape[1]):
            least[cell] = min(least[cell], logits[line, cell])
            most[cell] = max(most[cell], logits[line, cell])
    for band in range(len(first)):
        smallest, largest = least[first[band]], most[first[band]]
        for cell in range(first[band] + 1, last[band] + 1):
            smallest, largest = min(smallest, least[cell]), max(largest, most[cell])
        margin = np.float32(1e-5) * max(abs(smallest), abs(largest))
        kinds[band] = MIXED
        if largest + margin <= low:
            kinds[band] = BACKGROUND
        if smallest - margin > high:
            kinds[band] = FOREGROUND


@njit(cache=True, nogil=True)
def _join(kinds, kind, start, stop):
    """Join neighbouring bands of one kind to stretches: how many, and which bands they are."""
    count, band = 0, 0
    while band < len(kinds):
        end = band + 1
        while end < len(kinds) and kinds[end] == kinds[band]:
            end += 1
        this = kinds[band]
        if this != MIXED and end - band < FEWEST_BANDS:
            this = MIXED
        if count and kind[count - 1] == this:
            stop[count - 1] = end
        else:
            kind[count], start[count], stop[count] = this, band, end
            count += 1
        band = end
    return count


@njit(cache=True, nogil=True)
def _blend(a, b, weight, out, start, stop):
    """Interpolate between two lines, at each position."""
    other = np.float32(1) - weight
    # Slices and loops from 0: for numbers that may be negative, nothing would be vectorised.
    a, b, out = a[start:stop], b[start:stop], out[start:stop]
    for i in range(len(out)):
        out[i] = other * a[i] + weight * b[i]


@njit(cache=True, nogil=True)
def _blend_above(a, b, weight, middle, out, start, stop):
    """Tell where what `_blend` gives is above a threshold."""
    other = np.float32(1) - weight
    a, b, out = a[start:stop], b[start:stop], out[start:stop]
    for i in range(len(out)):
        out[i] = other * a[i] + weight * b[i] > middle


@njit(cache=True, nogil=True)
def _stretch(line, axis, out, start, stop):
    """Interpolate along a line, to the positions ``start`` to ``stop`` of an axis."""
    index0, index1 = axis[0][start:stop], axis[1][start:stop]
    weight, out = axis[2][start:stop], out[start:stop]
    for i in range(len(out)):
        w = weight[i]
        out[i] = (np.float32(1) - w) * line[index0[i]] + w * line[index1[i]]


@njit(cache=True, nogil=True)
def _count(values, start, stop, low, middle, high, inside):
    """Set where values are above ``middle``; count those above each threshold."""
    above_low, above_middle, above_high = 0, 0, 0
    values, inside = values[start:stop], inside[start:stop]
    for i in range(len(values)):
        value = values[i]
        above_low += value > low
        above_middle += value > middle
        above_high += value > high
        inside[i] = value > middle
    return above_low, above_middle, above_high


@njit(cache=True, nogil=True)
def trace(logits, outer, outer_frame, outer_bands, inner, inner_frame, inner_bands,
          low, middle, high, full, offset):  # fmt: skip
    """Runs, counts and bounds of one mask at the image's size.

    x is interpolated before y, because that is the order in which PyTorch rounds.

    Parameters
    ----------
    logits : (w, h) float32, x first, because runs go column by column
    outer, inner : for each image position: two frame positions, weight of the second
    outer_frame, inner_frame : for each frame position: two low-resolution positions, weight
    outer_bands, inner_bands : stretches of positions that depend on the same low-resolution
        positions: first and last + 1, first and last low-resolution position, first frame
        position and last + 1
    low, middle, high : thresholds
    full, offset : (outer, inner) size of the full image, and where this image lies in it

    Returns
    -------
    runs (int64), pixels above middle, above high, above low,
    first and last outer, first and last inner position (-1 if empty)
    """
    o0, o1, o_weight = outer
    start, stop, f_start, f_stop = inner_bands[0], inner_bands[1], inner_bands[4], inner_bands[5]
    lines, length, cells = len(o0), len(inner[0]), logits.shape[1]
    extremes = np.empty(cells, np.float32), np.empty(cells, np.float32)
    kinds = np.empty(len(start), np.int64)
    kind, begin, end = np.empty_like(kinds), np.empty_like(kinds), np.empty_like(kinds)
    coarse = np.empty(cells, np.float32)
    frame_lines = np.empty((2, len(inner_frame[0])), np.float32)
    blended = np.empty(len(inner_frame[0]), np.float32)
    values = np.empty(length, np.float32)
    inside = np.empty(length, np.bool_)
    runs = np.empty(1024, np.int64)
    count, begun, state = 0, 0, False
    area, above_high, above_low = 0, 0, 0
    o_min, o_max, i_min, i_max = -1, -1, length, -1
    cut_inner = full[1] != length
    for group in range(len(outer_bands[0])):
        a, b = outer_bands[2][group], outer_bands[3][group]
        _decide(logits, a, b, inner_bands, low, high, extremes, kinds)
        stretches = _join(kinds, kind, begin, end)
        stands = np.full(2, -1)
        for o in range(outer_bands[0][group], outer_bands[1][group]):
            if count + length + 4 > len(runs):
                grown = np.empty(2 * len(runs) + length + 4, np.int64)
                grown[:count] = runs[:count]
                runs = grown
            for line in (o0[o], o1[o]):
                if stands[line & 1] == line:
                    continue
                stands[line & 1] = line
                p, q = outer_frame[0][line], outer_frame[1][line]
                _blend(logits[p], logits[q], outer_frame[2][line], coarse, 0, cells)
                for each in range(stretches):
                    if kind[each] == MIXED:
                        _stretch(coarse, inner_frame, frame_lines[line & 1],
                                 f_start[begin[each]], f_stop[end[each] - 1])  # fmt: skip
            above, below = frame_lines[o0[o] & 1], frame_lines[o1[o] & 1]
            base = (o + offset[0]) * full[1] + offset[1]
            before = area
            for each in range(stretches):
                i, last = start[begin[each]], stop[end[each] - 1]
                if kind[each] != MIXED:
                    found = kind[each] == FOREGROUND
                    if found:
                        area, above_high = area + last - i, above_high + last - i
                        above_low += last - i
                    if found != state:
                        if state:
                            i_max = max(i_max, i - 1)
                        runs[count] = base + i - begun
                        count, begun, state = count + 1, base + i, found
                    if found:
                        i_min = min(i_min, i)
                    continue
                first = begin[each], end[each] - 1
                _blend(above, below, o_weight[o], blended, f_start[first[0]], f_stop[first[1]])
                _stretch(blended, inner, values, i, last)
                counts = _count(values, i, last, low, middle, high, inside)
                above_low, area, above_high = (
                    above_low + counts[0], area + counts[1], above_high + counts[2])  # fmt: skip
                if counts[1] == 0 and not state:
                    continue
                if inside[i]:
                    i_min = min(i_min, i)
                while i < last:
                    if inside[i] != state:
                        if state:
                            i_max = max(i_max, i - 1)
                        else:
                            i_min = min(i_min, i)
                        runs[count] = base + i - begun
                        count, begun, state = count + 1, base + i, not state
                    i += 1
            if state:
                i_max = length - 1
            if area > before:
                o_max = o
                if o_min < 0:
                    o_min = o
            # Outside of a crop there is background.
            if state and (cut_inner or o == lines - 1):
                runs[count] = base + length - begun
                count, begun, state = count + 1, base + length, False
    total = full[0] * full[1]
    if begun < total or count == 0:
        runs[count] = total - begun
        count += 1
    return runs[:count], area, above_high, above_low, o_min, o_max, i_min, i_max


@njit(cache=True, nogil=True)
def paint(logits, outer, outer_frame, outer_bands, inner, inner_frame, inner_bands, middle, mask):
    """Set the pixels of one mask at the image's size.

    Parameters
    ----------
    logits : (h, w) float32
    outer, outer_frame, outer_bands, inner, inner_frame, inner_bands : as for `trace`; y is outer
    middle : threshold
    mask : (H, W) bool, all False
    """
    o0, o1, o_weight = outer
    start, stop, f_start, f_stop = inner_bands[0], inner_bands[1], inner_bands[4], inner_bands[5]
    cells, length, frame_length = logits.shape[1], len(inner[0]), len(inner_frame[0])
    extremes = np.empty(cells, np.float32), np.empty(cells, np.float32)
    kinds = np.empty(len(start), np.int64)
    kind, begin, end = np.empty_like(kinds), np.empty_like(kinds), np.empty_like(kinds)
    upper, lower = np.empty(frame_length, np.float32), np.empty(frame_length, np.float32)
    frame_line = np.empty(frame_length, np.float32)
    image_lines = np.empty((2, length), np.float32)
    for group in range(len(outer_bands[0])):
        a, b = outer_bands[2][group], outer_bands[3][group]
        _decide(logits, a, b, inner_bands, middle, middle, extremes, kinds)
        stretches = _join(kinds, kind, begin, end)
        stands = np.full(2, -1)
        for o in range(outer_bands[0][group], outer_bands[1][group]):
            for line in (o0[o], o1[o]):
                if stands[line & 1] == line:
                    continue
                stands[line & 1] = line
                p, q = outer_frame[0][line], outer_frame[1][line]
                for each in range(stretches):
                    if kind[each] != MIXED:
                        continue
                    first, last = f_start[begin[each]], f_stop[end[each] - 1]
                    _stretch(logits[p], inner_frame, upper, first, last)
                    _stretch(logits[q], inner_frame, lower, first, last)
                    _blend(upper, lower, outer_frame[2][line], frame_line, first, last)
                    _stretch(frame_line, inner, image_lines[line & 1],
                             start[begin[each]], stop[end[each] - 1])  # fmt: skip
            above, below, weight = image_lines[o0[o] & 1], image_lines[o1[o] & 1], o_weight[o]
            for each in range(stretches):
                first, last = start[begin[each]], stop[end[each] - 1]
                if kind[each] == FOREGROUND:
                    mask[o, first:last] = True
                elif kind[each] == MIXED:
                    _blend_above(above, below, weight, middle, mask[o], first, last)


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
