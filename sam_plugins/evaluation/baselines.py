"""What needs no model: the shapes to beat."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import SamPluginsError

# The random walk is solved on an image whose long side is this: the time grows faster than the
# number of pixels, and its outlines are coarser than that anyway.
WALK_SIDE = 256
# Weight of the contrast of neighbouring pixels, the default of skimage.segmentation.random_walker.
WALK_BETA = 130

# GrabCut (Rother, Kolmogorov, Blake 2004) alternates between colours and outline, here this often.
# The crop is the box with this share of its sides around it, for the colours of the background.
GRABCUT_ROUNDS = 3
GRABCUT_MARGIN = 0.35
# Smaller boxes have too few pixels for the five colours that either side is described by.
GRABCUT_LEAST_SIDE = 40


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


def filled_box(box: tuple[float, float, float, float], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill a box.

    Parameters
    ----------
    box : tuple of float
        x0, y0, x1, y1, in pixels.
    size : tuple of int
        (H, W) of the image.

    Returns
    -------
    ndarray of shape (H, W), bool
        Pixels whose centre lies in the box.

    Examples
    --------
    >>> filled_box((1, 0, 3, 1), (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    x0, y0, x1, y1 = box
    y, x = np.ogrid[: size[0], : size[1]]
    return (x + 0.5 > x0) & (x + 0.5 < x1) & (y + 0.5 > y0) & (y + 0.5 < y1)


def random_walk(image: NDArray[np.uint8], point: tuple[float, float]) -> NDArray[np.bool_]:
    """Segment by random walks: the object from the click, the background from the image's edge.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    point : tuple of float
        x then y, in pixels.

    Returns
    -------
    ndarray of shape (H, W), bool
        Pixels from which a walk (Grady 2006) is likelier to meet the click first.
    """
    from skimage.segmentation import random_walker
    from skimage.transform import resize

    height, width = image.shape[:2]
    scale = min(1.0, WALK_SIDE / max(height, width))
    size = (max(3, round(height * scale)), max(3, round(width * scale)))
    small = resize(image, size, anti_aliasing=scale < 1, preserve_range=True) / 255.0
    row = min(int(point[1] * size[0] / height), size[0] - 1)
    column = min(int(point[0] * size[1] / width), size[1] - 1)
    seeds = np.zeros(size, dtype=np.int32)
    seeds[[0, -1]] = seeds[:, [0, -1]] = 2
    # A cross, not one pixel, which noise would decide.
    seeds[max(0, row - 1) : row + 2, column] = seeds[row, max(0, column - 1) : column + 2] = 1
    if not (seeds == 2).any() or np.ptp(small) == 0:
        return np.zeros((height, width), dtype=bool)
    chances = random_walker(
        small,
        seeds,
        beta=WALK_BETA,
        mode="cg_j",
        # No warning of chances above 1 in regions that are almost cut off; only 0.5 matters.
        prob_tol=np.inf,
        return_full_prob=True,
        channel_axis=-1,
    )
    return resize(chances[0], (height, width), order=1) > 0.5


def opencv() -> ModuleType:
    """Import OpenCV, which only GrabCut needs.

    Returns
    -------
    module
        ``cv2``.

    Raises
    ------
    SamPluginsError
        If it is not installed; names the extra that brings it.
    """
    try:
        import cv2
    except ImportError as error:
        raise SamPluginsError(
            "GrabCut needs OpenCV, which needs an extra: pip install 'sam-plugins[bench]'"
        ) from error
    return cv2


def grabcut(image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """Segment what is in a box by the colours inside and around it: OpenCV's GrabCut.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    box : tuple of float
        x0, y0, x1, y1, in pixels.

    Returns
    -------
    ndarray of shape (H, W), bool
        The ellipse in the box where GrabCut finds nothing or cannot begin: it needs pixels outside
        the box, and as many colours as it looks for.

    Raises
    ------
    SamPluginsError
        If OpenCV is not installed.
    """
    cv2 = opencv()
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(side) for side in box)
    across, down = round(GRABCUT_MARGIN * (x1 - x0)) + 1, round(GRABCUT_MARGIN * (y1 - y0)) + 1
    left, top = max(0, x0 - across), max(0, y0 - down)
    crop = image[top : min(height, y1 + down), left : min(width, x1 + across)]
    scale = max(1.0, GRABCUT_LEAST_SIDE / max(1, x1 - x0, y1 - y0))
    large = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    inner = [round(scale * side) for side in (x0 - left, y0 - top, x1 - x0, y1 - y0)]
    marks = np.zeros(large.shape[:2], dtype=np.uint8)
    cv2.setRNGSeed(0)  # its first guess of the colours is a random one
    try:
        unused = (np.zeros((1, 65)), np.zeros((1, 65)))
        cv2.grabCut(large, marks, inner, *unused, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_RECT)
    except cv2.error:
        return filled_ellipse(box, (height, width))
    found = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    mask = np.zeros((height, width), dtype=bool)
    small = cv2.resize(found, crop.shape[1::-1], interpolation=cv2.INTER_AREA)
    mask[top : top + crop.shape[0], left : left + crop.shape[1]] = small > 0.5
    return mask if mask.any() else filled_ellipse(box, (height, width))
