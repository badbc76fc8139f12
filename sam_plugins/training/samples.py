"""Training samples: random crops of real images and procedural scenes, with objects to click."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.utils.data import IterableDataset

# What lies outside an image: the mean colour, which is zero after normalisation, as the padding is.
OUTSIDE = (124, 116, 104)

# Objects below and above this share of attention are not clicked.
LEAST_AREA = 24  # pixels
MOST_AREA = 0.9  # of the crop (paper, §A)


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


@dataclass(frozen=True, eq=False)
class Batch:
    """I crops with K objects each.

    Parameters
    ----------
    images : Tensor of shape (I, 3, S, S), uint8
    labels : Tensor of shape (I, 3, S, S), int32
        Groups, objects, parts.
    levels : Tensor of shape (I, K), int64
        Level of each object.
    ids : Tensor of shape (I, K), int64
        Its label there.
    clicks : Tensor of shape (I, K, 2), float32
        A pixel in it, x then y.
    boxes : Tensor of shape (I, K, 4), float32
        Its box, xyxy.
    """

    images: Tensor
    labels: Tensor
    levels: Tensor
    ids: Tensor
    clicks: Tensor
    boxes: Tensor

    def part(self, images: slice) -> Batch:
        """Take some of the crops.

        Parameters
        ----------
        images : slice
            Which.

        Returns
        -------
        Batch
            Views of the same tensors.
        """
        return Batch(**{each.name: getattr(self, each.name)[images] for each in fields(self)})

    def to(self, device: torch.device) -> Batch:
        """Bring the batch to another device.

        Parameters
        ----------
        device : torch.device
            Where to.

        Returns
        -------
        Batch
            The same numbers there.
        """
        moved = {each.name: getattr(self, each.name).to(device) for each in fields(self)}
        return Batch(**moved)


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
        If there is no image.
    """
    paths = sorted((Path(folder) / "images").glob("*"))
    if not paths:
        raise FileNotFoundError(f"no image in {Path(folder) / 'images'}")
    found = []
    for index, path in enumerate(paths):
        if index % keep_every[0] == keep_every[1]:
            continue
        image = np.asarray(Image.open(path).convert("RGB"))
        mask = np.asarray(Image.open(Path(folder) / "masks" / f"{path.stem}.png")).astype(np.int32)
        labels = np.zeros((3, *mask.shape), dtype=np.int32)
        labels[1] = mask
        found.append(Annotated(image, labels))
    return found


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
    pixels, labels = np.asarray(image), np.stack(levels)
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


def pick_objects(
    rng: Generator, labels: NDArray[np.integer], count: int, level_weights: Sequence[float]
) -> NDArray[np.float32] | None:
    """Choose objects and a pixel in each.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    labels : ndarray of shape (L, S, S), integer
        L levels of nested masks; 0 is none.
    count : int
        How many to choose; the same object may be chosen again.
    level_weights : sequence of float
        How often each level is chosen, if it has an object that fits.

    Returns
    -------
    ndarray of shape (count, 8), float32, or None
        Level, label, pixel (x, y) and box (x0, y0, x1, y1 at the outer edges) of each. None if no
        object has `LEAST_AREA` pixels or more and covers `MOST_AREA` of the image or less.

    Notes
    -----
    Half of the pixels are uniform in the object, a quarter is its centre (the maximum of the
    distance transform), a quarter lies in its inner half.
    """
    pools = []
    for level in range(len(labels)):
        areas = np.bincount(labels[level].ravel())
        areas[0] = 0
        fit = np.flatnonzero((areas >= LEAST_AREA) & (areas <= MOST_AREA * labels[level].size))
        if len(fit):
            pools.append((level, fit, level_weights[level]))
    if not pools:
        return None
    weights = np.array([weight for *_, weight in pools])
    chosen = []
    for pool in rng.choice(len(pools), size=count, p=weights / weights.sum()):
        level, fit, _ = pools[pool]
        label = fit[rng.integers(len(fit))]
        rows, columns = np.nonzero(labels[level] == label)
        y0, y1, x0, x1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        kind = rng.random()
        if kind < 0.5:
            at = rng.integers(len(rows))
            x, y = columns[at], rows[at]
        else:
            mask = np.pad(labels[level][y0:y1, x0:x1] == label, 1)
            depth = ndimage.distance_transform_edt(mask)[1:-1, 1:-1]
            inner = np.argwhere(depth >= (1.0 if kind < 0.75 else 0.5) * depth.max())
            y, x = inner[rng.integers(len(inner))] + (y0, x0)
        chosen.append((level, label, x, y, x0, y0, x1, y1))
    return np.array(chosen, dtype=np.float32)


class CropSource(IterableDataset[Batch]):
    """An endless stream of batches of crops.

    Parameters
    ----------
    real : dict of str to list of Annotated
        Real images by data set.
    weights : dict of str to float
        How often each data set is drawn.
    scenes : tuple of ndarray
        Images (N, S, S, 3) and labels (N, 3, S, S), uint8, from `make_scenes`.
    real_share : float
        How often a real image is drawn.
    objects : int
        Objects to click in each crop.
    size : int
        Side of a crop, in pixels.
    batch_size : int
        Crops a batch.
    level_weights : sequence of float
        How often groups, objects and parts are clicked.
    seed : sequence of int
        The same seed gives the same stream.
    """

    def __init__(
        self,
        real: dict[str, list[Annotated]],
        weights: dict[str, float],
        scenes: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        *,
        real_share: float,
        objects: int,
        size: int,
        batch_size: int,
        level_weights: Sequence[float],
        seed: Sequence[int],
    ) -> None:
        self.real = real
        self.names = sorted(real)
        shares = np.array([weights[name] for name in self.names])
        self.shares = shares / max(shares.sum(), 1e-9)
        self.scenes = scenes
        self.real_share = real_share if real else 0.0
        self.objects = objects
        self.size = size
        self.batch_size = batch_size
        self.level_weights = level_weights
        self.seed = tuple(seed)

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([*self.seed, worker.id if worker else 0])
        while True:
            yield self._batch(rng)

    def _draw(self, rng: Generator) -> Annotated:
        if rng.random() < self.real_share:
            items = self.real[self.names[rng.choice(len(self.names), p=self.shares)]]
            return random_view(rng, items[rng.integers(len(items))], self.size, (224, 800))
        index = rng.integers(len(self.scenes[0]))
        item = Annotated(self.scenes[0][index], self.scenes[1][index])
        side = item.image.shape[0]
        return random_view(rng, item, self.size, (max(self.size, 0.75 * side), 1.6 * side))

    def _batch(self, rng: Generator) -> Batch:
        images: list[NDArray[np.uint8]] = []
        labels: list[NDArray[np.int32]] = []
        objects: list[NDArray[np.float32]] = []
        while len(images) < self.batch_size:
            view = self._draw(rng)
            picked = pick_objects(rng, view.labels, self.objects, self.level_weights)
            if picked is not None:
                images.append(recolour(rng, view.image))
                labels.append(np.ascontiguousarray(view.labels, dtype=np.int32))
                objects.append(picked)
        table = torch.from_numpy(np.stack(objects))  # (I, K, 8)
        return Batch(
            images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2),
            labels=torch.from_numpy(np.stack(labels)),
            levels=table[..., 0].long(),
            ids=table[..., 1].long(),
            clicks=table[..., 2:4],
            boxes=table[..., 4:],
        )
