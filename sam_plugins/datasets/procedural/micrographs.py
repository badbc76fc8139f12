"""Scenes like micrographs: cells by four contrasts, tissue under an electron beam, particles."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from sam_plugins.datasets.procedural.noise import (
    clouds,
    fractal_noise,
    ramp,
    smooth_noise,
    stripes,
)
from sam_plugins.datasets.procedural.shapes import (
    GROUP,
    OBJECT,
    PART,
    Canvas,
    colour,
    dome,
    fill,
    outline,
    rim,
    scatter,
)

Field = NDArray[np.float32]


def _blur(field: NDArray[np.floating], sigma: float) -> Field:
    return ndimage.gaussian_filter(field.astype(np.float32), sigma, truncate=3)


def _place_cells(
    rng: Generator, canvas: Canvas, radius: float, *, may_overlap: bool, part_chance: float
) -> tuple[Field, Field]:
    """Put cells on a canvas; gives the brightness of bodies and of nuclei, (S, S) each."""
    size = canvas.size
    bodies = np.zeros((size, size), dtype=np.float32)
    nuclei = np.zeros((size, size), dtype=np.float32)
    count = int(np.clip(rng.uniform(0.15, 1.0) * (size / radius / 2) ** 2 * 0.8, 2, 120))
    kind = ("ellipse", "blob", "blob", "blob", "ragged")[rng.integers(5)]
    most_overlap = rng.uniform(0, 0.45)
    for centre in scatter(rng, size, count, radius, clumped=rng.random() < 0.4):
        reach = radius * np.exp(rng.normal(0, 0.22))
        patch = fill(size, outline(rng, reach, kind), centre)
        if patch is None or canvas.full(OBJECT):
            continue
        taken = canvas.labels[OBJECT][patch.window] > 0
        if (taken & patch.mask).sum() > most_overlap * patch.mask.sum():
            continue
        if not may_overlap or rng.random() < 0.5:
            patch = patch.where(~taken)
        if patch.mask.sum() < 16:
            continue
        label = canvas.label(OBJECT, patch)
        level = np.exp(rng.normal(0, 0.25)) + 0.5 * rng.random() * dome(patch.mask)
        bodies[patch.window][patch.mask] = level[patch.mask]
        if reach > 7 and rng.random() < part_chance and not canvas.full(PART):
            place = centre + rng.normal(0, 0.12, 2) * reach
            inner = fill(size, outline(rng, reach * rng.uniform(0.25, 0.5), "blob"), place)
            if inner is None:
                continue
            inner = inner.where(canvas.labels[OBJECT][inner.window] == label)
            if inner.mask.sum() > 14:
                canvas.label(PART, inner)
                nuclei[inner.window][inner.mask] = rng.uniform(0.5, 1)
    return bodies, nuclei


def _borders(labels: NDArray[np.uint8]) -> Field:
    """1 where a pixel's neighbour right or below has another label: (S, S)."""
    edge = np.zeros(labels.shape, dtype=np.float32)
    edge[:, :-1] += labels[:, 1:] != labels[:, :-1]
    edge[:-1] += labels[1:] != labels[:-1]
    return edge.clip(0, 1)


def _radius(rng: Generator) -> float:
    return float(np.exp(rng.uniform(np.log(4), np.log(46))))


