"""Masks as polygons along pixel borders, and back without loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Polygon:
    """One region with its holes.

    Parameters
    ----------
    exterior : ndarray of shape (N, 2), float64
        Corners, x then y, in pixels; pixel (0, 0) covers 0 .. 1. Not closed: the last corner joins
        the first.
    holes : tuple of ndarray of shape (M, 2)
        The same for each hole.
    """

    exterior: Ring
    holes: tuple[Ring, ...] = ()


def mask_to_polygons(mask: NDArray[Any], *, tolerance: float = 0.0) -> list[Polygon]:
    """Outline a mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W)
        Everything that is not 0 is foreground.
    tolerance : float
        How far, in pixels, a simplified outline may be from the exact one; 0 keeps every corner.

    Returns
    -------
    list of Polygon
        One for each region. Pixels that touch only at a corner are separate regions, and a hole's
        pixels that do are one hole.

    Raises
    ------
    ValueError
        If the mask has not two axes.

    Examples
    --------
    >>> mask_to_polygons(np.ones((2, 3), dtype=bool))[0].exterior.tolist()
    [[0.0, 0.0], [3.0, 0.0], [3.0, 2.0], [0.0, 2.0]]
    """
    from sam_plugins.masks import _polygon_kernels as kernels

    foreground = np.ascontiguousarray(np.asarray(mask) != 0)
    if foreground.ndim != 2:
        raise ValueError(f"a mask has two axes (H, W), got the shape {foreground.shape}")
    corners, starts = kernels.trace_rings(np.pad(foreground, 1))
    rings = [
        corners[start:stop].astype(np.float64) - 1 for start, stop in itertools.pairwise(starts)
    ]
    outer = [ring for ring in rings if _signed_area(ring) > 0]
    holes = [ring for ring in rings if _signed_area(ring) < 0]
    owners = _owners(foreground, outer, holes)
    return [
        Polygon(
            _simplified(ring, tolerance),
            tuple(
                _simplified(hole, tolerance)
                for hole, owner in zip(holes, owners, strict=True)
                if owner == index
            ),
        )
        for index, ring in enumerate(outer)
    ]


def polygons_to_mask(polygons: Sequence[Polygon], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill polygons: a pixel is foreground if its centre lies inside.

    Parameters
    ----------
    polygons : sequence of Polygon
        The polygons; the mask is their union.
    size : tuple of int
        (H, W), in pixels.

    Returns
    -------
    ndarray of shape (H, W), bool

    Examples
    --------
    >>> square = Polygon(np.array([[1, 1], [3, 1], [3, 2], [1, 2]], dtype=float))
    >>> polygons_to_mask([square], (3, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    from sam_plugins.masks import _polygon_kernels as kernels

    mask = np.zeros(size, dtype=np.bool_)
    for polygon in polygons:
        inside = np.zeros(size, dtype=np.bool_)
        for ring in (polygon.exterior, *polygon.holes):
            kernels.toggle(np.ascontiguousarray(ring, dtype=np.float64), inside)
        mask |= inside
    return mask


def polygons_to_coco(polygons: Sequence[Polygon]) -> list[list[float]]:
    """Give the exteriors as COCO's flat lists.

    Parameters
    ----------
    polygons : sequence of Polygon
        From `mask_to_polygons`.

    Returns
    -------
    list of list of float
        x0, y0, x1, y1, ... of each.

    Notes
    -----
    COCO's polygons have no holes: those are filled. Use RLE where holes matter.
    """
    return [polygon.exterior.ravel().tolist() for polygon in polygons]


def with_simple_rings(polygon: Polygon) -> Polygon:
    """Split rings that touch themselves at a corner, as other programs ask for.

    Parameters
    ----------
    polygon : Polygon
        From `mask_to_polygons`.

    Returns
    -------
    Polygon
        The same area. No ring has a corner twice, so that the polygon is valid as GeoJSON and OGC
        have it; a bay that a corner closes has become a hole.
    """
    pieces = [
        piece for ring in (polygon.exterior, *polygon.holes) for piece in _simple_pieces(ring)
    ]
    exterior = next(piece for piece in pieces if _signed_area(piece) > 0)
    return Polygon(exterior, tuple(piece for piece in pieces if _signed_area(piece) < 0))


def _simple_pieces(ring: Ring) -> list[Ring]:
    pieces: list[Ring] = []
    path: list[tuple[float, float]] = []
    place: dict[tuple[float, float], int] = {}
    for x, y in ring.tolist():
        corner = (x, y)
        if corner in place:
            start = place[corner]
            pieces.append(np.array(path[start:]))
            for left in path[start + 1 :]:
                del place[left]
            del path[start + 1 :]
        else:
            place[corner] = len(path)
            path.append(corner)
    return [*pieces, np.array(path)]


def _signed_area(ring: Ring) -> float:
    """Positive for exteriors (clockwise on the screen), negative for holes."""
    x, y = ring.T
    return float(0.5 * (x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _owners(
    foreground: NDArray[np.bool_], outer: Sequence[Ring], holes: Sequence[Ring]
) -> list[int]:
    """For each hole, which exterior it lies in."""
    if not holes:
        return []
    from scipy import ndimage

    regions, _ = ndimage.label(foreground)
    # A ring begins at the upper left corner of a foreground pixel that lies along it.
    index_of = {
        int(regions[int(ring[0, 1]), int(ring[0, 0])]): index for index, ring in enumerate(outer)
    }
    return [index_of[int(regions[int(hole[0, 1]), int(hole[0, 0])])] for hole in holes]


def _simplified(ring: Ring, tolerance: float) -> Ring:
    if tolerance <= 0 or len(ring) < 5:
        return ring
    from skimage.measure import approximate_polygon

    closed = approximate_polygon(np.concatenate([ring, ring[:1]]), tolerance)
    return closed[:-1] if len(closed) > 3 else ring
