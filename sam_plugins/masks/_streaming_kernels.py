"""Compiled kernels that walk a low-resolution mask at the image's size without making it.

Image lines that depend on the same low-resolution lines are walked together. For these, the
blocks of positions whose low-resolution logits decide are found once; what lies between is
interpolated line by line, many positions at once.
"""

import numpy as np
from numba import njit

from sam_plugins.masks._axes import WORD
from sam_plugins.masks._known_kernels import (
    BACKGROUND,
    FOREGROUND,
    classify,
    group,
    mixed_blocks,
    padded_lines,
)
from sam_plugins.masks._lanes import (
    BLOCK,
    LANES,
    bits_needed,
    blend_above,
    cut,
    lowest,
    ones,
    stretch,
    stretch_between,
)

# Changes in a word that are written down without looking how many there are.
AT_ONCE = 8

ONE, HIGHEST = np.uint64(1), np.uint64(WORD - 1)

# Characters that a compressed run is written in without looking how many it has.
CHARACTERS = 3


@njit(cache=True, nogil=True)
def trace(logits, outer_axis, inner_axis, thresholds, full, offset):
    """Runs, counts and bounds of one mask at the image's size.

    x is interpolated before y, because that is the order in which PyTorch rounds.

    Parameters
    ----------
    logits : (w, h) float32, x first, because runs go column by column; in any order in memory
    outer_axis, inner_axis : `_axes.Axis` of x and y, as tuples
    thresholds : the lowest, the mask's own, the highest
    full, offset : (outer, inner) size of the full image, and where this image lies in it

    Returns
    -------
    runs (int64), pixels above each threshold,
    first and last outer, first and last inner position (-1 if empty)
    """
    (o0, o1, o_weight, _, _, _), outer_frame, lines, groups, _ = outer_axis
    inner, inner_frame, length, _, blocks = inner_axis
    padded = padded_lines(logits)
    known = classify(padded, thresholds[0], thresholds[2])
    common, kinds, mixed, frame_mixed = _memory(known, inner_axis)
    frame_lines, values = _lines(2, inner_frame), _lines(1, inner)[0]
    # A bit for each position of a line: those above each threshold, one after the other.
    count = length // WORD + 1
    words, totals = np.zeros(3 * count, np.uint64), np.zeros(3, np.int64)
    here, blocks_above = words[count : 2 * count], words.view(np.uint16)
    ever, valid = np.zeros(count, np.uint64), ~np.zeros(count, np.uint64)
    valid[-1] = (ONE << np.uint64(length % WORD)) - ONE
    changes, changed, carry = np.empty(1024, np.int64), 0, np.uint64(0)
    o_min, o_max, cut_inner = -1, -1, full[1] != length
    stands, whole = np.full(2, -1), False
    for number in range(groups.shape[1]):
        a, b = groups[2, number], groups[3, number]
        if not group(known, a, b, blocks, common, kinds) and not carry:
            whole = False
            continue
        chosen_count, frame_count = mixed_blocks(kinds, blocks, mixed, frame_mixed)
        chosen, frame_chosen = mixed[:chosen_count], frame_mixed[:frame_count]
        # Lines that were interpolated as a whole serve the next group as well.
        before, whole = whole, chosen_count == len(mixed)
        if not (whole and before):
            stands[:] = -1
        for first in range(0, len(blocks_above), len(kinds)):
            for block in range(len(kinds)):
                blocks_above[first + block] = -(kinds[block] == FOREGROUND)
        for o in range(groups[0, number], groups[1, number]):
            for line in (o0[o], o1[o]):
                if stands[line & 1] != line:
                    stands[line & 1] = line
                    p, q = padded[outer_frame[0][line]], padded[outer_frame[1][line]]
                    out = frame_lines[line & 1]
                    _stretch_between(p, q, outer_frame[2][line], inner_frame, frame_chosen, out)
            above, below = frame_lines[o0[o] & 1], frame_lines[o1[o] & 1]
            _stretch_between(above, below, o_weight[o], inner, chosen, values)
            _cut(values, chosen, thresholds, words)
            changes = _with_room(changes, changed, length + WORD)
            base = (o + offset[0]) * full[1] + offset[1]
            changed, carry = _changes(here, carry, base, changes, changed)
            if _count(words, valid, totals, ever):
                o_max = o
                if o_min < 0:
                    o_min = o
            # Outside of a crop there is background.
            if carry and (cut_inner or o == lines - 1):
                changes[changed] = base + length
                changed, carry = changed + 1, np.uint64(0)
    return _runs(changes[:changed], full[0] * full[1]), totals, o_min, o_max, *_bounds(ever)


