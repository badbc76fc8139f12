"""Views of annotated images: read, cut, turned, recoloured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sam_plugins.errors import SamPluginsError

# What lies outside an image: the mean colour, which is zero after normalisation, as the padding is.
OUTSIDE = (124, 116, 104)


@dataclass(frozen=True, eq=False)
class Annotated:
    """An image with its masks.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    labels : ndarray of shape (L, H, W), integer
        L levels of nested masks; 0 is none.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.integer]


def read_folder(folder: str | os.PathLike[str], *, keep_every: tuple[int, int]) -> list[Annotated]:
    """Read ``images/*`` with ``masks/*.png`` (instance maps) beside them.

    Parameters
    ----------
    folder : path-like
        Of one data set.
    keep_every : tuple of int
        (n, r): leave out images number i with i % n == r, for measuring.

    Returns
    -------
    list of Annotated
        Objects at level 1.

    Raises
    ------
    FileNotFoundError
        If there is no image, or one has no mask.
    SamPluginsError
        If a file cannot be read, or a mask is of another size. Names the file.
    """
    paths = sorted((Path(folder) / "images").glob("*"))
    if not paths:
        raise FileNotFoundError(f"no image in {Path(folder) / 'images'}")
    found = []
    for index, path in enumerate(paths):
        if index % keep_every[0] == keep_every[1]:
            continue
        mask_path = Path(folder) / "masks" / f"{path.stem}.png"
        image, mask = _pixels(path, "RGB"), _pixels(mask_path).astype(np.int32)
        if mask.shape != image.shape[:2]:
            raise SamPluginsError(f"{mask_path} is of shape {mask.shape}, {path} of {image.shape}")
        labels = np.zeros((3, *mask.shape), dtype=np.int32)
        labels[1] = mask
        found.append(Annotated(image, labels))
    return found


def _pixels(path: Path, mode: str | None = None) -> NDArray[Any]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert(mode) if mode else image)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow has for damaged files
        raise SamPluginsError(f"{path} cannot be read: {error}") from error


def random_view(
    rng: Generator, item: Annotated, size: int, long_side: tuple[float, float]
) -> Annotated:
    """Scale, turn, mirror and crop an image to ``size`` pixels a side.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    item : Annotated
        What to crop from.
    size : int
        Side of the crop, in pixels.
    long_side : tuple of float
        The whole image's long side becomes a log-uniform number of pixels in this range.

    Returns
    -------
    Annotated
        (size, size, 3), uint8, and its labels of shape (L, size, size); outside of the image lies
        the mean colour, without a label.
    """
    height, width = item.image.shape[:2]
    scale = np.exp(rng.uniform(*np.log(long_side))) / max(height, width)
    turn = rng.normal(0, 0.12) if rng.random() < 0.4 else 0.0
    # From crop pixels to image pixels: turned by `turn`, shrunk by `scale`.
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) / scale
    slack = np.array([width, height]) * scale - size
    # A larger image is cut anywhere; a smaller one lies in a corner, as in the model's frame.
    share = np.where(slack > 0, rng.uniform(0, 1, 2), 0.0)
    centre = np.array([width, height]) / 2 + (share - 0.5) * slack / scale
    shift = centre - matrix @ np.array([size / 2, size / 2])
    affine = (*matrix[0], shift[0], *matrix[1], shift[1])
    image = Image.fromarray(item.image)
    if scale < 0.55:
        factor = int(0.8 / scale)
        small = image.reduce(factor)
        ratio = np.array([width / small.width, height / small.height])
        shrunk = np.array(affine).reshape(2, 3) / ratio[:, None]
        image = small.transform(
            (size, size), Image.Transform.AFFINE, tuple(shrunk.ravel()),
            Image.Resampling.BILINEAR, fillcolor=OUTSIDE,
        )  # fmt: skip
    else:
        image = image.transform(
            (size, size), Image.Transform.AFFINE, affine,
            Image.Resampling.BILINEAR, fillcolor=OUTSIDE,
        )  # fmt: skip
    levels = [
        np.asarray(
            Image.fromarray(level.astype(np.int32)).transform(
                (size, size), Image.Transform.AFFINE, affine, Image.Resampling.NEAREST
            )
        )
        if level.any()
        else np.zeros((size, size), np.int32)
        for level in item.labels
    ]
    pixels = np.asarray(image)
    labels = np.array(levels, dtype=np.int32).reshape(-1, size, size)
    quarter = int(rng.integers(4))
    pixels, labels = np.rot90(pixels, quarter), np.rot90(labels, quarter, (1, 2))
    if rng.random() < 0.5:
        pixels, labels = pixels[:, ::-1], labels[:, :, ::-1]
    return Annotated(pixels, labels)


def recolour(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Change colour, contrast, sharpness and noise of an image at random.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    image : ndarray of shape (S, S, 3), uint8
        RGB; not changed.

    Returns
    -------
    ndarray of shape (S, S, 3), uint8
    """
    pixels: NDArray[np.floating] = image.astype(np.float32)
    if rng.random() < 0.15:
        pixels[:] = pixels.mean(axis=2, keepdims=True)
    if rng.random() < 0.08:
        pixels = 255 - pixels
    if rng.random() < 0.15:
        pixels = pixels[..., rng.permutation(3)]
    if rng.random() < 0.6:
        pixels = (pixels - 128) * np.exp(rng.normal(0, 0.25)) + 128 + rng.normal(0, 22)
    if rng.random() < 0.2:
        pixels = pixels + rng.normal(0, 12, 3)
    if rng.random() < 0.25:
        pixels = 255 * (pixels.clip(0, 255) / 255) ** np.exp(rng.normal(0, 0.35))
    if rng.random() < 0.15:
        sigma = rng.uniform(0.4, 1.4)
        pixels = ndimage.gaussian_filter(pixels, (sigma, sigma, 0), truncate=3)
    if rng.random() < 0.25:
        noise = rng.standard_normal((*pixels.shape[:2], 1), dtype=np.float32)
        pixels = pixels + rng.uniform(2, 20) * noise
    return pixels.clip(0, 255).astype(np.uint8)
