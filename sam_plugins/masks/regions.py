"""Connected regions of masks: small ones removed, the largest, the one that was clicked."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]


def _label(mask: Mask) -> tuple[NDArray[Any], NDArray[Any]]:
    """Regions (H, W), 1 .. n, that touch at sides or corners, and their areas, 0 .. n."""
    from scipy import ndimage

    regions, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    return regions, np.bincount(regions.ravel())


def remove_small_regions(
    mask: NDArray[Any], *, min_area: float, mode: Literal["holes", "islands"]
) -> tuple[Mask, bool]:
    """Fill small holes or remove small islands.

    Parameters
    ----------
    mask : ndarray of shape (H, W)
        Everything that is not 0 is foreground.
    min_area : float
        Regions of fewer pixels are small.
    mode : str
        ``"holes"`` or ``"islands"``.

    Returns
    -------
    mask : ndarray of shape (H, W), bool
        If all islands are small, the largest stays.
    changed : bool
        Whether there was a small region.

    Raises
    ------
    ValueError
        If the mode is another word.

    Notes
    -----
    Pixels that touch at a corner are connected, in foreground and in background.
    """
    if mode not in ("holes", "islands"):
        raise ValueError(f"mode must be 'holes' or 'islands', got {mode!r}")
    foreground = np.asarray(mask) != 0
    holes = mode == "holes"
    regions, areas = _label(~foreground if holes else foreground)
    small = areas < min_area
    small[0] = False
    if not small.any():
        return foreground, False
    if holes:
        return foreground | small[regions], True
    keep = ~small
    keep[0] = False
    if not keep.any():
        keep[1 + areas[1:].argmax()] = True
    return keep[regions], True


def largest_region(mask: NDArray[Any]) -> Mask:
    """Keep the largest connected region of a mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W)
        Everything that is not 0 is foreground.

    Returns
    -------
    ndarray of shape (H, W), bool
        An empty mask stays empty.
    """
    foreground = np.asarray(mask) != 0
    regions, areas = _label(foreground)
    if len(areas) < 2:
        return foreground
    return regions == 1 + areas[1:].argmax()


def regions_at(mask: NDArray[Any], points: ArrayLike) -> Mask:
    """The connected regions of a mask that were clicked.

    Parameters
    ----------
    mask : ndarray of shape (H, W)
        Everything that is not 0 is foreground.
    points : array-like of shape (N, 2)
        Positive clicks, x then y, in pixels.

    Returns
    -------
    ndarray of shape (H, W), bool
        The whole mask if no click lies in it.

    Examples
    --------
    >>> regions_at(np.array([[1, 0, 1, 1]]), [[2, 0]]).tolist()
    [[False, False, True, True]]
    """
    foreground = np.asarray(mask) != 0
    regions, areas = _label(foreground)
    pixels = np.floor(np.asarray(points, dtype=np.float64).reshape(-1, 2)).astype(np.int64)
    columns = pixels[:, 0].clip(0, foreground.shape[1] - 1)
    rows = pixels[:, 1].clip(0, foreground.shape[0] - 1)
    clicked = np.zeros(len(areas), dtype=bool)
    clicked[regions[rows, columns]] = True
    clicked[0] = False
    return clicked[regions] if clicked.any() else foreground
