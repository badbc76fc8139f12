"""Scenes like photographs: overlapping leaves with parts, filaments, regular grids."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw
from scipy import ndimage

from sam_plugins.datasets.procedural.noise import texture
from sam_plugins.datasets.procedural.shapes import (
    OBJECT,
    PART,
    Canvas,
    Patch,
    colour,
    dome,
    fill,
    outline,
    rim,
)


def _background(rng: Generator, canvas: Canvas, gray: bool) -> None:
    size = canvas.size
    canvas.image[:] = colour(rng, gray)
    canvas.image += rng.uniform(0, 0.2) * texture(rng, size, size)[..., None]


def leaves(rng: Generator, size: int) -> Canvas:
    """Overlapping textured shapes of all sizes, many with parts (the "dead leaves" model).

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
    gray = rng.random() < 0.3
    _background(rng, canvas, gray)
    radii = np.exp(rng.uniform(np.log(5), np.log(size * 0.35), int(rng.integers(3, 28))))
    if rng.random() < 0.6:
        radii = np.sort(radii)[::-1]
    for radius in radii:
        centre = rng.uniform(-0.05 * size, 1.05 * size, 2)
        patch = fill(size, outline(rng, radius), centre)
        if patch is None:
            continue
        base = colour(rng, gray)
        tint = 1 if gray or rng.random() < 0.5 else rng.uniform(-1, 1, 3).astype(np.float32)
        value = base + rng.uniform(0, 0.25) * texture(rng, *patch.mask.shape)[..., None] * tint
        if rng.random() < 0.3:
            value = value + rng.uniform(-0.5, 0.5) * dome(patch.mask)[..., None]
        if rng.random() < 0.3:
            _shadow(rng, canvas, patch)
        canvas.paint(patch, value)
        canvas.labels[PART][patch.window][patch.mask] = 0
        label = canvas.label(OBJECT, patch)
        if radius > 14 and rng.random() < 0.55:
            _parts(rng, canvas, centre, radius, label, base, gray)
    return canvas


def _shadow(rng: Generator, canvas: Canvas, patch: Patch) -> None:
    soft = ndimage.gaussian_filter(patch.mask.astype(np.float32), 2)
    shifted = np.roll(soft, tuple(rng.integers(-4, 5, 2)), axis=(0, 1))
    canvas.image[patch.window] *= 1 - 0.4 * shifted[..., None]


def _parts(
    rng: Generator,
    canvas: Canvas,
    centre: np.ndarray,
    radius: float,
    label: int,
    base: np.ndarray,
    gray: bool,
) -> None:
    for _ in range(rng.integers(1, 4)):
        place = centre + rng.uniform(-0.5, 0.5, 2) * radius
        patch = fill(canvas.size, outline(rng, radius * rng.uniform(0.15, 0.5)), place)
        if patch is None or canvas.full(PART):
            continue
        patch = patch.where(canvas.labels[OBJECT][patch.window] == label)
        if patch.mask.sum() < 20:
            continue
        value = 0.3 * base + 0.7 * colour(rng, gray)
        grain = rng.uniform(0, 0.2) * texture(rng, *patch.mask.shape)[..., None]
        canvas.paint(patch, value + grain)
        canvas.label(PART, patch)


def filaments(rng: Generator, size: int) -> Canvas:
    """Winding threads of one width, on a quiet background.

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
    gray = rng.random() < 0.6
    _background(rng, canvas, gray)
    width = np.exp(rng.uniform(np.log(2.5), np.log(12)))
    common = colour(rng, gray)
    for _ in range(rng.integers(2, 16)):
        steps = int(rng.integers(40, 3 * size // 2)) // 4
        bend = np.zeros(steps)
        for step in range(1, steps):
            bend[step] = 0.85 * bend[step - 1] + rng.normal(0, 0.06)
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(bend)
        path = np.cumsum(4 * np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0)
        path += rng.uniform(0, size, 2)
        drawing = Image.new("L", (size, size))
        thick = max(2, round(width * np.exp(rng.normal(0, 0.2))))
        points = [tuple(point) for point in path]
        ImageDraw.Draw(drawing).line(points, fill=1, width=thick, joint="curve")
        patch = Patch(np.asarray(drawing) > 0, 0, 0)
        if not patch.mask.any():
            continue
        shade = common if rng.random() < 0.7 else colour(rng, gray)
        canvas.paint(patch, shade * rng.uniform(0.75, 1.2))
        canvas.image[rim(patch.mask)] *= rng.uniform(0.5, 1.05)
        canvas.label(OBJECT, patch)
    return canvas


def grid(rng: Generator, size: int) -> Canvas:
    """The same shape again and again at regular places, some with a hole-like part.

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
    gray = rng.random() < 0.4
    _background(rng, canvas, gray)
    pitch, turn = rng.uniform(16, 90), rng.uniform(-0.3, 0.3)
    kind = ("ellipse", "polygon", "rounded")[rng.integers(3)]
    shape = outline(rng, pitch * rng.uniform(0.22, 0.45), kind)
    common, jitter = colour(rng, gray), rng.uniform(0, 0.1) * pitch
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    with_parts = rng.random() < 0.4
    ticks = np.arange(-size, 2 * size, pitch)
    places = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2) @ rotation.T
    for place in places + rng.normal(0, max(jitter, 1e-3), places.shape):
        if (place < 0).any() or (place > size).any() or canvas.full(OBJECT):
            continue
        patch = fill(size, shape, place)
        if patch is None:
            continue
        canvas.paint(patch, common * rng.uniform(0.85, 1.1))
        canvas.label(OBJECT, patch)
        inner = fill(size, shape * 0.45, place) if with_parts else None
        if inner is not None and inner.mask.sum() > 14:
            canvas.paint(inner, 1 - common)
            canvas.label(PART, inner)
    return canvas
