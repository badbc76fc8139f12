"""Reading image files: Pillow for photographs, tifffile for micrographs, numpy and zarr arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidImageError

if TYPE_CHECKING:
    from PIL.Image import Image

TIFF_SUFFIXES = (".tif", ".tiff")

# What Pillow's modes become, where numpy would not get what the picture shows. The others (L, RGB,
# RGBA, I, F, 16 bits, 1 bit) are taken as they are.
CONVERTED_MODES = {
    "LA": "L",
    "La": "L",
    "PA": "RGBA",
    "RGBa": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "LAB": "RGB",
    "HSV": "RGB",
    "RGBX": "RGB",
}

# How to undo each EXIF orientation: quarter turns counterclockwise after an optional mirroring
# left to right (Exif 2.3, tag 0x0112).
ORIENTATIONS = {
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 1),
    6: (False, 3),
    7: (True, 3),
    8: (False, 1),
}


def read_image(path: str | os.PathLike[str], *, page: int = 0) -> NDArray[Any]:
    """Read one image from a file.

    Parameters
    ----------
    path : path-like
        An image file of a kind that Pillow or tifffile reads, a ``.npy`` file, or a zarr folder.
    page : int
        Which page of a file with several.

    Returns
    -------
    ndarray
        (H, W) or (H, W, C), in the file's own type; EXIF orientation is applied. A zarr folder
        gives its lazy array.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InvalidImageError
        If the file is not an image, is damaged, or has no such page.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    if file.is_dir():
        return _read_zarr(file)
    if file.stat().st_size == 0:
        raise InvalidImageError(f"{file.name} is empty")
    if page < 0:
        raise InvalidImageError(f"pages are counted from 0, got {page}")
    if file.suffix.lower() == ".npy":
        return _read_numpy(file)
    if file.suffix.lower() in TIFF_SUFFIXES:
        return _read_tiff(file, page)
    return _read_pillow(file, page)


def count_pages(path: str | os.PathLike[str]) -> int:
    """Number of pages in an image file; 1 for files that have none.

    Raises
    ------
    FileNotFoundError, InvalidImageError
        See `read_image`.
    """
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"there is no file {os.fspath(path)}")
    if file.is_dir() or file.suffix.lower() == ".npy":
        return 1
    if file.suffix.lower() in TIFF_SUFFIXES:
        import tifffile

        try:
            with tifffile.TiffFile(file) as tiff:
                return len(tiff.pages)
        except (tifffile.TiffFileError, OSError, ValueError) as error:
            raise InvalidImageError(f"{file.name} cannot be read: {_line(error)}") from error
    with _open_pillow(file) as picture:
        return int(getattr(picture, "n_frames", 1))


def _read_zarr(folder: Path) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise InvalidImageError(
            f"{folder.name} is a folder; reading zarr needs: pip install 'sam-plugins[zarr]'"
        ) from error
    try:
        return zarr.open_array(str(folder), mode="r")
    except Exception as error:  # zarr raises its own kinds, which differ between its versions
        raise InvalidImageError(
            f"{folder.name} is a folder, but not a zarr array: {_line(error)}"
        ) from error


def _read_numpy(file: Path) -> NDArray[Any]:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InvalidImageError(f"{file.name} cannot be read: {_line(error)}") from error


def _read_tiff(file: Path, page: int) -> NDArray[Any]:
    import tifffile

    try:
        with tifffile.TiffFile(file) as tiff:
            _check_page(file, page, len(tiff.pages))
            chosen = tiff.pages[page]
            pixels = chosen.asarray()
            tag = chosen.tags.get("Orientation")  # type: ignore[union-attr]
            return _oriented(pixels, int(tag.value) if tag is not None else 1)
    except InvalidImageError:
        raise
    except Exception as error:
        # A compression that tifffile leaves to another package, or a damaged file: Pillow reads
        # some of the first, and says so of the second.
        try:
            return _read_pillow(file, page)
        except InvalidImageError:
            raise InvalidImageError(f"{file.name} cannot be read: {_line(error)}") from error


def _read_pillow(file: Path, page: int) -> NDArray[Any]:
    with _open_pillow(file) as picture:
        _check_page(file, page, int(getattr(picture, "n_frames", 1)))
        try:
            picture.seek(page)
            orientation = int(picture.getexif().get(0x0112, 1))
            mode = CONVERTED_MODES.get(picture.mode, picture.mode)
            if picture.mode == "P":
                mode = "RGBA" if "transparency" in picture.info else "RGB"
            pixels = np.asarray(picture if mode == picture.mode else picture.convert(mode))
        except (OSError, ValueError, SyntaxError, EOFError, IndexError) as error:
            raise InvalidImageError(f"{file.name} is damaged: {_line(error)}") from error
    return _oriented(pixels, orientation)


def _open_pillow(file: Path) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(file)
    except UnidentifiedImageError as error:
        raise InvalidImageError(f"{file.name} is not an image of a known kind") from error
    except Image.DecompressionBombError as error:
        raise InvalidImageError(
            f"{file.name} has too many pixels for this file format; save it as TIFF or zarr"
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InvalidImageError(f"{file.name} cannot be read: {_line(error)}") from error


def _check_page(file: Path, page: int, count: int) -> None:
    if page >= count:
        pages = f"{count} pages, 0 to {count - 1}" if count > 1 else "one page, 0"
        raise InvalidImageError(f"{file.name} has {pages}; page {page} is asked")


def _oriented(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    mirrored, turns = ORIENTATIONS.get(orientation, (False, 0))
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.rot90(pixels, turns) if turns else pixels


def _line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]
