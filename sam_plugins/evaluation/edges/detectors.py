"""Edge detectors that need no model: what a model's edges are compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2gray

from sam_plugins.evaluation.edges.thinning import suppress_non_maxima

# Of the Gaussian that Canny's gradients are taken of, in pixels.
CANNY_SIGMA = 2.0
# Of Canny's thresholds, the lower one as a fraction of the higher.
CANNY_LOW = 0.4
CANNY_STEPS = 100


def sobel(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Sobel's gradient magnitude, of the colour where it is largest, thinned.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.

    Returns
    -------
    ndarray of shape (H, W), float64
        0 .. 1.
    """
    colors = image / 255.0
    magnitude = np.hypot(ndimage.sobel(colors, 0), ndimage.sobel(colors, 1)).max(axis=2)
    return suppress_non_maxima(magnitude / max(magnitude.max(), 1e-12))


def canny(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Canny's edges, each with the highest threshold at which it is one.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.

    Returns
    -------
    ndarray of shape (H, W), float64
        0 .. 1.
    """
    gray = rgb2gray(image)
    orders = ((1, 0), (0, 1))
    gradient = [ndimage.gaussian_filter(gray, CANNY_SIGMA, order=order) for order in orders]
    ridges = _maxima_along(np.hypot(*gradient), *gradient)
    ridges /= max(ridges.max(), 1e-12)
    edges = np.zeros_like(ridges)
    for high in np.arange(1, CANNY_STEPS + 1) / CANNY_STEPS:
        weak, _ = ndimage.label(ridges >= CANNY_LOW * high, structure=np.ones((3, 3)))
        strong = np.unique(weak[ridges >= high])
        edges[np.isin(weak, strong[strong > 0])] = high
    return edges


def _maxima_along(
    magnitude: NDArray[np.float64], dy: NDArray[np.float64], dx: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The magnitude where it is a maximum along its own gradient, 0 elsewhere."""
    length = np.maximum(magnitude, 1e-12)
    y, x = np.mgrid[: magnitude.shape[0], : magnitude.shape[1]].astype(np.float64)
    sides = [
        ndimage.map_coordinates(
            magnitude, [y + s * dy / length, x + s * dx / length], order=1, mode="nearest"
        )
        for s in (-1, 1)
    ]
    return np.where((magnitude >= sides[0]) & (magnitude > sides[1]), magnitude, 0.0)
