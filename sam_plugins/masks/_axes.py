"""How positions of the image depend on those of the frame, and these on low-resolution logits.

Tables for `_streaming_kernels`, once for images of one size.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam_plugins.frames import Frame
from sam_plugins.masks._lanes import BLOCK, LANES

# Bits of a word, each of which stands for a position.
WORD = 64

Indices = NDArray[np.int64]


class Resampling(NamedTuple):
    """Where each position of a line lies on a shorter or longer one.

    Behind the last position it is repeated, at least once and to a whole number of words: what is
    interpolated there is the last value again.

    Parameters
    ----------
    first, second : ndarray of shape (positions,), uint32
        The two neighbours. Unsigned, because for indices that may be negative nothing would be
        vectorised.
    weight : ndarray of shape (positions,), float32
        Of the second.
    base : ndarray of shape (positions / LANES,), int64
    place : ndarray of shape (positions,), int32
    step : int
        See `_lanes.stretch`; -1 for a step where neighbours are too far from one another.
    """

    first: NDArray[np.uint32]
    second: NDArray[np.uint32]
    weight: NDArray[np.float32]
    base: Indices
    place: NDArray[np.int32]
    step: int

    @classmethod
    def of(cls, source: int, target: int, kept: int) -> Resampling:
        """As PyTorch's bilinear interpolation with ``align_corners=False``, in float32.

        Parameters
        ----------
        source, target : int
            Positions of the line, and of what it is resampled to.
        kept : int
            How many of the latter there are tables for.
        """
        position = np.arange(kept, dtype=np.uint32)
        first: NDArray[np.uint32] = position
        second: NDArray[np.uint32] = position
        weight: NDArray[np.float32] = np.zeros(kept, dtype=np.float32)
        if source != target:
            scale = np.float32(source) / np.float32(target)
            at = scale * (position.astype(np.float32) + np.float32(0.5)) - np.float32(0.5)
            at = at.clip(min=np.float32(0))
            last = np.uint32(source - 1)
            first = np.minimum(at.astype(np.uint32), last)
            second = np.minimum(first + np.uint32(1), last)
            weight = (at - first.astype(np.float32)).clip(0, 1).astype(np.float32)
        more = (0, (kept // WORD + 1) * WORD - kept)
        first, second = np.pad(first, more, mode="edge"), np.pad(second, more, mode="edge")
        weight = np.pad(weight, more, mode="edge")
        base = first[::LANES].astype(np.int64)
        place = first.astype(np.int64) - base.repeat(LANES)
        step = -1 if place.max() >= LANES else int(source != target)
        return cls(first, second, weight, base, place.astype(np.int32), step)


class Axis(NamedTuple):
    """One axis of the image.

    Parameters
    ----------
    image : Resampling
        Of the frame's lines.
    frame : Resampling
        Of the logits' lines.
    length : int
        Positions of the image.
    groups : ndarray of shape (4, groups)
        Positions of the image that depend on the same logits: first and last + 1; these logits:
        first and last.
    blocks : ndarray of shape (4, blocks)
        On what the positions of a block depend: logits, first and last; blocks of the frame, first
        and last + 1.
    """

    image: Resampling
    frame: Resampling
    length: int
    groups: Indices
    blocks: Indices

    @classmethod
    def of(cls, to_frame: tuple[int, int], to_image: tuple[int, int]) -> Axis:
        """From the lengths (logits, frame) and (part of the frame, image)."""
        image = Resampling.of(*to_image, kept=to_image[1])
        frame = Resampling.of(*to_frame, kept=to_image[0])
        low = frame.first[image.first].astype(np.int64)
        high = frame.second[image.second].astype(np.int64)
        change = np.flatnonzero(np.diff(low[: to_image[1]]) | np.diff(high[: to_image[1]])) + 1
        start, stop = np.concatenate([[0], change]), np.concatenate([change, [to_image[1]]])
        groups = np.stack([start, stop, low[start], high[start]])
        # Behind a position, its neighbour on the line is read as well, whatever its weight.
        behind = image.first[BLOCK - 1 :: BLOCK].astype(np.int64) + 1
        frame_first = image.first[::BLOCK].astype(np.int64) // BLOCK
        cells = low[::BLOCK], high[BLOCK - 1 :: BLOCK]
        blocks = np.stack([*cells, frame_first, behind // BLOCK + 1])
        return cls(image, frame, to_image[1], groups, blocks)


@lru_cache(maxsize=64)
def axes_of(frame: Frame) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """y and x of the images that lie so in a frame.

    Parameters
    ----------
    frame : Frame

    Returns
    -------
    tuple of tuple
        Each an `Axis`, but without names: compiled code that is kept on disk could not be loaded
        once the class behind them is changed.
    """
    (height, width), (in_height, in_width) = frame.image_size, frame.input_size
    rows, columns = frame.low_resolution_size
    y = Axis.of((rows, frame.frame_size), (in_height, height))
    x = Axis.of((columns, frame.frame_size), (in_width, width))
    return _unnamed(y), _unnamed(x)


def _unnamed(value: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_unnamed(each) if isinstance(each, tuple) else each for each in value)