def fluorescence(rng: Generator, size: int) -> Canvas:
    """Bright blurred cells or nuclei on a dark, uneven background.

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
    canvas, radius = Canvas(size), _radius(rng)
    with_parts = 0.8 if rng.random() < 0.35 else 0.0
    bodies, nuclei = _place_cells(rng, canvas, radius, may_overlap=True, part_chance=with_parts)
    grainy = fractal_noise(rng, size, size, max(2, radius * rng.uniform(0.2, 0.8)))
    light: NDArray[np.floating] = bodies * (1 + rng.uniform(0, 0.35) * grainy)
    light = light * rng.uniform(0.3, 0.9)
    light = light + nuclei * rng.uniform(-0.3, 0.5)
    light = light + rng.uniform(0, 0.1) * smooth_noise(rng, size, size, 40).clip(0)
    if rng.random() < 0.3:
        light = light - rng.uniform(0.05, 0.25) * _borders(canvas.labels[OBJECT]) * (bodies > 0)
    light = _blur(light, rng.uniform(0.5, max(0.6, radius * 0.12))) + rng.uniform(0, 0.15)
    light = light + rng.uniform(0, 0.3) * _blur(light, radius)
    canvas.image[:] = light[..., None]
    if rng.random() < 0.2:
        canvas.image *= rng.uniform(0, 1, 3).astype(np.float32)
    if rng.random() < 0.15:
        canvas.image = 1 - canvas.image
    return canvas


def phase_contrast(rng: Generator, size: int) -> Canvas:
    """Cells of the background's gray with halos and dark or bright borders; some as in DIC.

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
    canvas, radius = Canvas(size), _radius(rng)
    bodies, nuclei = _place_cells(rng, canvas, radius, may_overlap=False, part_chance=0.6)
    inside = (bodies > 0).astype(np.float32)
    width = rng.uniform(1, 4)
    halo = (_blur(inside, width * 1.8) - 0.9 * _blur(inside, width)).clip(0) * (1 - inside)
    grainy = fractal_noise(rng, size, size, max(2, radius * rng.uniform(0.2, 0.8)))
    sign = 1 if rng.random() < 0.5 else -1
    light = rng.uniform(0.35, 0.6) + rng.uniform(0.3, 2.2) * halo
    light = light + inside * (rng.uniform(-0.15, 0.15) + rng.uniform(0.05, 0.22) * grainy)
    light = light + sign * rng.uniform(0.05, 0.35) * _borders(canvas.labels[OBJECT])
    light = light + nuclei * rng.uniform(-0.2, 0.2) + 0.03 * smooth_noise(rng, size, size, 50)
    if rng.random() < 0.4:
        soft = _blur(light, 1)
        slope = np.roll(soft, 1, 1) - np.roll(soft, -1, 1)
        light = 0.5 + rng.uniform(1, 4) * slope + 0.3 * (light - 0.5)
    canvas.image[:] = _blur(light, rng.uniform(0.4, 1.2))[..., None]
    return canvas


def _absorbing(rng: Generator, size: int, stain: Field, ground: Field) -> Canvas:
    canvas, radius = Canvas(size), _radius(rng)
    bodies, nuclei = _place_cells(rng, canvas, radius, may_overlap=False, part_chance=0.7)
    tissue = fractal_noise(rng, size, size, rng.uniform(6, 40), 4)[..., None]
    image = ground + rng.uniform(0.02, 0.12) * tissue * np.array([0.6, 1, 0.7], dtype=np.float32)
    grainy = fractal_noise(rng, size, size, max(2, radius * rng.uniform(0.2, 0.8)))
    opacity = bodies.clip(0, 1.4) * rng.uniform(0.5, 1) * (1 + 0.25 * grainy)
    opacity = opacity.clip(0, 1)[..., None]
    image = image * (1 - opacity) + opacity * stain
    image = image + nuclei[..., None] * (colour(rng, False) - 0.5) * 0.6
    if rng.random() < 0.6:
        image = image - rng.uniform(0, 0.25) * _borders(canvas.labels[OBJECT])[..., None]
    sigma = rng.uniform(0.4, 1.3)
    canvas.image = ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=3)
    return canvas


def brightfield(rng: Generator, size: int) -> Canvas:
    """Stained cells on a bright ground.

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
    ground = (rng.uniform(0.6, 0.95) + rng.normal(0, 0.05, 3)).clip(0, 1).astype(np.float32)
    return _absorbing(rng, size, colour(rng, rng.random() < 0.3), ground)


def histology(rng: Generator, size: int) -> Canvas:
    """Violet nuclei in pink tissue (haematoxylin and eosin).

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
    ground = np.array([0.85, 0.65, 0.78], dtype=np.float32) + rng.normal(0, 0.09, 3).astype(
        np.float32
    )
    stain = np.array([0.4, 0.25, 0.55], dtype=np.float32) + rng.normal(0, 0.1, 3).astype(np.float32)
    return _absorbing(rng, size, stain, ground)


