"""A supply of procedural scenes on disk, so that training does not wait for the generator."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_plugins.datasets.procedural import scene
from sam_plugins.files import atomic_path


def reserve(path: Path) -> None:
    """Take the room of a file on the disk, so that it cannot be missing later.

    Parameters
    ----------
    path : Path
        A file of its full size, with holes.

    Raises
    ------
    OSError
        If there is no room. Names the file.

    Notes
    -----
    Writing into a hole of a mapped file on a full disk ends the process without a word.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS and Windows
        return
    try:
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def make_scenes(
    folder: str | os.PathLike[str], *, count: int, size: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make scenes, or open those that were made before with the same arguments.

    Parameters
    ----------
    folder : path-like
        Where they are kept.
    count : int
        Number of scenes; number i depends on ``seed`` and i alone.
    size : int
        Side of a scene, in pixels.
    seed : int
        Of the generator.

    Returns
    -------
    images : ndarray of shape (count, size, size, 3), uint8
        Read-only view of the file.
    labels : ndarray of shape (count, 3, size, size), uint8
        Groups, objects and parts.

    Raises
    ------
    OSError
        If the disk has no room for them.
    """
    stem = f"scenes-{seed}-{size}-{count}"
    paths = [Path(folder) / f"{stem}-{name}.npy" for name in ("images", "labels")]
    if not all(path.exists() for path in paths):
        with atomic_path(paths[0]) as images_path, atomic_path(paths[1]) as labels_path:
            images = np.lib.format.open_memmap(
                images_path, "w+", dtype=np.uint8, shape=(count, size, size, 3)
            )
            labels = np.lib.format.open_memmap(
                labels_path, "w+", dtype=np.uint8, shape=(count, 3, size, size)
            )
            reserve(images_path)
            reserve(labels_path)
            for index in range(count):
                made = scene(np.random.default_rng([seed, index]), size)
                images[index], labels[index] = made.image, made.labels
            images.flush()
            labels.flush()
    opened = [np.load(path, mmap_mode="r") for path in paths]
    return opened[0], opened[1]
