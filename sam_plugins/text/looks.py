"""What candidate masks look like: a crop and a few measurements each, for the text tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

CROP = 40  # side of a crop, in pixels
MARGIN = 1.2  # a crop's side over that of the mask's box
LEAST_SIDE = 12  # of the image a crop shows, in pixels
MEASURES = 18
# Brightness of red, green and blue, equal as in the scenes that the tower learned from.
_LUMA = np.full(3, 1 / 3, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Looks:
    """N candidate masks of one image as the tower sees them.

    Parameters
    ----------
    crops : ndarray of shape (N, 4, CROP, CROP), uint8
        RGB about the mask, and the mask itself (0 or 255, soft at its border).
    measures : ndarray of shape (N, MEASURES), float32
        Centre x and y (shares of the image's width and height), logarithm of the area's share,
        width, height, filling of the box, both axes of inertia, compactness, mean RGB inside,
        brightness inside and around, spread of RGB, share of the image's border.
    """

    crops: NDArray[np.uint8]
    measures: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.measures)


def looks_of(rgb: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]]) -> Looks:
    """Look at candidate masks.

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3), uint8
        The image.
    masks : sequence of ndarray of shape (H, W), bool
        N masks, each with a pixel or more.

    Returns
    -------
    Looks
    """
    crops = np.zeros((len(masks), 4, CROP, CROP), dtype=np.uint8)
    measures = np.zeros((len(masks), MEASURES), dtype=np.float32)
    for index, mask in enumerate(masks):
        window = _window(mask)
        crops[index] = _crop(rgb, mask, window)
        measures[index] = _measure(rgb, mask, window)
    return Looks(crops, measures)


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _crop(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], window: tuple[slice, slice]
) -> NDArray[np.uint8]:
    """A square about the mask's box, the image's own edge repeated beyond it: (4, CROP, CROP)."""
    rows, columns = window
    side = max(MARGIN * max(rows.stop - rows.start, columns.stop - columns.start), LEAST_SIDE)
    y0 = int(np.floor((rows.start + rows.stop - side) / 2))
    x0 = int(np.floor((columns.start + columns.stop - side) / 2))
    length = int(np.ceil(side))
    height, width = mask.shape
    y, x = np.arange(y0, y0 + length), np.arange(x0, x0 + length)
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
    grid = np.ix_(y.clip(0, height - 1), x.clip(0, width - 1))
    pixels = np.concatenate([rgb[grid], np.where(mask[grid] & inside, 255, 0)[..., None]], axis=2)
    way = Image.Resampling.BOX if length > CROP else Image.Resampling.BILINEAR
    channels = [
        np.asarray(Image.fromarray(pixels[..., i].astype(np.uint8)).resize((CROP, CROP), way))
        for i in range(4)
    ]
    return np.stack(channels)


def _measure(
    rgb: NDArray[np.uint8], mask: NDArray[np.bool_], window: tuple[slice, slice]
) -> NDArray[np.float32]:
    height, width = mask.shape
    y, x = np.nonzero(mask[window])
    area = len(y)
    scale = np.sqrt(height * width)
    box_height, box_width = mask[window].shape
    spread = np.cov(np.stack([x, y])) if area > 2 else np.eye(2)
    axes = np.sqrt(np.linalg.eigvalsh(spread).clip(0))[::-1] / scale
    inner = ndimage.binary_erosion(np.pad(mask[window], 1))[1:-1, 1:-1]
    border = area - int(inner.sum())
    colours = rgb[window][mask[window]].astype(np.float32) / 255  # (area, 3)
    grown = tuple(
        slice(max(part.start - 4, 0), min(part.stop + 4, side))
        for part, side in zip(window, mask.shape, strict=True)
    )
    around = rgb[grown][~mask[grown]] if not mask[grown].all() else np.zeros((1, 3), np.uint8)
    edges = mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum()
    return np.array(
        [
            (window[1].start + x.mean() + 0.5) / width,
            (window[0].start + y.mean() + 0.5) / height,
            np.log(area / (height * width)),
            box_width / width,
            box_height / height,
            area / (box_width * box_height),
            *axes,
            border**2 / area / 50,
            *colours.mean(axis=0),
            float(colours.mean(axis=0) @ _LUMA),
            float((around.mean(axis=0) / 255) @ _LUMA),
            *colours.std(axis=0),
            edges / (2 * (height + width)),
        ],
        dtype=np.float32,
    )