def electron(rng: Generator, size: int) -> Canvas:
    """Cells between dark membranes, with organelles (transmission electron microscopy).

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
    count = int(np.exp(rng.uniform(np.log(6), np.log(120))))
    spacing = size / np.sqrt(count)
    seeds = rng.uniform(0, size, (count, 2))
    bend, cell = rng.uniform(0.1, 0.5) * spacing, spacing * rng.uniform(0.4, 1.2)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    x += bend * smooth_noise(rng, size, size, cell)
    y += bend * smooth_noise(rng, size, size, cell)
    found = cKDTree(seeds).query(np.stack([x.ravel(), y.ravel()], axis=1), k=2)
    distance, nearest = (np.asarray(each) for each in found)
    gap = (distance[:, 1] - distance[:, 0]).reshape(size, size)
    owner = (nearest[:, 0] + 1).reshape(size, size)
    membrane = gap < 2 * rng.uniform(1.2, 4.5)
    canvas.labels[OBJECT] = np.where(membrane, 0, owner)
    canvas.counts[OBJECT] = count
    level = rng.uniform(0.5, 0.85)
    light = level + rng.normal(0, 0.05, count + 1).astype(np.float32)[owner]
    grain = fractal_noise(rng, size, size, rng.uniform(2, 8))
    light = light + rng.uniform(0.02, 0.1) * grain
    light[membrane] = rng.uniform(0.05, 0.4) + 0.08 * rng.standard_normal(int(membrane.sum()))
    for _ in range(rng.integers(0, 14)):
        centre = rng.uniform(0, size, 2)
        radius = np.exp(rng.uniform(np.log(3.5), np.log(18)))
        patch = fill(size, outline(rng, radius, "blob"), centre)
        inside = canvas.labels[OBJECT, int(centre[1]), int(centre[0])]
        if patch is None or not inside:
            continue
        patch = patch.where(canvas.labels[OBJECT][patch.window] == inside)
        if patch.mask.sum() < 25:
            continue
        canvas.label(PART, patch)
        dark = level - rng.uniform(0.1, 0.4) + 0.1 * stripes(rng, *patch.mask.shape)
        dark[rim(patch.mask)] -= 0.15
        light[patch.window][patch.mask] = dark[patch.mask]
    light = _blur(light, rng.uniform(0.5, 1.3))
    canvas.image[:] = (1 - light if rng.random() < 0.2 else light)[..., None]
    return canvas


def particles(rng: Generator, size: int) -> Canvas:
    """Shaded particles, single or in heaps (scanning electron microscopy).

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
    radius = np.exp(rng.uniform(np.log(5), np.log(50)))
    count = int(np.clip(rng.uniform(0.2, 1.2) * (size / radius / 2) ** 2, 3, 110))
    light = rng.uniform(0.05, 0.6) + rng.uniform(0, 0.12) * clouds(rng, size, size)
    kind = ("ellipse", "ellipse", "polygon", "polygon", "rounded", "blob")[rng.integers(6)]
    roundness, level = rng.uniform(-0.6, 0.8), rng.uniform(0.3, 0.8)
    edge, roughness, slope = rng.uniform(-0.4, 0.6), rng.uniform(0, 0.15), rng.uniform(0, 0.3)
    varied = 0.35 * rng.random()
    for centre in scatter(rng, size, count, radius, clumped=rng.random() < 0.5):
        patch = fill(size, outline(rng, radius * np.exp(rng.normal(0, varied)), kind), centre)
        if patch is None or canvas.full(OBJECT):
            continue
        shape = patch.mask.shape
        value = level * np.exp(rng.normal(0, 0.12)) + roundness * dome(patch.mask)
        value = value + roughness * clouds(rng, *shape) + slope * ramp(rng, *shape)
        value = value + edge * rng.uniform(0.5, 1) * rim(patch.mask)
        light[patch.window][patch.mask] = value[patch.mask]
        canvas.label(OBJECT, patch)
    # Touching particles are a heap; heaps are groups.
    heaps, _ = ndimage.label(canvas.labels[OBJECT] > 0)
    canvas.labels[GROUP] = heaps.clip(max=255)
    canvas.image[:] = _blur(light, rng.uniform(0.4, 1.4))[..., None]
    return canvas
