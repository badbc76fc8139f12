"""What low-resolution logits tell of an image's pixels without being interpolated.

Lines of pixels are parted into blocks. A block all whose logits lie on one side of the thresholds
is decided by them.
"""

import numpy as np
from numba import njit

from sam_plugins.masks._lanes import LANES

# What is known of logits: neither, all below the lowest threshold, all above the highest. Of logits
# taken together, the bits that all have tell it.
MIXED, BACKGROUND, FOREGROUND = 0, 1, 2

# Bytes of a word, which tell of as many logits, and one of nothing but background.
BYTES, ALL_BACKGROUND = 8, np.uint64(0x0101010101010101)

# Cells of logits that are transposed at once.
FEW = 8


@njit(cache=True, nogil=True)
def padded_lines(logits):
    """Give lines of logits whose last is repeated, with memory for vectors.

    A few cells of all lines after one another, because the lines may be columns in memory.
    """
    lines, cells = logits.shape
    padded = np.empty((lines, cells + 1 + LANES), np.float32)
    whole = cells - cells % FEW
    for start in range(0, whole, FEW):
        for line in range(lines):
            for cell in range(start, start + FEW):
                padded[line, cell] = logits[line, cell]
    for line in range(lines):
        for cell in range(whole, padded.shape[1]):
            padded[line, cell] = logits[line, min(cell, cells - 1)]
    return padded


@njit(cache=True, nogil=True)
def classify(padded, low, high):
    """Tell what is known of each logit of `padded_lines`: (lines, cells / 8) uint64, a byte each.

    Interpolated values stay between those that they come from. The margin is for the rounding of
    the interpolation itself.
    """
    lines, cells = len(padded), padded.shape[1] - 1 - LANES
    # Magnitudes as integers, which are in the same order; not-a-number is the largest.
    largest = np.int32(0)
    for line in range(lines):
        most = np.int32(0)
        for cell in range(cells):
            bits = np.float32(padded[line, cell]).view(np.int32)
            most = max(most, np.int32(bits & np.int32(0x7FFFFFFF)))
        largest = max(largest, most)
    margin = np.float32(1e-5) * np.int32(largest).view(np.float32)
    known = np.empty((lines, -(-cells // BYTES) * BYTES), np.uint8)
    for line in range(lines):
        for cell in range(cells):
            # Comparisons with not-a-number are false: what is not known is interpolated.
            value = padded[line, cell]
            below, above = np.uint8(value + margin <= low), np.uint8(value - margin > high)
            known[line, cell] = below | np.uint8(above << np.uint8(1))
        for cell in range(cells, known.shape[1]):
            known[line, cell] = BACKGROUND | FOREGROUND
    return known.view(np.uint64)


@njit(cache=True, nogil=True)
def group(known, a, b, blocks, common, kinds):
    """Set what is known of each block between the logits' lines ``a`` and ``b``.

    ``common``, as words and as bytes, is for what is known of each cell. Returns whether there is
    any but background.
    """
    words, cells = common
    for word in range(len(words)):
        words[word] = known[a, word]
    for line in range(a + 1, b + 1):
        for word in range(len(words)):
            words[word] &= known[line, word]
    different = np.uint64(0)
    for word in range(len(words)):
        different |= ~words[word] & ALL_BACKGROUND
    if not different:
        for block in range(len(kinds)):
            kinds[block] = BACKGROUND
        return False
    for block in range(len(kinds)):
        first, last = blocks[0, block], blocks[1, block]
        this = cells[first] & cells[last]
        for cell in range(first + 1, last):
            this &= cells[cell]
        kinds[block] = this
    return True


@njit(cache=True, nogil=True)
def mixed_blocks(kinds, blocks, mixed, frame_mixed):
    """Find which blocks are to be interpolated, and on which of the frame's these depend.

    Returns how many these are.
    """
    count = 0
    for block in range(len(kinds)):
        mixed[count] = block
        count += kinds[block] == MIXED
    frame_count, done = 0, 0
    for each in range(count):
        first, last = blocks[2, mixed[each]], blocks[3, mixed[each]]
        for frame_block in range(max(first, done), last):
            frame_mixed[frame_count] = frame_block
            frame_count += 1
        done = max(done, last)
    return count, frame_count