@njit(cache=True, nogil=True)
def paint(logits, outer_axis, inner_axis, threshold, mask):
    """Set the pixels of one mask at the image's size.

    Parameters
    ----------
    logits : (h, w) float32
    outer_axis, inner_axis : `_axes.Axis` of y and x, as tuples
    threshold : logits above it are foreground
    mask : (H, W) bool, all False
    """
    (o0, o1, o_weight, _, _, _), outer_frame, _, groups, _ = outer_axis
    inner, inner_frame, _, _, blocks = inner_axis
    padded = padded_lines(logits)
    known = classify(padded, threshold, threshold)
    common, kinds, mixed, frame_mixed = _memory(known, inner_axis)
    # The two lines of logits that are interpolated between, at the frame's positions.
    wide, wide_stands = _lines(2, inner_frame), np.full(2, -1)
    image_lines, frame_all = _lines(2, inner), np.arange(len(frame_mixed))
    stands, whole = np.full(2, -1), False
    for number in range(groups.shape[1]):
        a, b = groups[2, number], groups[3, number]
        if not group(known, a, b, blocks, common, kinds):
            whole = False
            continue
        chosen = mixed[: mixed_blocks(kinds, blocks, mixed, frame_mixed)[0]]
        # Lines that were interpolated as a whole serve the next group as well.
        before, whole = whole, len(chosen) == len(mixed)
        if not (whole and before):
            stands[:] = -1
        for o in range(groups[0, number], groups[1, number]):
            for line in (o0[o], o1[o]):
                if len(chosen) == 0 or stands[line & 1] == line:
                    continue
                stands[line & 1] = line
                p, q = outer_frame[0][line], outer_frame[1][line]
                for row in (p, q):
                    if wide_stands[row & 1] != row:
                        wide_stands[row & 1] = row
                        _stretch(padded[row], inner_frame, frame_all, wide[row & 1])
                upper, lower, out = wide[p & 1], wide[q & 1], image_lines[line & 1]
                _stretch_between(upper, lower, outer_frame[2][line], inner, chosen, out)
            above, below = image_lines[o0[o] & 1], image_lines[o1[o] & 1]
            _paint_line(above, below, o_weight[o], threshold, kinds, mask[o])


@njit(cache=True, nogil=True)
def compress(runs):
    """COCO's compression of run lengths: groups of 5 bits, differences to the last but one."""
    out = np.empty(13 * len(runs) + CHARACTERS, np.uint8)
    size = 0
    for index in range(len(runs)):
        value = runs[index]
        if index > 2:
            value -= runs[index - 2]
        # As many groups as hold the number and its sign.
        groups = (bits_needed(np.uint64(value ^ (value >> 63))) + 5) // 5
        for each in range(CHARACTERS):
            out[size + each] = _character(value, each, groups)
        for each in range(CHARACTERS, groups):
            out[size + each] = _character(value, each, groups)
        size += groups
    return out[:size]


@njit(cache=True, nogil=True)
def _character(value, each, groups):
    more = 32 if each + 1 < groups else 0
    return (((value >> (5 * each)) & 31) | more) + 48


@njit(cache=True, nogil=True)
def _memory(known, inner_axis):
    """Memory for what is known between two lines of logits, see `group` and `mixed_blocks`."""
    words = np.empty(known.shape[1], np.uint64)
    blocks, frame_blocks = inner_axis[4].shape[1], len(inner_axis[1][2]) // BLOCK
    return (
        (words, words.view(np.uint8)),
        np.empty(blocks, np.uint8),
        np.empty(blocks, np.int64),
        np.empty(frame_blocks, np.int64),
    )


@njit(cache=True, nogil=True)
def _lines(number, axis):
    """Memory for lines at an axis' positions: vectors are read beyond their end."""
    return np.empty((number, len(axis[2]) + LANES), np.float32)


@njit(cache=True, nogil=True)
def _stretch(line, axis, chosen, out):
    """Interpolate along a line, to the positions of an axis' chosen blocks."""
    index0, index1, weight, base, place, step = axis
    for each in range(len(chosen)):
        if step >= 0:
            stretch(line, base, place, step, weight, chosen[each], out)
            continue
        start = BLOCK * chosen[each]
        for i in range(start, start + BLOCK):
            out[i] = (np.float32(1) - weight[i]) * line[index0[i]] + weight[i] * line[index1[i]]


