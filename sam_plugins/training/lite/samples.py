"""Training samples: views of real images and procedural scenes, with objects to click."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.utils.data import Dataset

from sam_plugins.training.lite.collages import collage
from sam_plugins.training.lite.recipe import Part
from sam_plugins.training.lite.views import Annotated, random_view, recolour

# Objects below and above this share of attention are not clicked.
LEAST_AREA = 24  # pixels
MOST_AREA = 0.9  # of the crop (paper, §A)

# So many crops without any object to click are a mistake in the data.
MOST_DRAWS = 1000

# The data set that collages are cut from.
PHOTOGRAPHS = "coco_panoptic"


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
            pools.append((level, fit, np.sqrt(areas[fit]), level_weights[level]))
    if not pools:
        return None
    weights = np.array([weight for *_, weight in pools])
    chosen = []
    for pool in rng.choice(len(pools), size=count, p=weights / weights.sum()):
        level, fit, sides, _ = pools[pool]
        # One in two is drawn by size: among many small objects a large one would never be clicked.
        by_size = rng.random() < 0.5
        label = rng.choice(fit, p=sides / sides.sum() if by_size else None)
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


class Crops(Dataset[Batch]):
    """Batches of crops by their number: number n depends on the part's seed and n alone.

    Parameters
    ----------
    real : dict of str to list of Annotated
        Real images by data set.
    scenes : tuple of ndarray
        Images (N, S, S, 3) and labels (N, 3, S, S), uint8, from `make_scenes`.
    part : Part
        What is drawn, how often and how large.
    process, processes : int
        Of a batch, each of several processes gets its share of the crops.
    """

    def __init__(
        self,
        real: Mapping[str, list[Annotated]],
        scenes: tuple[NDArray[np.uint8], NDArray[np.uint8]],
        part: Part,
        *,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.real = real
        self.names = sorted(real)
        shares = np.array([part.real_weights[name] for name in self.names])
        self.shares = shares / max(shares.sum(), 1e-9)
        self.scenes = scenes
        self.part = part
        self.real_share = part.real_share if real else 0.0
        self.photos = real.get(PHOTOGRAPHS, [])
        self.process, self.processes = process, processes

    def __getitem__(self, number: int) -> Batch:
        # Three numbers, where the scenes are made from two: no batch repeats a scene's draws.
        rng = np.random.default_rng([self.part.seed, 1, number])
        batch = self._batch(rng)
        first, last = (
            each * self.part.batch // self.processes for each in (self.process, self.process + 1)
        )
        return batch.part(slice(first, last))

    def _draw(self, rng: Generator) -> Annotated:
        if self.photos and rng.random() < self.part.collage_share:
            return collage(rng, self.photos, self.part.size)
        if rng.random() < self.real_share:
            items = self.real[self.names[rng.choice(len(self.names), p=self.shares)]]
            return random_view(rng, items[rng.integers(len(items))], self.part.size, (224, 800))
        index = rng.integers(len(self.scenes[0]))
        item = Annotated(self.scenes[0][index], self.scenes[1][index])
        side = item.image.shape[0]
        # Small crops show a part of a scene; crops larger than a scene show it enlarged.
        least = max(0.75 * side, min(self.part.size, 1.6 * side))
        return random_view(
            rng, item, self.part.size, (least, max(1.6 * side, 1.25 * self.part.size))
        )

    def _batch(self, rng: Generator) -> Batch:
        images: list[NDArray[np.uint8]] = []
        labels: list[NDArray[np.int32]] = []
        objects: list[NDArray[np.float32]] = []
        drawn = 0
        while len(images) < self.part.batch:
            if drawn == MOST_DRAWS and not images:
                raise ValueError(
                    f"none of {drawn} crops has an object that is neither too small "
                    f"(under {LEAST_AREA} pixels) nor too large (over {MOST_AREA:.0%})"
                )
            drawn += 1
            view = self._draw(rng)
            picked = pick_objects(rng, view.labels, self.part.objects, self.part.level_weights)
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
