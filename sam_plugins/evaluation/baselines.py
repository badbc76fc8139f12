"""What needs no model: the shapes to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def filled_ellipse(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Fill the ellipse inside a box.

    Parameters
    ----------
    box : tuple of float
        x0, y0, x1, y1, in pixels.
    size : tuple of int
        (H, W) of the image.

    Returns
    -------
    ndarray of shape (H, W), bool
        Pixels whose centre lies in the ellipse.

    Examples
    --------
    >>> filled_ellipse((0, 0, 4, 4), (4, 5)).astype(int).tolist()
    [[0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 0]]
    """
    x0, y0, x1, y1 = box
    y, x = np.ogrid[: size[0], : size[1]]
    across = (x + 0.5 - (x0 + x1) / 2) / max(x1 - x0, 1e-9)
    down = (y + 0.5 - (y0 + y1) / 2) / max(y1 - y0, 1e-9)
    return across**2 + down**2 <= 0.25


def flood(
    image: NDArray[np.uint8], point: tuple[float, float], *, tolerance: float = 24.0
) -> NDArray[np.bool_]:
    """Flood an image from a click over pixels of a similar gray value.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB; smoothed a little before, because one noisy pixel would decide.
    point : tuple of float
        x then y, in pixels.
    tolerance : float
        Most difference from the clicked pixel, in gray levels.

    Returns
    -------
    ndarray of shape (H, W), bool
        The connected pixels around the click.
    """
    from scipy import ndimage
    from skimage.segmentation import flood as skimage_flood

    gray = ndimage.gaussian_filter(image.astype(np.float32).mean(axis=2), 1.0)
    return skimage_flood(gray, (int(point[1]), int(point[0])), tolerance=tolerance)
