"""Compiled kernels that follow and fill outlines."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def trace_rings(mask):
    """Follow the borders of a padded mask, foreground on the right hand.

    Returns the corners of all rings, (n, 2) x then y, and where each ring starts, ending with n.
    """
    height, width = mask.shape
    # Upper borders of foreground pixels, walked from left to right: every ring has one.
    visited = np.zeros((height + 1, width + 1), np.bool_)
    corners = np.empty((1024, 2), np.int64)
    starts = np.empty(64, np.int64)
    count, rings = 0, 0
    # Steps to the right, down, left and up.
    step_x = (1, 0, -1, 0)
    step_y = (0, 1, 0, -1)
    for row in range(1, height):
        for column in range(width):
            if not mask[row, column] or mask[row - 1, column] or visited[row, column]:
                continue
            if rings + 1 >= len(starts):
                grown = np.empty(2 * len(starts), np.int64)
                grown[:rings] = starts[:rings]
                starts = grown
            starts[rings] = count
            rings += 1
            x, y, heading = column, row, 0
            turned = True
            while True:
                if turned:
                    if count >= len(corners):
                        more = np.empty((2 * len(corners), 2), np.int64)
                        more[:count] = corners[:count]
                        corners = more
                    corners[count, 0], corners[count, 1] = x, y
                    count += 1
                if heading == 0:
                    visited[y, x] = True
                x, y = x + step_x[heading], y + step_y[heading]
                # The pixels ahead, to the left and to the right of the heading.
                if heading == 0:
                    left, right = mask[y - 1, x], mask[y, x]
                elif heading == 1:
                    left, right = mask[y, x], mask[y, x - 1]
                elif heading == 2:
                    left, right = mask[y, x - 1], mask[y - 1, x - 1]
                else:
                    left, right = mask[y - 1, x - 1], mask[y - 1, x]
                before = heading
                if not right:
                    # Also where two pixels touch at a corner only: they are separate.
                    heading = (heading + 1) % 4
                elif left:
                    heading = (heading + 3) % 4
                turned = heading != before
                if x == column and y == row and heading == 0:
                    break
    starts[rings] = count
    return corners[:count], starts[: rings + 1]


@njit(cache=True, nogil=True)
def toggle(ring, mask):
    """Toggle the pixels whose centre lies inside a ring (even-odd rule)."""
    height, width = mask.shape
    count = len(ring)
    for index in range(count):
        x0, y0 = ring[index]
        x1, y1 = ring[(index + 1) % count]
        if y0 == y1:
            continue
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        first = max(0, int(np.ceil(y0 - 0.5)))
        last = min(height - 1, int(np.ceil(y1 - 0.5)) - 1)
        for row in range(first, last + 1):
            at = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            column = max(0, int(np.ceil(at - 0.5)))
            for each in range(column, width):
                mask[row, each] = not mask[row, each]
