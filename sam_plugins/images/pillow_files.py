"""Image files that Pillow reads: PNG, JPEG, GIF, BMP, WebP and many more."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sam_plugins.errors import InvalidImageError

# Formats whose frames are images of their own. Not MPO: the further frames of a photograph are
# previews, depth maps or what a second lens saw.
_FORMATS_WITH_PAGES = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")

# Modes that numpy takes as they are, and modes that only lose alpha by becoming another one.
# Everything else (palettes, CMYK, YCbCr, LAB, HSV) becomes RGB.
_PLAIN_MODES = ("1", "L", "RGB", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
_GRAY_WITH_ALPHA = ("LA", "La")

# Raw modes of 16-bit PNG files with colour, of which Pillow would keep the upper 8 bits, and the
# ones that read the lower 8 bits instead: of values with the lower byte first, the other byte is
# the upper one.
_LOWER_BYTES = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
_GRAY_WITH_ALPHA_16 = "LA;16B"

# "Orientation" in TIFF 6.0, section 8, and in EXIF.
_ORIENTATION_TAG = 0x0112


class PillowFile:
    """An image file that Pillow has opened, but not yet decoded.

    Parameters
    ----------
    path : Path
        Named in errors, and read anew for 16-bit PNG.
    image : PIL.Image.Image
        The opened file.
    """

    def __init__(self, path: Path, image: Image.Image) -> None:
        self._path = path
        self._image = image

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[PillowFile]:
        """Open a file while the block lasts.

        Parameters
        ----------
        path : Path
            The file.

        Yields
        ------
        PillowFile
            Closed at the end of the block.

        Raises
        ------
        InvalidImageError
            If the file is not an image, of an unknown format, or has more pixels than Pillow
            decodes.
        """
        try:
            image = _open_quietly(path)
        except UnidentifiedImageError as error:
            raise InvalidImageError(f"{path} is not an image, or of an unknown format") from error
        except Image.DecompressionBombError as error:
            raise InvalidImageError(
                f"{path} has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels: give a part of "
                "it, or save it as TIFF"
            ) from error
        with image:
            yield cls(path, image)

    def count_pages(self) -> int:
        """How many frames there are."""
        if self._image.format not in _FORMATS_WITH_PAGES:
            return 1
        return int(getattr(self._image, "n_frames", 1))

    def read(self, page: int) -> NDArray[Any]:
        """Decode one frame.

        Parameters
        ----------
        page : int
            Counted from 0.

        Returns
        -------
        ndarray of shape (H, W) or (H, W, 3)
            Turned upright as its orientation tag says; dtype as in `pixels_of`.
        """
        if page:
            self._image.seek(page)
        elif self._image.format == "PNG":
            wide = _read_wide_png(self._path, self._image)
            if wide is not None:
                return upright(wide, _orientation(self._image))
        pixels = pixels_of(self._image)
        # Only now: Pillow turns TIFF files itself while it decodes them, and then says so.
        return upright(pixels, _orientation(self._image))


def _open_quietly(path: Path) -> Image.Image:
    with warnings.catch_warnings():
        # Warned of from 89 million pixels on, which cameras and microscopes reach; twice as many
        # are an error.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except (SyntaxError, struct.error, TypeError, ValueError):
        return 1  # The pixels are intact even if what is said about them is not.


def pixels_of(image: Image.Image) -> NDArray[Any]:
    """Give a PIL image's values without losing bit depth.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode. Alpha is dropped.

    Returns
    -------
    ndarray of shape (H, W), bool, integer or float, or (H, W, 3), uint8
        In the machine's byte order.

    Examples
    --------
    >>> pixels_of(Image.new("CMYK", (3, 2), (255, 0, 0, 0)))[0, 0].tolist()
    [0, 255, 255]
    """
    if image.mode in _GRAY_WITH_ALPHA:
        image = image.convert("LA").convert("L")
    elif image.mode == "RGBa":
        image = image.convert("RGBA").convert("RGB")
    elif image.mode not in _PLAIN_MODES:
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _read_wide_png(path: Path, image: Any) -> NDArray[np.uint16] | None:
    """A PNG with 16 bits and several channels as (H, W) or (H, W, 3), else None.

    Pillow has no mode for such images. It is made to decode the file twice, once for the upper and
    once for the lower byte of each value.
    """
    raw_mode = image.tile[0][3] if image.tile else None
    if raw_mode == _GRAY_WITH_ALPHA_16:
        # Two values of two bytes are taken for four channels of one.
        both = _decode_png(path, "RGBA", "RGBA")
        return _join(both[..., 0], both[..., 1])
    if raw_mode not in _LOWER_BYTES:
        return None
    lower = _decode_png(path, image.mode, _LOWER_BYTES[raw_mode])
    return _join(np.asarray(image)[..., :3], lower[..., :3])


def _decode_png(path: Path, mode: str, raw_mode: str) -> NDArray[np.uint8]:
    image: Any
    with _open_quietly(path) as image:
        (decoder, extents, offset, _), *_ = image.tile
        image.tile = [(decoder, extents, offset, raw_mode)]
        image._mode = mode
        return np.asarray(image)


def _join(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    joined = upper.astype(np.uint16)
    joined <<= 8
    joined |= lower
    return joined


def upright(pixels: NDArray[Any], orientation: int, *, row_axis: int = 0) -> NDArray[Any]:
    """Turn an image as its orientation tag says.

    Parameters
    ----------
    pixels : ndarray of shape (H, W), (H, W, C) or (C, H, W)
        The stored image.
    orientation : int
        What the stored first row and first column are: 1 top and left, 2 top and right, 3 bottom
        and right, 4 bottom and left; 5 to 8 likewise with rows and columns exchanged (left and top,
        right and top, right and bottom, left and bottom). Other values are taken for 1.
    row_axis : int
        Axis of the rows; the columns' is the next.

    Returns
    -------
    ndarray
        A view.

    Examples
    --------
    >>> upright(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    >>> upright(np.array([[1, 2, 3]]), 3).tolist()
    [[3, 2, 1]]
    """
    column_axis = row_axis + 1
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(row_axis, column_axis)
    # After the exchange: 6 and 7 have their first row at the right, 7 and 8 their first column at
    # the bottom.
    if orientation in (2, 3, 6, 7):
        pixels = np.flip(pixels, column_axis)
    if orientation in (3, 4, 7, 8):
        pixels = np.flip(pixels, row_axis)
    return pixels
