"""Collages: shapes cut out of real images on top of another real image.

Few photographs may be trained on. Cut along random outlines they give true textures, noise and
colours on both sides of a border that is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from sam_plugins.datasets.procedural.creatures import body_plan
from sam_plugins.datasets.procedural.shapes import fill, outline
from sam_plugins.training.lite.views import Annotated, random_view

# Fewer pixels in sight are not labelled.
LEAST_VISIBLE = 40


def _cutting(rng: Generator, photos: Sequence[Annotated], size: int) -> NDArray[np.floating]:
    """A randomly tinted piece of a photo without an edge of it: (size, size, 3)."""
    photo = photos[int(rng.integers(len(photos)))]
    short = min(photo.image.shape[:2]) / max(photo.image.shape[:2])
    least = 1.35 * size / short  # a turned crop stays inside
    view = random_view(rng, Annotated(photo.image, photo.labels[:0]), size, (least, 2.5 * least))
    tint = np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.1, 3))
    return view.image * tint + rng.normal(0, 15)


def collage(rng: Generator, photos: Sequence[Annotated], size: int) -> Annotated:
    """Make an image of one to six cut-out shapes on a real background.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    photos : sequence of Annotated
        Where background and shapes are cut from; their labels are not used.
    size : int
        Side, in pixels.

    Returns
    -------
    Annotated
        Image (size, size, 3), uint8, and labels (3, size, size): no groups, the shapes, and the
        parts of shapes that are put together from several pieces.
    """
    image = _cutting(rng, photos, size)
    if rng.random() < 0.3:  # out of focus
        image = ndimage.gaussian_filter(image, (*[rng.uniform(0.7, 4)] * 2, 0), truncate=3)
    labels = np.zeros((3, size, size), dtype=np.int32)
    parts_before = 0
    for number in range(1, int(rng.choice([1, 1, 2, 3, 6])) + 1):
        radius = size * np.exp(rng.uniform(np.log(0.06), np.log(0.48)))
        jointed = rng.random() < 0.6
        outlines = body_plan(rng, radius) if jointed else [outline(rng, radius)]
        whole = np.zeros((size, size), dtype=bool)
        parts = np.zeros((size, size), dtype=np.int32)
        centre = rng.uniform(0.1 * size, 0.9 * size, 2)
        if radius > 0.25 * size:
            centre = size / 2 + rng.normal(0, 0.1 * size, 2)
        for index, points in enumerate(outlines, start=1):
            patch = fill(size, points, centre)
            if patch is not None:
                whole[patch.window] |= patch.mask
                parts[patch.window][patch.mask] = index
        if whole.sum() < LEAST_VISIBLE:
            continue
        soft = ndimage.gaussian_filter(whole.astype(np.float32), rng.uniform(0.3, 1.0))[..., None]
        image = image * (1 - soft) + _cutting(rng, photos, size) * soft
        labels[1][whole] = number
        labels[2][whole] = 0
        if len(outlines) > 1:
            labels[2][whole] = parts[whole] + parts_before
            parts_before += len(outlines)
    return Annotated(image.clip(0, 255).astype(np.uint8), labels)
