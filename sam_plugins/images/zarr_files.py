"""Zarr folders: one array, or the finest level of an OME-Zarr image."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidImageError
from sam_plugins.images.layout import check_pixels, find_layout

# How zarr's two formats mark their folders.
_MARKS = ("zarr.json", ".zarray", ".zgroup")


class ZarrFile:
    """An open zarr array whose leading axes count pages.

    Parameters
    ----------
    path : Path
        Named in errors.
    array : zarr.Array
        The opened array.
    pages : tuple of int
        Axes that count pages; two or three axes are left for an image.
    """

    def __init__(self, path: Path, array: Any, pages: tuple[int, ...]) -> None:
        self._path = path
        self._array = array
        self._pages = pages

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[ZarrFile]:
        """Open a folder while the block lasts.

        Parameters
        ----------
        path : Path
            Folder of an array or of an OME-Zarr image.

        Yields
        ------
        ZarrFile
            With the finest level, if there are several.

        Raises
        ------
        InvalidImageError
            If the folder holds no image, or zarr is not installed.
        """
        if not any((path / mark).is_file() for mark in _MARKS):
            raise InvalidImageError(f"{path} is a folder, not an image")
        try:
            import zarr
        except ImportError as error:
            raise InvalidImageError(
                f"{path} is a zarr folder, which needs an extra: pip install 'sam-plugins[zarr]'"
            ) from error
        node = zarr.open(str(path), mode="r")
        if hasattr(node, "shape"):
            # Without names of axes: of more than three, the last three are one image.
            yield cls(path, node, tuple(range(max(0, len(node.shape) - 3))))
            return
        level, axes = _finest_level(path, dict(node.attrs))
        array = node[level]
        yield cls(path, array, tuple(i for i, name in enumerate(axes) if name not in "cyx"))

    def count_pages(self) -> int:
        """How many images there are."""
        return math.prod(self._array.shape[axis] for axis in self._pages)

    def read(self, page: int) -> NDArray[Any]:
        """Read one image.

        Parameters
        ----------
        page : int
            Counted from 0, the last of the pages' axes fastest.

        Returns
        -------
        ndarray of shape (H, W), (H, W, C) or (C, H, W)
            In the stored dtype.

        Raises
        ------
        InvalidImageError
            If the image has too many pixels.
        """
        shape = self._array.shape
        numbers = np.unravel_index(page, [shape[axis] for axis in self._pages] or [1])
        index: list[Any] = [slice(None)] * len(shape)
        for axis, number in zip(self._pages, numbers, strict=False):
            index[axis] = int(number)
        rest = [side for axis, side in enumerate(shape) if axis not in self._pages]
        check_pixels(self._path, find_layout(rest).size)
        return np.asarray(self._array[tuple(index)])


def _finest_level(path: Path, attributes: dict[str, Any]) -> tuple[str, list[str]]:
    """Path and names of the axes of the first level that OME-Zarr's metadata names."""
    attributes = attributes.get("ome", attributes)  # version 0.5 has a level of its own for them
    try:
        image = attributes["multiscales"][0]
        level = image["datasets"][0]["path"]
        # Names since version 0.3, with types since 0.4; five fixed axes before.
        axes = [
            axis if isinstance(axis, str) else axis["name"] for axis in image.get("axes", "tczyx")
        ]
    except (KeyError, IndexError, TypeError) as error:
        names = json.dumps(sorted(entry.name for entry in path.iterdir() if entry.is_dir())[:8])
        raise InvalidImageError(
            f"{path} is a zarr group without an OME-Zarr image: name one of its arrays, {names}"
        ) from error
    return str(level), axes
