"""Regions: which part of a plane to embed, at which resolution, and how it is read.

A model sees a small square. Of a plane that is much larger, the part that a person looks at is
embedded, at the zoom in use. Regions are chosen from a fixed set, so that moving a little, or
coming back, finds the embedding of before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.images import Normalization, Planes

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding
    from sam_plugins.predictor import Predictor

Box = tuple[int, int, int, int]

# One entry an axis: an index, or None for the two axes that are rows and columns, in this order.
Plane = tuple[int | None, ...]

# A plane up to this many times the model's frame is embedded whole unless one looks closer than
# that; a region is at least this much wider than what is seen of it.
MARGIN = 4 / 3

# Regions lie on a grid of this part of their side.
GRID = 4

# Pixels read along a side of a region: this many times the model's frame at most.
READ_FRAMES = 8

# Side of the sample that limits of values are found on, in pixels.
OVERVIEW_SIDE = 1024


def choose_region(
    size: tuple[int, int],
    frame_size: int,
    *,
    visible: Sequence[float] | None = None,
    include: Sequence[float] | None = None,
) -> Box:
    """Choose what to embed.

    Parameters
    ----------
    size : tuple of int
        (H, W) of the plane, in pixels.
    frame_size : int
        Side of the model's frame, in pixels. No region is smaller: nothing is gained by it.
    visible : sequence of float, optional
        x0, y0, x1, y1 of what a person sees, in pixels of the plane; the whole plane if omitted.
    include : sequence of float, optional
        x0, y0, x1, y1 of what must lie in the region, such as earlier hints.

    Returns
    -------
    tuple of int
        x0, y0, x1, y1, x1 and y1 exclusive.

    Examples
    --------
    >>> choose_region((4096, 4096), 512, visible=(1000, 1000, 1300, 1200))
    (896, 896, 1408, 1408)
    >>> choose_region((4096, 4096), 512, visible=(0, 0, 4000, 3000))
    (0, 0, 4096, 4096)
    """
    height, width = size
    whole = (0, 0, width, height)
    corners = [box for box in (visible, include) if box is not None]
    if not corners:
        return whole
    limit = np.array([width, height], dtype=np.float64)
    low = np.min([box[:2] for box in corners], axis=0).clip(0, limit)
    high = np.max([box[2:] for box in corners], axis=0).clip(0, limit)
    wanted = float((high - low).max()) * MARGIN
    side = frame_size
    while side < wanted:
        side *= 2
    if side * MARGIN >= max(size):
        return whole
    step = side // GRID
    centre = (low + high) / 2
    start = np.floor((centre - side / 2) / step + 0.5).astype(int) * step
    x0, y0 = (int(each) for each in np.clip(start, 0, np.maximum(limit - side, 0)))
    return x0, y0, min(x0 + side, width), min(y0 + side, height)


def contains(region: Box, box: Sequence[float]) -> bool:
    """Whether a box lies in a region.

    Parameters
    ----------
    region : tuple of int
        x0, y0, x1, y1.
    box : sequence of float
        x0, y0, x1, y1.

    Returns
    -------
    bool
    """
    inside = region[0] <= box[0] and region[1] <= box[1]
    return inside and box[2] <= region[2] and box[3] <= region[3]


@dataclass(frozen=True, eq=False)
class ImageStack:
    """An image of any number of axes, of which planes are looked at, read piece by piece.

    Parameters
    ----------
    levels : tuple of array
        The image, and smaller versions of it if there are any, the largest first. Arrays that read
        when they are indexed (dask, zarr) are never read whole.
    rgb : bool
        Whether the last axis is red, green, blue and perhaps alpha. It is not counted as an axis of
        the planes.
    channel_axis : int, optional
        Another axis that holds channels.
    """

    levels: tuple[Any, ...]
    rgb: bool = False
    channel_axis: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of the axes of the planes, in pixels."""
        shape = tuple(int(side) for side in self.levels[0].shape)
        return shape[:-1] if self.rgb else shape

    def read(
        self,
        plane: Plane,
        box: Box,
        *,
        most: int,
        channels: tuple[int, ...] | None = None,
    ) -> NDArray[Any]:
        """Read a part of a plane at a resolution that suits its size.

        Parameters
        ----------
        plane : tuple of int or None
            Indices; None for rows and columns.
        box : tuple of int
            x0, y0, x1, y1 in pixels of the largest level, x1 and y1 exclusive.
        most : int
            Pixels wanted along the longer side, at most about twice as many are read.
        channels : tuple of int, optional
            Which of the channels; all if omitted.

        Returns
        -------
        ndarray of shape (h, w) or (h, w, C)
        """
        wanted = max(box[2] - box[0], box[3] - box[1]) / most
        level, factors = self._level(plane, wanted)
        rows, columns = (
            slice(
                int(start / factor),
                max(int(start / factor) + 1, int(np.ceil(stop / factor))),
                max(1, int(wanted / factor)),
            )
            for start, stop, factor in (
                (box[1], box[3], factors[0]),
                (box[0], box[2], factors[1]),
            )
        )
        index: list[Any] = []
        sides = iter((rows, columns))
        ratios = [s / t for s, t in zip(self.shape, self._sides(level), strict=True)]
        for axis, position in enumerate(plane):
            if position is None:
                index.append(next(sides))
            elif axis == self.channel_axis:
                index.append(slice(None))
            else:
                index.append(min(int(position / ratios[axis]), self._sides(level)[axis] - 1))
        block = np.asarray(level[tuple(index)])
        if self.channel_axis is None:
            return block
        before = sum(each is None for each in plane[: self.channel_axis])
        block = np.moveaxis(block, before, -1)  # (h, w, C)
        return block if channels is None else block[..., list(channels)]

    def _sides(self, level: Any) -> tuple[int, ...]:
        return tuple(level.shape[:-1] if self.rgb else level.shape)

    def _level(self, plane: Plane, wanted: float) -> tuple[Any, list[float]]:
        """The smallest level that is not coarser than wanted, and by how much it is smaller."""
        chosen, factors = self.levels[0], [1.0, 1.0]
        for level in self.levels[1:]:
            sides = zip(self.shape, self._sides(level), plane, strict=True)
            found = [whole / side for whole, side, index in sides if index is None]
            if max(found) <= max(wanted, 1):
                chosen, factors = level, found
        return chosen, factors


