"""Stacks of thin layers, and strokes like lettering."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw

from sam_plugins.datasets.procedural.noise import smooth_noise, texture
from sam_plugins.datasets.procedural.shapes import GROUP, OBJECT, Canvas, Patch, colour

# Layers and strokes of fewer pixels are left unlabelled.
LEAST_PIXELS = 24


def lamellae(rng: Generator, size: int) -> Canvas:
    """Wavy layers on top of each other, separated by dark or bright seams.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    size : int
        Side of the scene, in pixels.

    Returns
    -------
    Canvas
        Painted, with its labels; not yet photographed.
    """
    canvas = Canvas(size)
    gray = rng.random() < 0.7
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(9, 45)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    height = x * np.cos(angle) + y * np.sin(angle)
    height += rng.uniform(0.1, 0.9) * pitch * smooth_noise(rng, size, size, rng.uniform(40, 120))
    edges = np.cumsum(pitch * np.exp(rng.normal(0, 0.35, int(4 * size / pitch) + 8)))
    depth = height - height.min()
    layer = np.searchsorted(edges, depth)
    nearest = np.minimum(
        np.abs(depth - edges[np.minimum(layer, len(edges) - 1)]),
        np.abs(depth - np.where(layer > 0, edges[np.maximum(layer - 1, 0)], -np.inf)),
    )
    seam = nearest < rng.uniform(0.7, 0.12 * pitch)
    base, other = colour(rng, gray), colour(rng, gray)
    contrast = rng.uniform(0, 0.5)
    canvas.image[:] = base * rng.uniform(0.2, 0.6) if rng.random() < 0.5 else 1 - 0.5 * base
    grain = rng.uniform(0, 0.15) * texture(rng, size, size)[..., None]
    for number in np.unique(layer):
        mask = (layer == number) & ~seam
        if mask.sum() < LEAST_PIXELS or canvas.full(OBJECT):
            continue
        share = contrast * rng.random() + (0.3 if number % 2 else 0.0)
        canvas.image[mask] = ((1 - share) * base + share * other + grain)[mask]
        canvas.label(OBJECT, Patch(mask, 0, 0))
    return canvas


def lettering(rng: Generator, size: int) -> Canvas:
    """Lines of sign-like strokes: each sign is an object, each line a group.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    size : int
        Side of the scene, in pixels.

    Returns
    -------
    Canvas
        Painted, with its labels; not yet photographed.
    """
    canvas = Canvas(size)
    gray = rng.random() < 0.5
    canvas.image[:] = colour(rng, gray) + rng.uniform(0, 0.15) * texture(rng, size, size)[..., None]
    ink, tall = colour(rng, gray), rng.uniform(12, 60)
    width = max(2, round(tall * rng.uniform(0.08, 0.22)))
    top = rng.uniform(0, tall)
    while top + tall < size:
        left, line = rng.uniform(2, tall), np.zeros((size, size), dtype=bool)
        while left + tall < size and not canvas.full(OBJECT):
            if rng.random() > 0.15:  # else a gap between words
                sign = _sign(rng, size, left, top, tall, width)
                if sign.sum() >= LEAST_PIXELS:
                    canvas.paint(Patch(sign, 0, 0), ink * rng.uniform(0.85, 1.1))
                    canvas.label(OBJECT, Patch(sign, 0, 0))
                    line |= sign
            left += tall * rng.uniform(0.75, 1.0)
        if line.any() and not canvas.full(GROUP):
            canvas.label(GROUP, Patch(line, 0, 0))
        top += tall * rng.uniform(1.3, 2.2)
    return canvas


def _sign(
    rng: Generator, size: int, left: float, top: float, tall: float, width: int
) -> np.ndarray:
    """Two to four connected strokes between the points of a grid: (size, size), bool."""
    drawing = Image.new("L", (size, size))
    pen = ImageDraw.Draw(drawing)
    grid = [(left + tall * i / 3, top + tall * j / 2) for i in range(3) for j in range(3)]
    at = int(rng.integers(9))
    for _ in range(rng.integers(2, 5)):
        to = int(rng.integers(9))
        pen.line([grid[at], grid[to]], fill=1, width=width)
        if rng.random() < 0.3:
            pen.arc(
                [*np.minimum(grid[at], grid[to]), *np.maximum(grid[at], grid[to])], 0, 270, 1, width
            )
        at = to
    return np.asarray(drawing) > 0
