"""A stack like nuclei under a confocal microscope, with true labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

# Between slices is this much more than between pixels, as most microscopes have it.
ANISOTROPY = 4.0


def nuclei_stack(
    rng: Generator, shape: tuple[int, int, int] = (20, 192, 192), *, count: int = 24
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Make a stack of fluorescent nuclei.

    Parameters
    ----------
    rng : Generator
        All randomness comes from it: the same state gives the same stack.
    shape : tuple of int
        (Z, H, W), in voxels, each `ANISOTROPY` times as high as wide.
    count : int
        How many nuclei are tried; those that would touch another are left out.

    Returns
    -------
    image : ndarray of shape (Z, H, W), uint16
        Dimmer and more blurred with depth, with the noise of photons, about 12 bits.
    labels : ndarray of shape (Z, H, W), uint16
        0 is background.

    Examples
    --------
    >>> image, labels = nuclei_stack(np.random.default_rng(0), (8, 64, 64), count=4)
    >>> image.shape == labels.shape
    True
    """
    labels = np.zeros(shape, dtype=np.uint16)
    light = np.zeros(shape, dtype=np.float32)
    voxel = np.array([ANISOTROPY, 1.0, 1.0])
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * voxel
    found = 0
    for _ in range(count):
        centre = rng.uniform(0.05, 0.95, 3) * shape * voxel
        radii = rng.uniform(9, 17, 3) * [0.9, 1.0, 1.0]
        turn, _unused = np.linalg.qr(rng.normal(size=(3, 3)))
        distance = np.linalg.norm((grid - centre) @ turn / radii, axis=-1)  # (Z, H, W)
        inside = distance < 1
        # A gap of some pixels, so that neighbours can be told apart.
        if inside.sum() < 50 or labels[distance < 1.2].any():
            continue
        found += 1
        labels[inside] = found
        light[inside] = rng.uniform(0.5, 1.0) * (1.1 - 0.5 * distance[inside])
    return _exposed(rng, light), labels


def _exposed(rng: Generator, light: NDArray[np.float32]) -> NDArray[np.uint16]:
    """What the microscope makes of it."""
    depth = np.linspace(0, 1, len(light), dtype=np.float32)[:, None, None]
    texture = ndimage.gaussian_filter(rng.standard_normal(light.shape), (0.5, 2, 2))
    blurred = ndimage.gaussian_filter(light * (1 + 1.5 * texture), (0.7, 1.2, 1.2))
    photons = rng.poisson((blurred.clip(0) * (1 - 0.4 * depth) + 0.04) * 120)
    counts: NDArray[Any] = 100 + photons * 16 + rng.normal(0, 12, light.shape)
    return counts.clip(0, 4095).astype(np.uint16)
