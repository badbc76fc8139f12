"""``scene``: one image with its masks from a random generator."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sam_plugins.datasets.procedural import creatures, layers, micrographs, photographs
from sam_plugins.datasets.procedural.noise import ramp
from sam_plugins.datasets.procedural.shapes import Canvas

# How often each kind is drawn, by default.
KINDS: Mapping[str, int] = MappingProxyType(
    {
        "leaves": 5,
        "creatures": 7,
        "fluorescence": 3,
        "phase_contrast": 2,
        "brightfield": 2,
        "histology": 2,
        "electron": 3,
        "particles": 3,
        "filaments": 1,
        "grid": 1,
        "lamellae": 1,
        "lettering": 1,
    }
)

_PAINTERS: Mapping[str, Callable[[Generator, int], Canvas]] = MappingProxyType(
    {
        "leaves": photographs.leaves,
        "creatures": creatures.creatures,
        "filaments": photographs.filaments,
        "grid": photographs.grid,
        "lamellae": layers.lamellae,
        "lettering": layers.lettering,
        "fluorescence": micrographs.fluorescence,
        "phase_contrast": micrographs.phase_contrast,
        "brightfield": micrographs.brightfield,
        "histology": micrographs.histology,
        "electron": micrographs.electron,
        "particles": micrographs.particles,
    }
)


@dataclass(frozen=True, eq=False)
class Scene:
    """An image with exact masks.

    Parameters
    ----------
    image : ndarray of shape (S, S, 3), uint8
        RGB.
    labels : ndarray of shape (3, S, S), uint8
        Group, object and part of each pixel; 0 is none. Parts lie inside objects.
    kind : str
        One of `KINDS`.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    kind: str


def scene(rng: Generator, size: int = 256, *, kind: str | None = None) -> Scene:
    """Make a scene.

    Parameters
    ----------
    rng : Generator
        All randomness comes from it: the same state gives the same scene.
    size : int
        Side, in pixels.
    kind : str, optional
        One of `KINDS`; by default drawn with their frequencies.

    Returns
    -------
    Scene

    Raises
    ------
    ValueError
        If the kind is unknown or the size below 32.

    Examples
    --------
    >>> made = scene(np.random.default_rng(0), 64, kind="leaves")
    >>> made.image.shape, made.labels.shape
    ((64, 64, 3), (3, 64, 64))
    """
    if size < 32:
        raise ValueError(f"a scene needs 32 pixels a side or more, got {size}")
    if kind is None:
        names, weights = list(KINDS), np.array(list(KINDS.values()), dtype=float)
        kind = names[rng.choice(len(names), p=weights / weights.sum())]
    if kind not in _PAINTERS:
        raise ValueError(f"unknown kind of scene {kind!r}: use one of {', '.join(KINDS)}")
    canvas = _PAINTERS[kind](rng, size)
    return Scene(_photograph(rng, canvas.image), canvas.labels, kind)


def _photograph(rng: Generator, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What a camera makes of it: uneven light, blur, noise, contrast, compression."""
    size = len(image)
    if rng.random() < 0.35:
        image = image * (1 + rng.uniform(0, 0.4) * ramp(rng, size, size))[..., None]
    if rng.random() < 0.25:
        sigma = rng.uniform(0.5, 2)
        image = ndimage.gaussian_filter(image, (sigma, sigma, 0), truncate=3)
    chance = rng.random()
    if chance < 0.6:
        channels = 1 if rng.random() < 0.6 else 3
        noise = rng.standard_normal((size, size, channels), dtype=np.float32)
        image = image + np.float32(np.exp(rng.uniform(np.log(0.003), np.log(0.12)))) * noise
    elif chance < 0.75:
        photons = np.exp(rng.uniform(np.log(8), np.log(200)))
        image = rng.poisson(image.clip(0, 2) * photons) / photons
    if rng.random() < 0.5:
        low, high = image.min(), np.percentile(image[::4, ::4], 99.8)
        image = (image - low) / max(1e-3, high - low)
    image = image.clip(0, 1)
    if rng.random() < 0.25:
        image = image ** rng.uniform(0.5, 1.8)
    pixels = (image * 255).astype(np.uint8)
    if rng.random() < 0.2:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(35, 90)))
        pixels = np.asarray(Image.open(buffer))
    return pixels
