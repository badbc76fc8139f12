"""Compiled kernels that walk a low-resolution mask at the image's size without making it.

Image lines that depend on the same low-resolution lines are walked together. For these, the
stretches whose low-resolution logits decide are found once; what lies between is interpolated line
by line, in loops that a compiler can vectorise.
"""

import numpy as np
from numba import njit

# What is known of logits: neither, all below the lowest threshold, all above the highest. Of logits
# taken together, the bits that all have tell it.
MIXED, BACKGROUND, FOREGROUND = 0, 1, 2

# Eight of them, or eight pixels of a line, are looked at as one word.
WORD = 8
ONES = np.uint64(0x0101010101010101)

# A word with byte j alone set to 1, times this: j, in the highest byte.
BYTE_OF = np.uint64(0x0001020304050607)

# Bits of a byte.
EIGHT = np.uint64(8)

# Decided stretches of fewer bands between undecided ones are interpolated as well: longer loops.
FEWEST_BANDS = 4


@njit(cache=True, nogil=True)
def _classify(logits, low, high):
    """Tell what is known of each logit: (lines, cells, padded to whole words), uint8.

    Interpolated values stay between those that they come from. The margin is for the rounding of
    the interpolation itself.
    """
    lines, cells = logits.shape
    # Magnitudes as integers, which are in the same order; not-a-number is the largest.
    largest = np.int32(0)
    for line in range(lines):
        most = np.int32(0)
        for cell in range(cells):
            bits = np.float32(logits[line, cell]).view(np.int32)
            most = max(most, np.int32(bits & np.int32(0x7FFFFFFF)))
        largest = max(largest, most)
    margin = np.float32(1e-5) * np.int32(largest).view(np.float32)
    kinds = np.zeros((lines, -(-cells // WORD) * WORD), np.uint8)
    for line in range(lines):
        for cell in range(cells):
            value = logits[line, cell]
            # Comparisons with not-a-number are false: what is not known is interpolated.
            below, above = value + margin <= low, value - margin > high
            kinds[line, cell] = np.uint8(below) + np.uint8(2) * np.uint8(above)
    return kinds


@njit(cache=True, nogil=True)
def _stretches(kinds, a, b, bands, known, kind, begin, end):
    """Part the bands of image lines between the logits' lines ``a`` and ``b`` by what is known.

    Returns how many stretches there are; kind, first band and last band + 1 of each are set.
    """
    words, together = kinds.view(np.uint64), known.view(np.uint64)
    opens, closes = bands[6], bands[7]
    decided = False
    for word in range(len(together)):
        common = words[a, word]
        for line in range(a + 1, b + 1):
            common &= words[line, word]
        together[word] = common
        decided |= common == ONES * np.uint64(BACKGROUND) or common == ONES * np.uint64(FOREGROUND)
    if not decided and len(opens) >= WORD:
        # Noise, of which nearly all is to be interpolated: looking closer costs more than it saves.
        kind[0], begin[0], end[0] = MIXED, 0, len(bands[0])
        return 1
    cells, count, band, cell = len(opens), 0, 0, 0
    while cell < cells:
        this = known[cell]
        whole = ONES * np.uint64(this)
        stop = cell + 1
        while stop < cells:
            if stop % WORD == 0 and together[stop // WORD] == whole:
                stop += WORD
            elif known[stop] == this:
                stop += 1
            else:
                break
        stop = min(stop, cells)
        first, last = opens[cell], closes[stop - 1]
        if this != MIXED and last - first >= FEWEST_BANDS:
            if first > band:
                kind[count], begin[count], end[count] = MIXED, band, first
                count += 1
            kind[count], begin[count], end[count] = this, first, last
            count, band = count + 1, last
        cell = stop
    if band < len(bands[0]):
        kind[count], begin[count], end[count] = MIXED, band, len(bands[0])
        count += 1
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
        inside[i] = np.uint8(value > middle)
    return above_low, above_middle, above_high


@njit(cache=True, nogil=True)
def _cross(inside, words, start, stop, base, runs, at):
    """Add a run wherever a line enters or leaves the mask between two positions.

    The line's pixels are the bytes of ``inside`` behind its first word. ``at`` is, and is given
    back as: number of runs, begin of the next, whether it lies in the mask, first and last position
    that does.
    """
    count, begun, state, i_min, i_max = at
    inside[WORD + start - 1] = state
    first, last = (WORD + start) // WORD, (WORD + stop - 1) // WORD
    for index in range(first, last + 1):
        word = words[index]
        word ^= (word << EIGHT) | (words[index - 1] >> np.uint64(56))
        if index == first:
            word &= ~np.uint64(0) << (EIGHT * np.uint64(start % WORD))
        if index == last:
            word &= ~np.uint64(0) >> (EIGHT * np.uint64(-stop % WORD))
        while word:
            lowest = word & (~word + np.uint64(1))
            word ^= lowest
            i = WORD * (index - 1) + np.int64((lowest * BYTE_OF) >> np.uint64(56))
            if state:
                i_max = max(i_max, i - 1)
            else:
                i_min = min(i_min, i)
            runs[count] = base + i - begun
            count, begun, state = count + 1, base + i, not state
    return count, begun, state, i_min, i_max


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
        position and last + 1; and for each low-resolution position: the first band from it on, and
        how many bands end with it
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
    kinds = _classify(logits, low, high)
    known = np.empty(kinds.shape[1], np.uint8)
    kind, begin, end = np.empty_like(start), np.empty_like(start), np.empty_like(start)
    coarse = np.empty(cells, np.float32)
    frame_lines = np.empty((2, len(inner_frame[0])), np.float32)
    blended = np.empty(len(inner_frame[0]), np.float32)
    values = np.empty(length, np.float32)
    # Pixels begin behind a word, so that each has one before it.
    inside = np.zeros((length // WORD + 2) * WORD, np.uint8)
    words, pixels = inside.view(np.uint64), inside[WORD:]
    runs = np.empty(1024, np.int64)
    count, begun, state = 0, 0, False
    area, above_high, above_low = 0, 0, 0
    o_min, o_max, i_min, i_max = -1, -1, length, -1
    cut_inner = full[1] != length
    stands, whole = np.full(2, -1), False
    for group in range(len(outer_bands[0])):
        a, b = outer_bands[2][group], outer_bands[3][group]
        stretches = _stretches(kinds, a, b, inner_bands, known, kind, begin, end)
        # Lines that were interpolated as a whole serve the next group as well.
        before, whole = whole, stretches == 1 and kind[0] == MIXED
        if not (whole and before):
            stands[:] = -1
        for o in range(outer_bands[0][group], outer_bands[1][group]):
            if count + length + 4 > len(runs):
                grown = np.empty(2 * len(runs) + length + 4, np.int64)
                for each in range(count):
                    grown[each] = runs[each]
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
                counts = _count(values, i, last, low, middle, high, pixels)
                above_low, area, above_high = (
                    above_low + counts[0], area + counts[1], above_high + counts[2])  # fmt: skip
                if counts[1] == 0 and not state:
                    continue
                if pixels[i]:
                    i_min = min(i_min, i)
                at = count, begun, state, i_min, i_max
                at = _cross(inside, words, i, last, base, runs, at)
                count, begun, state, i_min, i_max = at
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
    length, frame_length = len(inner[0]), f_stop[-1]
    kinds = _classify(logits, middle, middle)
    known = np.empty(kinds.shape[1], np.uint8)
    kind, begin, end = np.empty_like(start), np.empty_like(start), np.empty_like(start)
    # The two lines of logits that are interpolated between, at the frame's positions.
    wide, wide_stands = np.empty((2, frame_length), np.float32), np.full(2, -1)
    frame_line = np.empty(frame_length, np.float32)
    image_lines = np.empty((2, length), np.float32)
    stands, whole = np.full(2, -1), False
    for group in range(len(outer_bands[0])):
        a, b = outer_bands[2][group], outer_bands[3][group]
        stretches = _stretches(kinds, a, b, inner_bands, known, kind, begin, end)
        # Lines that were interpolated as a whole serve the next group as well.
        before, whole = whole, stretches == 1 and kind[0] == MIXED
        if not (whole and before):
            stands[:] = -1
        if stretches == 1 and kind[0] == BACKGROUND:
            continue
        for o in range(outer_bands[0][group], outer_bands[1][group]):
            for line in (o0[o], o1[o]):
                if stands[line & 1] == line:
                    continue
                stands[line & 1] = line
                p, q = outer_frame[0][line], outer_frame[1][line]
                for each in range(stretches):
                    if kind[each] != MIXED:
                        continue
                    for row in (p, q):
                        if wide_stands[row & 1] != row:
                            wide_stands[row & 1] = row
                            _stretch(logits[row], inner_frame, wide[row & 1], 0, frame_length)
                    first, last = f_start[begin[each]], f_stop[end[each] - 1]
                    upper, lower = wide[p & 1], wide[q & 1]
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
