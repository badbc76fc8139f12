"""Edge maps whose edges are one pixel wide: what is no maximum across its edge goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# Of the map in which directions are measured, as in structured edges (Dollar and Zitnick, 2015).
SMOOTHING = 4.0
# Neighbours must exceed a pixel by this factor to suppress it: plateaus survive.
FACTOR = 1.01
# Pixels at the image's border whose values fade out.
BORDER = 5


def suppress_non_maxima(edges: NDArray[np.floating]) -> NDArray[np.float64]:
    """Keep the maxima across edges.

    Parameters
    ----------
    edges : ndarray of shape (H, W), float
        How strong edges are, 0 or more.

    Returns
    -------
    ndarray of shape (H, W), float64
        The same values on ridges, 0 elsewhere.
    """
    edges = np.asarray(edges, dtype=np.float64)
    smooth = ndimage.gaussian_filter(edges, SMOOTHING / 2, mode="nearest")
    (yy, xy), (_, xx) = (np.gradient(each) for each in np.gradient(smooth))
    # The direction in which a ridge bends most is across it.
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    along = (
        xx * np.cos(angle) ** 2 + 2 * xy * np.sin(angle) * np.cos(angle) + (yy * np.sin(angle) ** 2)
    )
    across = xx + yy - along
    angle = np.where(np.abs(along) >= np.abs(across), angle, angle + np.pi / 2)
    y, x = np.mgrid[: edges.shape[0], : edges.shape[1]].astype(np.float64)
    dy, dx = np.sin(angle), np.cos(angle)
    neighbours = [
        ndimage.map_coordinates(edges, [y + sign * dy, x + sign * dx], order=1, mode="nearest")
        for sign in (-1, 1)
    ]
    ridge = (edges * FACTOR >= neighbours[0]) & (edges * FACTOR >= neighbours[1])
    return np.where(ridge, edges, 0.0) * _fade(edges.shape)


def _fade(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """1 inside, falling to 0 towards the border."""
    sides = [np.minimum(np.arange(size), np.arange(size)[::-1]) for size in shape]
    fades = [np.minimum(side / BORDER, 1.0) for side in sides]
    return fades[0][:, None] * fades[1][None, :]
