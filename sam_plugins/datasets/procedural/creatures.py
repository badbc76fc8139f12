"""Large articulated objects in front of cluttered backgrounds, like animals in photographs."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from sam_plugins.datasets.procedural.noise import clouds, ramp, texture
from sam_plugins.datasets.procedural.shapes import (
    OBJECT,
    PART,
    Canvas,
    Patch,
    colour,
    dome,
    fill,
    outline,
)

# A part needs this many pixels in sight to be labelled.
LEAST_PART = 30


def limb(rng: Generator, length: float, width: float, angle: float) -> NDArray[np.float64]:
    """Make the outline of a bent, tapering limb that begins at the origin.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    length, width : float
        In pixels.
    angle : float
        Where it points to, in radians.

    Returns
    -------
    ndarray of shape (n, 2), float64
        The outline's corners, x then y, in pixels.
    """
    along = np.linspace(0, 1, 9)
    heading = angle + rng.normal(0, 0.35) * along + rng.normal(0, 0.35) * (along > 0.5)
    step = length / 8 * np.stack([np.cos(heading), np.sin(heading)], axis=1)
    path = np.cumsum(step, axis=0) - step[0]
    half = width / 2 * np.linspace(1, rng.uniform(0.3, 1.1), 9)[:, None]
    across = half * np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    return np.concatenate([path + across, (path - across)[::-1]])


def body_plan(rng: Generator, radius: float) -> list[NDArray[np.float64]]:
    """Put together an object of one to ten parts: a body, limbs, a head, knobs.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    radius : float
        About half of the object's extent, in pixels.

    Returns
    -------
    list of ndarray of shape (n, 2), float64
        Outlines of the parts around the object's middle, x then y, in pixels; they overlap.
    """
    core = radius * rng.uniform(0.4, 0.9)
    body = outline(rng, core)
    parts = [body]
    if rng.random() < 0.25:
        return parts
    turn = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.6:  # legs: side by side, in one direction
        count = int(rng.integers(2, 5))
        places = np.linspace(-0.7, 0.7, count) + rng.normal(0, 0.08, count)
        axis = np.array([np.cos(turn), np.sin(turn)])
        length = core * rng.uniform(0.8, 1.7)
        width = core * rng.uniform(0.12, 0.4)
        for place in places:
            leg = limb(rng, length, width * rng.uniform(0.8, 1.2), turn + np.pi / 2)
            parts.append(leg + place * core * axis)
    for _ in range(rng.integers(0, 4)):  # heads and knobs
        angle = rng.uniform(0, 2 * np.pi)
        at = core * rng.uniform(0.8, 1.2) * np.array([np.cos(angle), np.sin(angle)])
        parts.append(outline(rng, core * rng.uniform(0.2, 0.6)) + at)
    for _ in range(rng.integers(0, 3)):  # tails and necks
        angle = rng.uniform(0, 2 * np.pi)
        at = 0.7 * core * np.array([np.cos(angle), np.sin(angle)])
        parts.append(
            limb(rng, core * rng.uniform(0.5, 1.5), core * rng.uniform(0.1, 0.4), angle) + at
        )
    return parts


def _scenery(rng: Generator, canvas: Canvas, gray: bool) -> None:
    """Ground and sky, or one wall; then clutter that is nobody's object."""
    size = canvas.size
    canvas.image[:] = colour(rng, gray) + rng.uniform(0, 0.2) * clouds(rng, size, size)[..., None]
    if rng.random() < 0.6:
        bent = ramp(rng, size, size) + 0.05 * clouds(rng, size, size)
        side = bent > rng.uniform(-0.5, 0.5)
        other = colour(rng, gray) + rng.uniform(0, 0.3) * texture(rng, size, size)[..., None]
        canvas.image[side] = np.broadcast_to(other, canvas.image.shape)[side]
    for _ in range(rng.integers(0, 40)):
        radius = float(np.exp(rng.uniform(np.log(3), np.log(size * 0.2))))
        patch = fill(size, outline(rng, radius), rng.uniform(0, size, 2))
        if patch is not None:
            grain = rng.uniform(0, 0.25) * texture(rng, *patch.mask.shape)[..., None]
            canvas.paint(patch, colour(rng, gray) + grain)
    sigma = rng.choice([0.0, 0.7, 2.0, 5.0])
    if sigma:
        canvas.image[:] = ndimage.gaussian_filter(canvas.image, (sigma, sigma, 0), truncate=3)


def _coat(rng: Generator, shape: tuple[int, int], gray: bool) -> NDArray[np.float32]:
    """Colour and texture of one part: (h, w, 3)."""
    value = colour(rng, gray) + rng.uniform(0, 0.2) * texture(rng, *shape)[..., None]
    if rng.random() < 0.3:  # patches of another colour
        spots = clouds(rng, *shape) > rng.uniform(0, 1)
        value = np.where(spots[..., None], colour(rng, gray), value)
    return value.astype(np.float32)


def creatures(rng: Generator, size: int) -> Canvas:
    """One to three large objects made of parts, in front of clutter.

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
    gray = rng.random() < 0.2
    _scenery(rng, canvas, gray)
    for _ in range(rng.choice([1, 1, 2, 3])):
        radius = size * rng.uniform(0.15, 0.48)
        centre = size / 2 + rng.normal(0, 0.5, 2) * (size / 2 - 0.6 * radius)
        _add(rng, canvas, body_plan(rng, radius), centre, gray)
    return canvas


def _add(
    rng: Generator,
    canvas: Canvas,
    outlines: list[NDArray[np.float64]],
    centre: NDArray[np.float64],
    gray: bool,
) -> None:
    """Paint an object part by part, in one coat or in several."""
    size = canvas.size
    whole = np.zeros((size, size), dtype=bool)
    parts = np.zeros((size, size), dtype=np.uint8)
    coat, common = _coat(rng, (size, size), gray), rng.random() < 0.6
    shown = np.zeros((size, size), dtype=np.float32)
    for number, points in enumerate(outlines, start=1):
        patch = fill(size, points, centre)
        if patch is None:
            continue
        whole[patch.window] |= patch.mask
        parts[patch.window][patch.mask] = number
        shown[patch.window][patch.mask] = 0.5 * rng.random() * dome(patch.mask)[patch.mask]
        if not common and rng.random() < 0.5:
            own = _coat(rng, patch.mask.shape, gray)
            coat[patch.window][patch.mask] = own[patch.mask]
    if whole.sum() < LEAST_PART or canvas.full(OBJECT):
        return
    patch = Patch(whole, 0, 0)
    canvas.paint(patch, coat + shown[..., None])
    canvas.label(OBJECT, patch)
    canvas.labels[PART][whole] = 0
    for number in range(1, len(outlines) + 1):
        visible = parts == number
        if len(outlines) > 1 and visible.sum() >= LEAST_PART and not canvas.full(PART):
            canvas.label(PART, Patch(visible, 0, 0))