def find_normalization(
    stack: ImageStack, plane: Plane, normalization: Normalization
) -> Normalization:
    """Fix the limits of values on a sample of the plane, so that they hold for all its regions.

    Parameters
    ----------
    stack : ImageStack
        The image.
    plane : tuple of int or None
        The plane.
    normalization : Normalization
        What was chosen; its channels are those of the stack's channel axis.

    Returns
    -------
    Normalization
        Of the kind ``"limits"``, or the same one if it needs no limits.
    """
    from sam_plugins.images.scaling import find_limits

    if normalization.kind in ("none", "limits"):
        return normalization
    if normalization.kind == "auto" and np.dtype(stack.levels[0].dtype) in (np.uint8, bool):
        return normalization
    height, width = plane_size(plane, stack.shape)
    sample = stack.read(plane, (0, 0, width, height), most=OVERVIEW_SIDE)
    axis = 2 if sample.ndim == 3 else None
    limits = find_limits(
        Planes.loaded(sample, normalization=normalization, channel_axis=axis), normalization
    )
    if not limits[0] < limits[1]:
        return replace(normalization, kind="minmax")
    return replace(normalization, kind="limits", limits=limits)


def embed_region(
    predictor: Predictor,
    stack: ImageStack,
    plane: Plane,
    box: Box,
    *,
    normalization: Normalization | None = None,
) -> ImageEmbedding:
    """Embed a region of a plane, or take its embedding from the predictor's cache.

    Parameters
    ----------
    predictor : Predictor
        The model.
    stack : ImageStack
        The image.
    plane : tuple of int or None
        The plane.
    box : tuple of int
        x0, y0, x1, y1 of the region, from `choose_region`.
    normalization : Normalization, optional
        From `find_normalization`.

    Returns
    -------
    ImageEmbedding
        Of the region in pixels of the largest level, whatever resolution was read: its prompts and
        masks are in pixels of the region.
    """
    most = READ_FRAMES * predictor.model.frame_size
    pixels = stack.read(plane, box, most=most)
    axis = 2 if pixels.ndim == 3 else None
    embedding = predictor.embed(pixels, normalization=normalization, channel_axis=axis)
    size = (box[3] - box[1], box[2] - box[0])
    if embedding.frame.image_size == size:
        return embedding
    return replace(embedding, frame=predictor.frame_of(size))


def region_rgb(
    predictor: Predictor,
    stack: ImageStack,
    plane: Plane,
    box: Box,
    *,
    normalization: Normalization | None = None,
) -> NDArray[np.uint8]:
    """Give the pixels of a region that `embed_region` embeds, as the model sees them.

    Parameters
    ----------
    predictor, stack, plane, box, normalization
        See `embed_region`.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB, in pixels of the largest level.
    """
    from PIL import Image

    from sam_plugins.images import to_rgb

    pixels = stack.read(plane, box, most=READ_FRAMES * predictor.model.frame_size)
    axis = 2 if pixels.ndim == 3 else None
    rgb = to_rgb(pixels, normalization=normalization, channel_axis=axis)
    size = (box[2] - box[0], box[3] - box[1])
    if (rgb.shape[1], rgb.shape[0]) != size:
        rgb = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR))
    return rgb


def plane_index(plane: Plane, rows: slice, columns: slice) -> tuple[int | slice, ...]:
    """Index that cuts a rectangle of a plane out of an array.

    Parameters
    ----------
    plane : tuple of int or None
        The plane.
    rows, columns : slice
        The rectangle.

    Returns
    -------
    tuple of int or slice

    Examples
    --------
    >>> plane_index((3, None, None), slice(0, 2), slice(4, 6))
    (3, slice(0, 2, None), slice(4, 6, None))
    """
    sides = iter((rows, columns))
    return tuple(next(sides) if index is None else index for index in plane)


def plane_size(plane: Plane, shape: tuple[int, ...]) -> tuple[int, int]:
    """(H, W) of a plane of an array.

    Parameters
    ----------
    plane : tuple of int or None
        The plane.
    shape : tuple of int
        The array's shape, one side an entry of the plane.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> plane_size((None, 3, None), (10, 20, 30))
    (10, 30)
    """
    height, width = (side for side, index in zip(shape, plane, strict=True) if index is None)
    return int(height), int(width)


def pixels_at(
    plane: Plane, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> tuple[NDArray[Any], ...]:
    """Index arrays of single pixels of a plane, one an axis.

    Parameters
    ----------
    plane : tuple of int or None
        The plane.
    rows, columns : ndarray of shape (n,), integer
        The pixels.

    Returns
    -------
    tuple of ndarray of shape (n,)

    Examples
    --------
    >>> [each.tolist() for each in pixels_at((3, None, None), np.array([1, 2]), np.array([5, 6]))]
    [[3, 3], [1, 2], [5, 6]]
    """
    sides = iter((rows, columns))
    return tuple(
        next(sides) if index is None else np.full(len(rows), index, dtype=np.intp)
        for index in plane
    )