@njit(cache=True, nogil=True)
def _stretch_between(a, b, share, axis, chosen, out):
    """Interpolate between two lines, then along them as `_stretch` does."""
    index0, index1, weight, base, place, step = axis
    other = np.float32(1) - share
    for each in range(len(chosen)):
        if step >= 0:
            stretch_between(a, b, share, base, place, step, weight, chosen[each], out)
            continue
        start = BLOCK * chosen[each]
        for i in range(start, start + BLOCK):
            lower = other * a[index0[i]] + share * b[index0[i]]
            upper = other * a[index1[i]] + share * b[index1[i]]
            out[i] = (np.float32(1) - weight[i]) * lower + weight[i] * upper


@njit(cache=True, nogil=True)
def _cut(values, chosen, thresholds, words):
    """Set the bits of chosen blocks to where values are above each threshold."""
    blocks = len(words) // 3 * (WORD // BLOCK)
    for each in range(len(chosen)):
        block = chosen[each]
        cut(values, block, thresholds[0], words, block)
        cut(values, block, thresholds[1], words, blocks + block)
        cut(values, block, thresholds[2], words, 2 * blocks + block)


@njit(cache=True, nogil=True)
def _with_room(changes, count, more):
    """Give the first changes in an array that has room for more."""
    if count + more <= len(changes):
        return changes
    grown = np.empty(2 * len(changes) + more, np.int64)
    for index in range(count):
        grown[index] = changes[index]
    return grown


@njit(cache=True, nogil=True)
def _changes(words, carry, base, changes, count):
    """Write down where a line enters or leaves the mask, and whether its last pixel lies in it.

    ``changes`` must have room for all positions of the line and `AT_ONCE` more.
    """
    for index in range(len(words)):
        word = words[index]
        changed = word ^ ((word << ONE) | carry)
        carry = word >> HIGHEST
        if changed:
            number, first = ones(changed), base + WORD * index
            for each in range(AT_ONCE):
                changes[count + each] = first + lowest(changed)
                changed &= changed - ONE
            for each in range(AT_ONCE, number):
                changes[count + each] = first + lowest(changed)
                changed &= changed - ONE
            count += number
    return count, carry


@njit(cache=True, nogil=True)
def _count(words, valid, totals, ever):
    """Add up a line's pixels above each threshold; tell whether any is above the second."""
    count = len(valid)
    low, middle, high, found = 0, 0, 0, np.uint64(0)
    for index in range(count):
        low += ones(words[index] & valid[index])
        here = words[count + index] & valid[index]
        middle += ones(here)
        high += ones(words[2 * count + index] & valid[index])
        ever[index] |= here
        found |= here
    totals[0] += low
    totals[1] += middle
    totals[2] += high
    return found != 0


@njit(cache=True, nogil=True)
def _bounds(words):
    """First and last position of a line whose bits are set; -1 if there is none."""
    first, last = -1, -1
    for index in range(len(words)):
        if words[index]:
            last = WORD * index + bits_needed(words[index]) - 1
            if first < 0:
                first = WORD * index + lowest(words[index])
    return first, last


@njit(cache=True, nogil=True)
def _runs(changes, total):
    """Lengths of the stretches that ``total`` pixels are parted into by changes; the last not 0."""
    count = len(changes)
    runs = np.empty(count + 1, np.int64)
    begun = 0
    for index in range(count):
        runs[index] = changes[index] - begun
        begun = changes[index]
    runs[count] = total - begun
    return runs if begun < total or count == 0 else runs[:count]


@njit(cache=True, nogil=True)
def _paint_line(above, below, weight, threshold, kinds, pixels):
    """Set a line's pixels by what is known of its blocks and by the lines that it is between."""
    for block in range(len(kinds)):
        start = BLOCK * block
        if kinds[block] == BACKGROUND:
            continue
        if start + BLOCK > len(pixels):
            for i in range(start, len(pixels)):
                value = (np.float32(1) - weight) * above[i] + weight * below[i]
                pixels[i] = kinds[block] == FOREGROUND or value > threshold
        elif kinds[block] == FOREGROUND:
            for i in range(BLOCK):
                pixels[start + i] = True
        else:
            blend_above(above, below, weight, threshold, block, pixels)
