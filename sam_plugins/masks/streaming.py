"""From low-resolution logits straight to runs, boxes, areas and stability scores.

`Frame.upsample` defines a mask at the image's size: bilinear to the frame, cut, bilinear to the
image. Here the same values are computed line by line, and only where they are needed: bilinear
values lie between those that they come from, so that a stretch whose low-resolution logits are all
well above or well below the threshold is decided without interpolation. A mask of any size takes
the memory of two lines and its runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sam_plugins.frames import Frame
from sam_plugins.threads import share

# Unsigned, because for indices that may be negative nothing would be vectorised.
Positions = tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class MaskSummaries:
    """What is known of K masks without making them.

    Parameters
    ----------
    boxes : ndarray of shape (K, 4), int64
        Inclusive x0, y0, x1, y1 in pixels of the (full) image; zeros for an empty mask.
    areas : ndarray of shape (K,), int64
        In pixels.
    stability : ndarray of shape (K,), float64
        Stability scores; 0 for an empty mask.
    rles : list of dict
        Compressed COCO RLE; empty if they were not asked for.
    """

    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]
    stability: NDArray[np.float64]
    rles: list[dict[str, Any]]


def summarize(
    logits: NDArray[np.float32],
    frame: Frame,
    *,
    threshold: float = 0.0,
    stability_offset: float = 1.0,
    with_rle: bool = True,
    offset: tuple[int, int] = (0, 0),
    full_size: tuple[int, int] | None = None,
    threads: int | None = None,
) -> MaskSummaries:
    """Runs, boxes, areas and stability scores of masks at the image's size.

    Parameters
    ----------
    logits : ndarray of shape (K, h, w), float32
        Low-resolution logits.
    frame : Frame
        How the image (or the crop) lies in the model's frame.
    threshold : float
        Logits above it are foreground.
    stability_offset : float
        The stability score compares cuts this much above and below the threshold.
    with_rle : bool
        Whether runs are wanted.
    offset : tuple of int
        (x, y) of the crop in the full image, in pixels.
    full_size : tuple of int, optional
        (H, W) of the full image; by default the frame's image is the full image.
    threads : int, optional
        By default as many as PyTorch uses.

    Returns
    -------
    MaskSummaries

    Raises
    ------
    ValueError
        If the logits do not fit the frame or the crop does not fit the full image.
    """
    check_fit(logits.shape, frame, offset, full_size)
    height, width = full_size or frame.image_size
    geometry = _geometry(frame)
    cuts = [np.float32(threshold + step * stability_offset) for step in (-1, 0, 1)]

    def one(mask: NDArray[np.float32]) -> tuple[list[int], int, float, dict[str, Any] | None]:
        from sam_plugins.masks import _streaming_kernels as kernels

        # Runs go column by column, so x is the outer axis.
        runs, area, high, low, x0, x1, y0, y1 = kernels.trace(
            np.ascontiguousarray(mask.T), *geometry.x_outer, *cuts, (width, height), offset
        )
        box = [0, 0, 0, 0]
        if area:
            box = [x0 + offset[0], y0 + offset[1], x1 + offset[0], y1 + offset[1]]
        rle = None
        if with_rle:
            counts = kernels.compress(runs).tobytes().decode("ascii")
            rle = {"size": [height, width], "counts": counts}
        return box, area, high / low if low else 0.0, rle

    masks = np.asarray(logits, dtype=np.float32)
    results: dict[int, tuple[list[int], int, float, dict[str, Any] | None]] = {}

    def some(numbers: Iterator[int]) -> None:
        for number in numbers:
            results[number] = one(masks[number])

    share(range(len(masks)), some, threads=threads)
    found = [results[number] for number in range(len(masks))]
    return MaskSummaries(
        boxes=np.array([box for box, *_ in found], dtype=np.int64).reshape(-1, 4),
        areas=np.array([area for _, area, *_ in found], dtype=np.int64),
        stability=np.array([score for *_, score, _ in found], dtype=np.float64),
        rles=[rle for *_, rle in found if rle is not None],
    )


def mask_at_image_size(
    logits: NDArray[np.float32], frame: Frame, *, threshold: float = 0.0
) -> NDArray[np.bool_]:
    """One mask at the image's size.

    Parameters
    ----------
    logits : ndarray of shape (h, w), float32
        Low-resolution logits.
    frame : Frame
        How the image lies in the model's frame.
    threshold : float
        Logits above it are foreground.

    Returns
    -------
    ndarray of shape (H, W), bool
    """
    return masks_at_image_size(logits[None], frame, threshold=threshold)[0]


def masks_at_image_size(
    logits: NDArray[np.float32], frame: Frame, *, threshold: float = 0.0
) -> NDArray[np.bool_]:
    """Several masks at the image's size.

    Parameters
    ----------
    logits : ndarray of shape (K, h, w), float32
        Low-resolution logits.
    frame : Frame
        How the image lies in the model's frame.
    threshold : float
        Logits above it are foreground.

    Returns
    -------
    ndarray of shape (K, H, W), bool
    """
    from sam_plugins.masks import _streaming_kernels as kernels

    check_fit(logits.shape, frame)
    height, width = frame.image_size
    masks = np.zeros((len(logits), height, width), dtype=np.bool_)
    rows = np.ascontiguousarray(logits, dtype=np.float32)
    y_outer, cut = _geometry(frame).y_outer, np.float32(threshold)

    def paint(numbers: Iterator[int]) -> None:
        for number in numbers:
            kernels.paint(rows[number], *y_outer, cut, masks[number])

    share(range(len(masks)), paint)
    return masks


def prepare() -> None:
    """Compile what makes masks; seconds, once after installation, and nothing later.

    The compiled code is kept on disk. Who has a person waiting for a first mask calls this in a
    thread, while a model is loaded or an image encoded.
    """
    frame = Frame((2, 2), 8, 4)
    logits = np.zeros((1, *frame.low_resolution_size), dtype=np.float32)
    mask_at_image_size(logits[0], frame)
    summarize(logits, frame)


def check_fit(
    shape: tuple[int, ...],
    frame: Frame,
    offset: tuple[int, int] = (0, 0),
    full_size: tuple[int, int] | None = None,
) -> None:
    """Raise unless logits fit a frame, and a crop the full image.

    Parameters
    ----------
    shape : tuple of int
        Of the logits; (K, h, w) is right.
    frame, offset, full_size
        See `summarize`.

    Raises
    ------
    ValueError
        Names the sizes.
    """
    if len(shape) != 3 or shape[1:] != frame.low_resolution_size:
        raise ValueError(
            f"logits must have the shape (K, {', '.join(map(str, frame.low_resolution_size))}), "
            f"got {shape}"
        )
    height, width = frame.image_size
    full = full_size or frame.image_size
    x, y = offset
    if x < 0 or y < 0 or y + height > full[0] or x + width > full[1]:
        raise ValueError(
            f"a crop of {height} x {width} at x {x}, y {y} does not lie in an image of "
            f"{full[0]} x {full[1]}"
        )


@dataclass(frozen=True, eq=False)
class _Geometry:
    """Arguments of the kernel for either axis as the outer one."""

    x_outer: tuple[Any, ...]
    y_outer: tuple[Any, ...]


@lru_cache(maxsize=64)
def _geometry(frame: Frame) -> _Geometry:
    (height, width), (in_height, in_width) = frame.image_size, frame.input_size
    rows, columns = frame.low_resolution_size
    y = _Axis.of((rows, frame.frame_size), (in_height, height))
    x = _Axis.of((columns, frame.frame_size), (in_width, width))
    return _Geometry(x_outer=(*x, *y), y_outer=(*y, *x))


class _Axis(NamedTuple):
    """How positions of one axis of the image depend on those of the frame, and these on logits."""

    image: Positions
    frame: Positions
    bands: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, to_frame: tuple[int, int], to_image: tuple[int, int]) -> _Axis:
        """From the lengths (logits, frame) and (part of the frame, image)."""
        image, frame = _positions(*to_image), _positions(*to_frame)
        return cls(image, frame, _bands(image, frame, to_frame[0]))


def _positions(source: int, target: int) -> Positions:
    """For each target position: two source positions and the weight of the second.

    As PyTorch's bilinear interpolation with ``align_corners=False`` computes them, in float32.
    """
    position = np.arange(target, dtype=np.uint32)
    if source == target:
        return position, position, np.zeros(target, dtype=np.float32)
    scale = np.float32(source) / np.float32(target)
    at = scale * (position.astype(np.float32) + np.float32(0.5)) - np.float32(0.5)
    at = at.clip(min=np.float32(0))
    last = np.uint32(source - 1)
    first = np.minimum(at.astype(np.uint32), last)
    weight = (at - first.astype(np.float32)).clip(0, 1).astype(np.float32)
    return first, np.minimum(first + np.uint32(1), last), weight


def _bands(image: Positions, frame: Positions, cells: int) -> tuple[NDArray[np.int64], ...]:
    """Stretches of positions that depend on the same of the low-resolution positions (cells)."""
    low, high = frame[0][image[0]], frame[1][image[1]]
    change = np.flatnonzero((np.diff(low) != 0) | (np.diff(high) != 0)) + 1
    start = np.concatenate([[0], change])
    stop = np.concatenate([change, [len(low)]])
    first, last = low[start], high[start]
    opens = np.searchsorted(first, np.arange(cells), side="left")
    closes = np.searchsorted(last, np.arange(cells), side="right")
    found = (start, stop, first, last, image[0][start], image[1][stop - 1] + 1, opens, closes)
    return tuple(each.astype(np.int64) for each in found)
