"""Reading sets of images with true masks, and choosing objects to measure on.

A set is a folder with ``index.json``: a list with, for each image, its path (``image``), the path
of its instance map (``mask``; 0 is background) and, if there are any, further maps (``stuff``,
``masks_mito``) and a map of pixels that count neither way (``ignore``). A volume is a folder with
``volume.npz`` instead: ``image`` and ``labels``, z first, every slice an image.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Keys of further instance maps in an index.
FURTHER_MAPS = ("masks_mito", "stuff")

# Nested objects: in this set label 2 (a nucleus) lies inside the cell, which is all labels.
WHOLE_AND_PART = ("wbc_parts",)

# Smaller objects are not measured: fewer pixels than this when the image's long side is 512.
LEAST_AREA = 60
LONG_SIDE = 512

# Sets with more objects than the first are measured on about the second (paper, §D.1).
MANY, SOME = 15_000, 10_000


@dataclass(frozen=True, eq=False)
class Sample:
    """An image with the objects to measure on.

    Parameters
    ----------
    name : str
        Where the image comes from.
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    masks : list of ndarray of shape (H, W), bool
        True masks, at least one.
    ignore : ndarray of shape (H, W), bool
        Pixels that count neither way.
    """

    name: str
    image: NDArray[np.uint8]
    masks: list[NDArray[np.bool_]]
    ignore: NDArray[np.bool_]


def read_set(
    folder: str | os.PathLike[str], *, limit: int = 60, each: int | None = None, seed: int = 0
) -> Iterator[Sample]:
    """Read a set's images in a random order, each with some of its objects.

    Parameters
    ----------
    folder : path-like
        The set.
    limit : int
        Objects in all, at most; spread over as many images as can be.
    each : int, optional
        Objects an image, at most; by default such that images with as many objects make ``limit``.
    seed : int
        The same seed gives the same objects.

    Yields
    ------
    Sample

    Raises
    ------
    FileNotFoundError
        If the folder is not a set.
    """
    rng = np.random.default_rng(seed)
    root = Path(folder)
    names = _names(root)
    if each is None:
        each = max(1, round(limit / len(names))) if names else 1
    left = limit
    for index in rng.permutation(len(names)):
        if not left:
            return
        name, image, maps, ignore = _read(root, names[index])
        masks = _choose(rng, maps, ignore, min(each, left))
        if masks:
            left -= len(masks)
            yield Sample(name, image, masks, ignore)


def paper_limits(folder: str | os.PathLike[str]) -> tuple[int, int]:
    """How much of a set the paper measures: all, or some 10 000 of more than 15 000 objects.

    Parameters
    ----------
    folder : path-like
        The set.

    Returns
    -------
    limit, each : int
        To be those of `read_set` (paper, §D.1): objects in all, and an image. Where not all are
        measured, no image gives more than it must so that all give enough.

    Raises
    ------
    FileNotFoundError
        If the folder is not a set.
    """
    counts = np.array([len(x.masks) for x in read_set(folder, limit=10**9)], dtype=np.int64)
    most = int(counts.max(initial=1))
    if counts.sum() <= MANY:
        return max(1, int(counts.sum())), most
    # Rises with the bound, so that the first one that is enough is found by halving.
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        enough = np.minimum(counts, middle).sum() >= SOME
        low, high = (low, middle) if enough else (middle + 1, high)
    return SOME, low


def _names(root: Path) -> list[dict[str, object]]:
    if (root / "volume.npz").is_file():
        with np.load(root / "volume.npz") as volume:
            return [{"slice": index} for index in range(len(volume["labels"]))]
    if not (root / "index.json").is_file():
        raise FileNotFoundError(f"{root} is not a set: it has neither index.json nor volume.npz")
    entries = json.loads((root / "index.json").read_text(encoding="utf-8"))
    return [entry for entry in entries if "mask" in entry]


def _read(
    root: Path, entry: dict[str, object]
) -> tuple[str, NDArray[np.uint8], list[NDArray[np.integer]], NDArray[np.bool_]]:
    if "slice" in entry:
        index = int(str(entry["slice"]))
        with np.load(root / "volume.npz") as volume:
            gray, labels = volume["image"][index], volume["labels"][index]
        image = np.repeat(gray[..., None], 3, axis=2).astype(np.uint8)
        return f"slice {index}", image, [labels], np.zeros(labels.shape, dtype=bool)
    name = str(entry["image"])
    image = np.asarray(Image.open(root / name).convert("RGB"))
    keys = ["mask", *(key for key in FURTHER_MAPS if entry.get(key))]
    maps = [np.asarray(Image.open(root / str(entry[key]))).astype(np.int32) for key in keys]
    if root.name in WHOLE_AND_PART:
        maps = [(maps[0] > 0).astype(np.int32), (maps[0] == 2).astype(np.int32)]
    if not entry.get("ignore"):
        return name, image, list(maps), np.zeros(maps[0].shape, dtype=bool)
    ignored = np.asarray(Image.open(root / str(entry["ignore"])))
    return name, image, list(maps), ignored > 0


def _choose(
    rng: np.random.Generator,
    maps: list[NDArray[np.integer]],
    ignore: NDArray[np.bool_],
    count: int,
) -> list[NDArray[np.bool_]]:
    """Choose objects that are large enough, and not all to be ignored: at most ``count`` masks."""
    least = LEAST_AREA * (max(maps[0].shape) / LONG_SIDE) ** 2
    candidates = []
    for level, labels in enumerate(maps):
        ids, areas = np.unique(labels[labels > 0], return_counts=True)
        seen = np.isin(ids, labels[~ignore])
        candidates += [(level, label) for label in ids[(areas >= least) & seen]]
    chosen = rng.permutation(len(candidates))[:count]
    return [maps[candidates[i][0]] == candidates[i][1] for i in chosen]
