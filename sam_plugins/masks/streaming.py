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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.frames import Frame
from sam_plugins.threads import share


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
    from sam_plugins.masks._axes import axes_of

    y_axis, x_axis = axes_of(frame)
    cuts = tuple(np.float32(threshold + step * stability_offset) for step in (-1, 0, 1))

    def one(mask: NDArray[np.float32]) -> tuple[list[int], int, float, dict[str, Any] | None]:
        from sam_plugins.masks import _streaming_kernels as kernels

        # Runs go column by column, so x is the outer axis.
        runs, (low, area, high), x0, x1, y0, y1 = kernels.trace(
            mask.T, x_axis, y_axis, cuts, (width, height), offset
        )
        box = [0, 0, 0, 0]
        if area:
            box = [x0 + offset[0], y0 + offset[1], x1 + offset[0], y1 + offset[1]]
        rle = None
        if with_rle:
            counts = kernels.compress(runs).tobytes().decode("ascii")
            rle = {"size": [height, width], "counts": counts}
        return box, area, high / low if low else 0.0, rle

    masks = np.ascontiguousarray(logits, dtype=np.float32)
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
    from sam_plugins.masks._axes import axes_of

    check_fit(logits.shape, frame)
    height, width = frame.image_size
    masks = np.zeros((len(logits), height, width), dtype=np.bool_)
    rows = np.ascontiguousarray(logits, dtype=np.float32)
    (y_axis, x_axis), cut = axes_of(frame), np.float32(threshold)

    def paint(numbers: Iterator[int]) -> None:
        for number in numbers:
            kernels.paint(rows[number], y_axis, x_axis, cut, masks[number])

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
