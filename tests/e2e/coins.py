"""What is true of the sample's first image."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import data, filters, measure

# x, y of two of the coins.
COIN, OTHER = (334, 44), (215, 50)
# The threshold leaves out dark rims: good masks overlap with it by more than this, others by less.
CLOSE = 0.85
HEIGHT, WIDTH = 303, 384


@cache
def truth(coin: tuple[int, int]) -> NDArray[np.bool_]:
    """A coin as it is: by a threshold, which is enough for coins on dark ground."""
    image = data.coins()
    labels = measure.label(ndimage.binary_fill_holes(image > filters.threshold_otsu(image)))
    return labels == labels[coin[1], coin[0]]


def corners(coin: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The box around a coin: x, y of its first corner and of its last."""
    ys, xs = np.nonzero(truth(coin))
    return (int(xs.min()), int(ys.min())), (int(xs.max()) + 1, int(ys.max()) + 1)


def overlap(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((mask & other).sum() / (mask | other).sum())


def box_region(coin: tuple[int, int], label: str = "Cell") -> dict[str, Any]:
    """A coin's box, as a detector would give it to Label Studio."""
    (x0, y0), (x1, y1) = corners(coin)
    return {
        "id": f"box-{coin[0]}-{coin[1]}",
        "type": "rectanglelabels",
        "from_name": "boxes",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {
            "x": 100 * x0 / WIDTH,
            "y": 100 * y0 / HEIGHT,
            "width": 100 * (x1 - x0) / WIDTH,
            "height": 100 * (y1 - y0) / HEIGHT,
            "rotation": 0,
            "rectanglelabels": [label],
        },
    }
