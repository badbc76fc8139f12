"""Images without labels, cut at random: what is shown when is a function of the seed alone."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sam_plugins.errors import InvalidImageError
from sam_plugins.images import read_image, to_rgb

# What is looked for; a zarr folder is an image as well.
SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".npy", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
FOLDER_SUFFIX = ".zarr"

# Random crops, as in arXiv 2111.06377 (§A.1, "RandomResizedCrop"): of this share of the image,
# there .2 to 1, and of this ratio of width to height (arXiv 1409.4842, §6).
CROP_SCALE = (0.2, 1.0)
CROP_RATIO = (3 / 4, 4 / 3)
# Draws until a crop lies inside of the image; else the largest one in its middle is taken.
CROP_DRAWS = 10

# Batches that are read while one is learned from.
AHEAD = 2


@dataclass(eq=False)  # not frozen: Fabric copies batches field by field
class Views:
    """A batch.

    Parameters
    ----------
    images : Tensor of shape (B, 3, S, S), uint8
        RGB crops.
    seeds : Tensor of shape (B,), int64
        Of their masks.
    """

    images: Tensor
    seeds: Tensor


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """List the images in a folder and in those below it.

    Parameters
    ----------
    folder : path-like
        Files with `SUFFIXES` and zarr folders in it are images; what begins with a dot is left out.

    Returns
    -------
    list of Path
        Sorted.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no image in it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    found = []
    for parent, folders, files in os.walk(root):
        kept = [name for name in folders if not name.startswith(".")]
        arrays = [name for name in kept if name.lower().endswith(FOLDER_SUFFIX)]
        folders[:] = sorted(set(kept).difference(arrays))
        images = [name for name in files if Path(name).suffix.lower() in SUFFIXES]
        found += [Path(parent, name) for name in arrays + images if not name.startswith(".")]
    if not found:
        looked = " ".join(sorted({*SUFFIXES, FOLDER_SUFFIX}))
        raise FileNotFoundError(f"no image in {root} (looked for {looked})")
    return sorted(found)


@dataclass(frozen=True)
class ViewStream:
    """An endless row of views: view n is of epoch n // len(paths), in that epoch's order.

    Parameters
    ----------
    paths : sequence of Path
        The images; of files with several pages the first is taken.
    size : int
        Side of the views, in pixels.
    seed : int
        Of the order, the crops and the masks.

    Raises
    ------
    ValueError
        If there is no image.
    """

    paths: Sequence[Path]
    size: int = 224
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError("there is no image to learn from")

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Give the order of the images in an epoch.

        Parameters
        ----------
        epoch : int
            Counted from 0.

        Returns
        -------
        ndarray of shape (len(paths),), int64
            A permutation.
        """
        return _order(len(self.paths), self.seed, epoch)

    def view(self, number: int) -> tuple[NDArray[np.uint8], int]:
        """Give one view.

        Parameters
        ----------
        number : int
            From the run's beginning.

        Returns
        -------
        image : ndarray of shape (size, size, 3), uint8
            RGB.
        seed : int
            Of its mask.

        Raises
        ------
        FileNotFoundError, InvalidImageError
            If the image cannot be read. Names the file.
        """
        epoch, place = divmod(number, len(self.paths))
        # A third number, so that no view draws what an epoch's order was drawn from.
        rng = np.random.default_rng((self.seed, number, 1))
        seed = int(rng.integers(2**62))
        image = read_rgb(self.paths[self.order(epoch)[place]])
        return random_crop(image, rng, size=self.size), seed

    def batches(
        self, first: int, *, size: int, rank: int = 0, world: int = 1, workers: int = 4
    ) -> Iterator[Views]:
        """Give batches without end, read ahead in threads.

        Parameters
        ----------
        first : int
            The batch to begin with; batch n holds the views n * size to (n + 1) * size.
        size : int
            Views to a batch, of all processes together.
        rank, world : int
            Which process this is, of how many; it gets its share of each batch.
        workers : int
            Threads.

        Yields
        ------
        Views
            Of ``size / world`` views.

        Raises
        ------
        ValueError
            If the processes cannot share a batch equally.
        """
        if size < 1 or size % world:
            raise ValueError(f"a batch of {size} cannot be shared by {world} processes")
        ahead: deque[list[Future[tuple[NDArray[np.uint8], int]]]] = deque()
        pool = ThreadPoolExecutor(max(1, workers))
        try:
            for batch in count(first):
                numbers = range(batch * size + rank, (batch + 1) * size, world)
                ahead.append([pool.submit(self.view, number) for number in numbers])
                if len(ahead) > AHEAD:
                    yield _batch([each.result() for each in ahead.popleft()])
        finally:
            # Nobody waits for what is still to be read: after an error, or when all is learned.
            pool.shutdown(wait=False, cancel_futures=True)


# Two, as a batch may lie in two epochs.
@lru_cache(maxsize=2)
def _order(images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(images)


def _batch(views: Sequence[tuple[NDArray[np.uint8], int]]) -> Views:
    images = torch.from_numpy(np.stack([image for image, _ in views]))  # (B, S, S, 3)
    return Views(images.permute(0, 3, 1, 2).contiguous(), torch.tensor([seed for _, seed in views]))


def read_rgb(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read an image as 8-bit RGB, however many bits and channels it has.

    Parameters
    ----------
    path : path-like
        The image.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InvalidImageError
        If it cannot be read or shown as RGB. Names the file.
    """
    try:
        return to_rgb(read_image(path))
    except InvalidImageError as error:
        message = str(error)
        # What is wrong with the pixels is said without the file's name.
        named = message if str(path) in message else f"{path}: {message}"
        raise InvalidImageError(named) from error


def random_crop(image: NDArray[np.uint8], rng: Generator, *, size: int) -> NDArray[np.uint8]:
    """Cut a random rectangle, bring it to a square, and mirror it or not.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    rng : numpy.random.Generator
        What is random.
    size : int
        Side of the result, in pixels.

    Returns
    -------
    ndarray of shape (size, size, 3), uint8
        Resized bicubically.
    """
    left, top, width, height = crop_box(image.shape[0], image.shape[1], rng)
    flipped = rng.random() < 0.5
    part = Image.fromarray(image[top : top + height, left : left + width])
    resized = np.asarray(part.resize((size, size), Image.Resampling.BICUBIC))  # (size, size, 3)
    return resized[:, ::-1] if flipped else resized


def crop_box(height: int, width: int, rng: Generator) -> tuple[int, int, int, int]:
    """Draw a rectangle inside of an image.

    Parameters
    ----------
    height, width : int
        Of the image.
    rng : numpy.random.Generator
        What is random.

    Returns
    -------
    tuple of int
        (left, top, width, height): of `CROP_SCALE` of the area and of `CROP_RATIO`, but for images
        that are so narrow that none of `CROP_DRAWS` fits.
    """
    for _ in range(CROP_DRAWS):
        area = height * width * rng.uniform(*CROP_SCALE)
        ratio = math.exp(rng.uniform(math.log(CROP_RATIO[0]), math.log(CROP_RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    w = max(1, min(width, round(height * CROP_RATIO[1])))
    h = max(1, min(height, round(width / CROP_RATIO[0])))
    return (width - w) // 2, (height - h) // 2, w, h
