"""Where automatic masks are looked for: grids of points, overlapping crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_plugins.automatic.settings import AutomaticSettings


@dataclass(frozen=True)
class Crop:
    """A part of the image that is looked at by itself.

    Parameters
    ----------
    box : tuple of int
        x0, y0, x1, y1 in pixels of the image, x1 and y1 exclusive.
    layer : int
        0 is the whole image.
    """

    box: tuple[int, int, int, int]
    layer: int


def grid_of(settings: AutomaticSettings, layer: int) -> NDArray[np.float64]:
    """Place the grid points of a crop.

    Parameters
    ----------
    settings : AutomaticSettings
        For ``points_per_side``, ``crop_n_points_downscale_factor`` or ``point_grids``.
    layer : int
        The crop's layer; 0 is the whole image.

    Returns
    -------
    ndarray of shape (n, 2), float64
        x then y, as fractions of the crop.

    Examples
    --------
    >>> grid_of(AutomaticSettings(points_per_side=2), 0).tolist()
    [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    if settings.point_grids is not None:
        return np.array(settings.point_grids[layer], dtype=np.float64).reshape(-1, 2)
    side = max(1, settings.points_per_side // settings.crop_n_points_downscale_factor**layer)
    ticks = np.linspace(0.5 / side, 1 - 0.5 / side, side)
    x, y = np.meshgrid(ticks, ticks)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def crops_of(image_size: tuple[int, int], settings: AutomaticSettings) -> list[Crop]:
    """The whole image, then the overlapping crops of each layer, row by row in x.

    Parameters
    ----------
    image_size : tuple of int
        (H, W), in pixels.
    settings : AutomaticSettings
        For ``crop_n_layers`` and ``crop_overlap_ratio``.

    Returns
    -------
    list of Crop

    Notes
    -----
    Crops of layer i overlap by ``crop_overlap_ratio * short side * 2 / 2^i`` pixels, so that the
    first layer's overlap is the given fraction of the image's short side.

    Examples
    --------
    >>> [crop.box for crop in crops_of((100, 200), AutomaticSettings(crop_n_layers=1))][:2]
    [(0, 0, 200, 100), (0, 0, 117, 67)]
    """
    height, width = image_size
    crops = [Crop((0, 0, width, height), 0)]
    for layer in range(1, settings.crop_n_layers + 1):
        count = 2**layer
        overlap = int(settings.crop_overlap_ratio * min(height, width) * (2 / count))
        crop_width = _crop_side(width, count, overlap)
        crop_height = _crop_side(height, count, overlap)
        for column in range(count):
            for row in range(count):
                x0 = (crop_width - overlap) * column
                y0 = (crop_height - overlap) * row
                box = (x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height))
                crops.append(Crop(box, layer))
    return crops


def _crop_side(side: int, count: int, overlap: int) -> int:
    """Length of ``count`` pieces that cover ``side`` pixels and overlap by ``overlap``."""
    return -(-(overlap * (count - 1) + side) // count)
