"""Outlines of objects, and the canvas that they are painted on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

GROUP, OBJECT, PART = range(3)

# Labels are kept in 8 bits on disk, and 0 is background.
MOST_LABELS = 240


def outline(rng: Generator, radius: float, kind: str | None = None) -> NDArray[np.float64]:
    """Make a closed outline around the origin.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    radius : float
        About the mean distance from the origin, in pixels.
    kind : str, optional
        ``"ellipse"``, ``"blob"``, ``"polygon"``, ``"rounded"``, ``"lobed"`` or ``"ragged"``.

    Returns
    -------
    ndarray of shape (n, 2), float64
        Its corners, x then y, in pixels.
    """
    kinds = ("ellipse", "blob", "polygon", "rounded", "lobed", "ragged")
    kind = kind or kinds[rng.integers(len(kinds))]
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    reach = np.ones_like(angle)
    if kind == "polygon":
        corners = int(rng.integers(3, 8))
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.normal(0, 0.18, corners)
        reach = rng.uniform(0.8, 1.15, corners)
    elif kind == "rounded":
        power = rng.uniform(2.5, 8)
        reach = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
    elif kind == "lobed":
        reach = 1 + rng.uniform(0.15, 0.5) * np.cos(rng.integers(3, 9) * angle)
    elif kind != "ellipse":
        strength, decay = (0.28, 0.9) if kind == "blob" else (0.25, 0.5)
        for wave in range(2 if kind == "blob" else 1, 8):
            phase = rng.uniform(0, 2 * np.pi)
            reach += rng.normal() * strength / wave**decay * np.cos(wave * angle + phase)
    reach = reach.clip(0.25, 2.2)
    points = np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1)
    stretch = np.exp(rng.normal(0, 0.28))
    points *= [stretch**0.5, stretch**-0.5]
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return points @ rotation.T * radius


@dataclass(frozen=True)
class Patch:
    """A filled shape somewhere on the canvas.

    Parameters
    ----------
    mask : ndarray of shape (h, w), bool
        The shape.
    y, x : int
        Its upper left corner on the canvas, in pixels.
    """

    mask: NDArray[np.bool_]
    y: int
    x: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Where on the canvas the mask lies."""
        height, width = self.mask.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)

    def where(self, condition: NDArray[np.bool_]) -> Patch:
        """Keep the part of the shape where a condition holds.

        Parameters
        ----------
        condition : ndarray of shape (h, w), bool
            Of the mask's size.

        Returns
        -------
        Patch
            At the same place.
        """
        return Patch(self.mask & condition, self.y, self.x)


def fill(size: int, points: NDArray[np.float64], centre: NDArray[np.float64]) -> Patch | None:
    """Fill an outline around a centre on a square canvas.

    Parameters
    ----------
    size : int
        Side of the canvas, in pixels.
    points : ndarray of shape (n, 2), float64
        The outline's corners around the origin, x then y, in pixels.
    centre : ndarray of shape (2,), float64
        Where the origin comes to lie, x then y, in pixels of the canvas.

    Returns
    -------
    Patch or None
        Cut off at the canvas's border; None if next to nothing of it lies inside.
    """
    placed = points + centre
    low = np.maximum(np.floor(placed.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(placed.max(axis=0)).astype(int) + 2, size)
    if (high - low).min() < 3:
        return None
    drawing = Image.new("L", (int(high[0] - low[0]), int(high[1] - low[1])))
    ImageDraw.Draw(drawing).polygon([tuple(point) for point in placed - low], fill=1)
    return Patch(np.asarray(drawing) > 0, int(low[1]), int(low[0]))


@dataclass
class Canvas:
    """An image with labels of groups, objects and parts that is being painted.

    Parameters
    ----------
    size : int
        Side, in pixels.
    counts : list of int
        How many labels are given already: groups, objects, parts.

    Attributes
    ----------
    image : ndarray of shape (size, size, 3), float32
        RGB, about 0 to 1.
    labels : ndarray of shape (3, size, size), uint8
        Group, object and part of each pixel; 0 is none.
    """

    size: int
    image: NDArray[np.float32] = field(init=False)
    labels: NDArray[np.uint8] = field(init=False)
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])

    def __post_init__(self) -> None:
        self.image = np.zeros((self.size, self.size, 3), dtype=np.float32)
        self.labels = np.zeros((3, self.size, self.size), dtype=np.uint8)

    def full(self, level: int) -> bool:
        """Whether no further label is free.

        Parameters
        ----------
        level : int
            `GROUP`, `OBJECT` or `PART`.

        Returns
        -------
        bool
            Whether all `MOST_LABELS` of the level are given.
        """
        return self.counts[level] >= MOST_LABELS

    def label(self, level: int, patch: Patch) -> int:
        """Give a shape the next label of a level; what it covers loses its own.

        Parameters
        ----------
        level : int
            `GROUP`, `OBJECT` or `PART`.
        patch : Patch
            The shape.

        Returns
        -------
        int
            The label.
        """
        self.counts[level] += 1
        self.labels[level][patch.window][patch.mask] = self.counts[level]
        return self.counts[level]

    def paint(self, patch: Patch, value: NDArray[np.floating]) -> None:
        """Paint a shape on the image; its labels stay as they are.

        Parameters
        ----------
        patch : Patch
            The shape.
        value : ndarray of shape (3,), (h, w, 1) or (h, w, 3)
            A colour, or an image of the mask's size, about 0 to 1.
        """
        region = self.image[patch.window]
        region[patch.mask] = np.broadcast_to(value, region.shape)[patch.mask]


def colour(rng: Generator, gray: bool) -> NDArray[np.float32]:
    """Draw a random colour.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    gray : bool
        Whether the three values are the same.

    Returns
    -------
    ndarray of shape (3,), float32
        RGB, from 0 to 1.
    """
    if gray:
        return np.full(3, rng.uniform(0, 1), dtype=np.float32)
    if rng.random() < 0.6:
        return rng.uniform(0, 1, 3).astype(np.float32)
    return (rng.uniform(0.1, 0.9) + rng.normal(0, 0.12, 3)).clip(0, 1).astype(np.float32)


def dome(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Shade a shape so that it rises from its border to its middle.

    Parameters
    ----------
    mask : ndarray of shape (h, w), bool
        The shape.

    Returns
    -------
    ndarray of shape (h, w), float32
        From about -0.6 to 0.4; meant to be added to a brightness.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return (np.sqrt(depth / max(1.0, depth.max())) - 0.6).astype(np.float32)


def rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the pixels of a shape that touch its outside, by an edge.

    Parameters
    ----------
    mask : ndarray of shape (h, w), bool
        The shape. What lies beyond the array is not outside.

    Returns
    -------
    ndarray of shape (h, w), bool
    """
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return mask & ~inner


def scatter(
    rng: Generator, size: int, count: int, radius: float, *, clumped: bool
) -> NDArray[np.float64]:
    """Draw centres of objects on a canvas, evenly spread or in clumps.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    size : int
        Side of the canvas, in pixels.
    count : int
        Number of centres.
    radius : float
        Of the objects, in pixels: as a multiple of it clumps are wide.
    clumped : bool
        Whether the centres lie in one to five clumps.

    Returns
    -------
    ndarray of shape (count, 2), float64
        x then y, in pixels; some may lie outside.
    """
    if not clumped:
        return rng.uniform(-radius / 2, size + radius / 2, (count, 2))
    centres = rng.uniform(0, size, (int(rng.integers(1, 6)), 2))
    spread = radius * rng.uniform(1, 3.5)
    return centres[rng.integers(len(centres), size=count)] + rng.normal(0, spread, (count, 2))
