"""Reading image files, each by the library that loses nothing of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidImageError
from sam_plugins.images.layout import check_pixels, find_layout

# A file is told by how it begins, because suffixes lie: TIFF and BigTIFF in both orders of bytes.
_TIFF_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NPY_BEGINNING = b"\x93NUMPY"


class _ImageFile(Protocol):
    """An open file with one image or several."""

    def count_pages(self) -> int:
        """How many images there are."""

    def read(self, page: int) -> NDArray[Any]:
        """One of them, of which (H, W) and, first or last, the channels are left."""


def read_image(path: str | os.PathLike[str], *, page: int = 0) -> NDArray[Any]:
    """Read an image from a file without losing bit depth.

    Parameters
    ----------
    path : path-like
        PNG, JPEG, GIF, BMP, WebP and whatever else Pillow reads; TIFF of all kinds, such as OME's
        and ImageJ's; an ``.npy`` file; a zarr folder, also OME-Zarr, of which the finest level is
        read (needs the extra ``[zarr]``).
    page : int
        Which image, counted from 0, of a file with several: pages of a TIFF, frames of a GIF, and
        time points and slices of stacks (the last one counts fastest). The channels of one image
        are no pages. Only what belongs to the page is read.

    Returns
    -------
    ndarray of shape (H, W), (H, W, C) or (C, H, W)
        In native byte order and in the file's own depth: bool for 1-bit images, else integers or
        floats. Palettes, CMYK and other colour spaces become RGB, alpha is dropped, and the
        orientation that EXIF or TIFF tells is applied.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    PermissionError
        If it must not be read.
    InvalidImageError
        If the file is no image, is damaged or truncated, is too large (1 073 741 824 pixels a page
        of TIFF, npy and zarr; 178 956 970 of all others), lacks the page, or needs a package that
        is not installed.
    """
    with _opened(Path(path)) as file:
        count = file.count_pages()
        if not 0 <= page < count:
            has = "one page" if count == 1 else f"{count} pages"
            raise InvalidImageError(f"{path} has {has}, counted from 0: there is no page {page}")
        pixels = file.read(page)
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def count_pages(path: str | os.PathLike[str]) -> int:
    """Count the images in a file without reading their pixels.

    Parameters
    ----------
    path : path-like
        See `read_image`.

    Returns
    -------
    int
        1 or more; ``page`` of `read_image` is less.

    Raises
    ------
    FileNotFoundError, PermissionError, InvalidImageError
        See `read_image`.
    """
    with _opened(Path(path)) as file:
        return file.count_pages()


@contextmanager
def _opened(path: Path) -> Iterator[_ImageFile]:
    """Open a file by what it holds, and say in one line what is wrong with it."""
    try:
        with _open(path) as file:
            yield file
    except (InvalidImageError, FileNotFoundError, PermissionError):
        raise
    # Decoders meet damaged files with errors of every kind: of struct, zlib, indices, memory.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidImageError(f"{path} cannot be read as an image: {reason}") from error


def _open(path: Path) -> Any:
    if path.is_dir():
        from sam_plugins.images.zarr_files import ZarrFile

        return ZarrFile.open(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    with path.open("rb") as stream:
        beginning = stream.read(8)
    if not beginning:
        raise InvalidImageError(f"{path} is empty")
    if beginning.startswith(_TIFF_BEGINNINGS):
        from sam_plugins.images.tiff_files import TiffImages

        return TiffImages.open(path)
    if beginning.startswith(_NPY_BEGINNING):
        return _NpyFile.open(path)
    from sam_plugins.images.pillow_files import PillowFile

    return PillowFile.open(path)


class _NpyFile:
    """An array that numpy saved, as one page."""

    def __init__(self, path: Path, array: NDArray[Any]) -> None:
        self._path = path
        self._array = array

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[_NpyFile]:
        # Mapped, so that a header that promises more than the file holds is noticed before memory
        # is taken. allow_pickle=False: reading an image must not execute what is in it.
        yield cls(path, np.load(path, mmap_mode="r", allow_pickle=False))

    def count_pages(self) -> int:
        return 1

    def read(self, page: int) -> NDArray[Any]:
        check_pixels(self._path, find_layout(self._array.shape).size)
        return np.array(self._array)
