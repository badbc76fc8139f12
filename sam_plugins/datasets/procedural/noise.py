"""Random fields and textures, as float32 arrays (H, W) of about unit spread."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]


def smooth_noise(rng: Generator, height: int, width: int, cell: float) -> Field:
    """Make noise that varies over about ``cell`` pixels.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.
    cell : float
        Distance between independent values, in pixels.

    Returns
    -------
    ndarray of shape (height, width), float32

    Examples
    --------
    >>> smooth_noise(np.random.default_rng(0), 20, 30, 5).shape
    (20, 30)
    """
    rows, columns = int(height / cell) + 3, int(width / cell) + 3
    coarse = rng.standard_normal((rows, columns), dtype=np.float32)
    box = (1, 1, 1 + width / cell, 1 + height / cell)
    fine = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(fine, dtype=np.float32)


def fractal_noise(rng: Generator, height: int, width: int, cell: float, octaves: int = 3) -> Field:
    """Sum smooth noise at ever finer scales.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.
    cell : float
        Scale of the coarsest noise, in pixels; each octave halves it.
    octaves : int
        Number of scales.

    Returns
    -------
    ndarray of shape (height, width), float32
    """
    total = np.zeros((height, width), dtype=np.float32)
    for octave in range(octaves):
        scale = max(1.2, cell / 2**octave)
        total += np.float32(0.55**octave) * smooth_noise(rng, height, width, scale)
    return total


def ramp(rng: Generator, height: int, width: int) -> Field:
    """Make a linear gradient in a random direction.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.

    Returns
    -------
    ndarray of shape (height, width), float32
        From about -1 to 1.
    """
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.ogrid[:height, :width]
    field = (x - width / 2) * np.cos(angle) + (y - height / 2) * np.sin(angle)
    return (2 * field / max(height, width)).astype(np.float32)


def stripes(rng: Generator, height: int, width: int) -> Field:
    """Make wavy stripes of a random direction and width, soft or hard.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.

    Returns
    -------
    ndarray of shape (height, width), float32
        From -1 to 1.
    """
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 24)
    y, x = np.ogrid[:height, :width]
    phase = 2 * np.pi / period * (x * np.cos(angle) + y * np.sin(angle))
    wave = np.sin(phase + 0.8 * smooth_noise(rng, height, width, 30))
    return (np.sign(wave) if rng.random() < 0.3 else wave).astype(np.float32)


def speckles(rng: Generator, height: int, width: int) -> Field:
    """Make spots of one brightness on another.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.

    Returns
    -------
    ndarray of shape (height, width), float32
        -1 or 1.
    """
    field = smooth_noise(rng, height, width, rng.uniform(2, 8))
    return np.where(field > rng.uniform(-0.5, 1.0), 1, -1).astype(np.float32)


def grain(rng: Generator, height: int, width: int) -> Field:
    """Make white noise.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.

    Returns
    -------
    ndarray of shape (height, width), float32
        Of unit spread.
    """
    return rng.standard_normal((height, width), dtype=np.float32)


def clouds(rng: Generator, height: int, width: int) -> Field:
    """Make fractal noise of a random scale.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.

    Returns
    -------
    ndarray of shape (height, width), float32
    """
    return fractal_noise(rng, height, width, rng.uniform(4, 40), int(rng.integers(1, 5)))


def flat(rng: Generator, height: int, width: int) -> Field:
    """Make no texture.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.

    Returns
    -------
    ndarray of shape (height, width), float32
        Zeros.
    """
    return np.zeros((height, width), dtype=np.float32)


TEXTURES = (flat, clouds, clouds, stripes, speckles, ramp, grain)


def texture(rng: Generator, height: int, width: int) -> Field:
    """Make a texture of a random kind, one of `TEXTURES`.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    height, width : int
        Size of the field, in pixels.

    Returns
    -------
    ndarray of shape (height, width), float32
    """
    return TEXTURES[rng.integers(len(TEXTURES))](rng, height, width)
