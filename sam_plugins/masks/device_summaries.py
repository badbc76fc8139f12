"""What `streaming` makes on a CPU, made by PyTorch where the logits are: on a GPU.

A GPU has the memory for masks at the image's size, a few at a time, but a narrow way to the host:
of a chunk of masks only the places where runs change and a few numbers go there, in one copy.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sam_plugins.frames import Frame
from sam_plugins.masks import streaming
from sam_plugins.masks.streaming import MaskSummaries

# What a chunk of masks may take on the device.
CHUNK_BYTES = 256 * 2**20
# What a mask takes for each pixel of the frame (its logit, and that without the padding), and for
# each of the image: its logit, three booleans, and on average less than one change of runs.
FRAME_PIXEL_BYTES, IMAGE_PIXEL_BYTES = 8, 8


def summarize_where_it_is(logits: Tensor, frame: Frame, **options: Any) -> MaskSummaries:
    """Summarize masks by the compiled kernels on a CPU, by PyTorch elsewhere.

    Parameters
    ----------
    logits : Tensor of shape (K, h, w), float32
        Low-resolution logits.
    frame : Frame
        How the image (or the crop) lies in the model's frame.
    **options
        Keyword arguments that `streaming.summarize` and `summarize_on_device` both take.

    Returns
    -------
    MaskSummaries
    """
    if logits.device.type == "cpu":
        return streaming.summarize(logits.numpy(), frame, **options)
    return summarize_on_device(logits, frame, **options)


def summarize_on_device(
    logits: Tensor,
    frame: Frame,
    *,
    threshold: float = 0.0,
    stability_offset: float = 1.0,
    with_rle: bool = True,
    offset: tuple[int, int] = (0, 0),
    full_size: tuple[int, int] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> MaskSummaries:
    """Runs, boxes, areas and stability scores of masks at the image's size.

    Parameters
    ----------
    logits : Tensor of shape (K, h, w)
        Low-resolution logits, on any device.
    frame, threshold, stability_offset, with_rle, offset, full_size
        See `streaming.summarize`.
    chunk_bytes : int
        Memory of the device that masks may take at once; a single one takes what it needs.

    Returns
    -------
    MaskSummaries
        Of the masks that `Frame.mask_at_image_size` gives on this device.

    Raises
    ------
    ValueError
        If the logits do not fit the frame or the crop does not fit the full image.
    """
    streaming.check_fit(tuple(logits.shape), frame, offset, full_size)
    place = _Place(frame.image_size, full_size or frame.image_size, offset)
    cuts = [float(np.float32(threshold + step * stability_offset)) for step in (-1, 0, 1)]
    parts = logits.split(_masks_at_once(frame, chunk_bytes)) if len(logits) else ()
    numbers, codes = [np.empty((_NUMBERS, 0), dtype=np.int64)], []
    # The runs of a chunk are compressed while the device makes the next.
    with ThreadPoolExecutor(1) as pool:
        for part in parts:
            found, changes = _measure(frame.upsample(part), cuts, place if with_rle else None)
            numbers.append(found)
            if with_rle:
                codes.append(pool.submit(_rles, changes, len(part), place))
    rles = [rle for some in codes for rle in some.result()]
    return _summaries(np.concatenate(numbers, axis=1), offset, rles)


@dataclass(frozen=True)
class _Place:
    """Where an image, or a crop, lies in the full image, and how its pixels are numbered.

    Column by column, as in the full image; below a crop that does not fill the full image's
    columns, each has one pixel of background more, which ends its last run.
    """

    size: tuple[int, int]  # (H, W)
    full_size: tuple[int, int]  # (H, W)
    offset: tuple[int, int]  # (x, y)

    @property
    def column(self) -> int:
        """Pixels of a column."""
        return self.size[0] + (self.size[0] < self.full_size[0])

    @property
    def pixels(self) -> int:
        """Pixels of all columns."""
        return self.column * self.size[1]

    def in_full_image(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions in the full image, column by column, of those in the crop."""
        column, row = np.divmod(positions, self.column)
        return (column + self.offset[0]) * self.full_size[0] + row + self.offset[1]


def _masks_at_once(frame: Frame, chunk_bytes: int) -> int:
    height, width = frame.image_size
    each = FRAME_PIXEL_BYTES * frame.frame_size**2 + IMAGE_PIXEL_BYTES * height * width
    return max(1, chunk_bytes // each)


# Area, pixels above the higher and the lower cut, first and last column, first and last row.
_NUMBERS = 7


def _measure(
    logits: Tensor, cuts: list[float], place: _Place | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Measure masks of logits (n, H, W): numbers (7, n); with a place also `_changes` (m,)."""
    low, middle, high = cuts
    masks = logits > middle  # (n, H, W)
    areas = [each.sum((1, 2)) for each in (masks, logits > high, logits > low)]
    numbers = torch.stack([*areas, *_ends(masks.any(1)), *_ends(masks.any(2))])  # (7, n)
    packed = [numbers.flatten()]
    if place is not None:
        packed.append(_changes(masks, place))
    found = torch.cat(packed).cpu().numpy()  # (7 n + m,)
    return found[: numbers.numel()].reshape(_NUMBERS, -1), found[numbers.numel() :]


def _ends(present: Tensor) -> tuple[Tensor, Tensor]:
    """First and last position (n,) at which each row of (n, length) is true."""
    length = present.shape[1]
    positions = torch.arange(length, device=present.device)
    first = positions.expand_as(present).masked_fill(~present, length).amin(1)
    last = positions.expand_as(present).masked_fill(~present, -1).amax(1)
    return first, last


def _changes(masks: Tensor, place: _Place) -> Tensor:
    """Find where masks (n, H, W) begin and end column by column, in `place.pixels` + 1 positions.

    A position (m,) is counted through all masks; the last of a mask lies behind its pixels.
    """
    # With a pixel of background before the first and behind the last.
    lines = masks.new_zeros(len(masks), place.pixels + 2)
    columns = lines[:, 1:-1].unflatten(1, (masks.shape[2], place.column))  # (n, W, column)
    columns[..., : masks.shape[1]] = masks.mT
    return (lines[:, 1:] != lines[:, :-1]).flatten().nonzero()[:, 0]


def _rles(changes: NDArray[np.int64], count: int, place: _Place) -> list[dict[str, Any]]:
    """Compressed COCO RLEs of ``count`` masks from their changes (m,)."""
    from sam_plugins.masks import _streaming_kernels as kernels

    mask, position = np.divmod(changes, place.pixels + 1)
    position = place.in_full_image(position)
    height, width = place.full_size
    rles = []
    for start, stop in pairwise(np.searchsorted(mask, np.arange(count + 1))):
        runs = np.diff(position[start:stop], prepend=0, append=height * width)
        # A mask that holds the last pixel ends with the image.
        runs = runs if runs[-1] else runs[:-1]
        counts = kernels.compress(runs).tobytes().decode("ascii")
        rles.append({"size": [height, width], "counts": counts})
    return rles


def _summaries(
    numbers: NDArray[np.int64], offset: tuple[int, int], rles: list[dict[str, Any]]
) -> MaskSummaries:
    """From the numbers (7, K) of all masks."""
    areas, high, low, x0, x1, y0, y1 = numbers
    boxes = np.stack([x0, y0, x1, y1], axis=1) + np.array([*offset, *offset])  # (K, 4)
    boxes[areas == 0] = 0
    stability = np.divide(high, low, out=np.zeros(len(low)), where=low > 0)
    return MaskSummaries(boxes=boxes, areas=areas, stability=stability, rles=rles)
