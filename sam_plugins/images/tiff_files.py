"""TIFF files: pages, stacks and channels as tifffile tells them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidImageError
from sam_plugins.images.layout import check_pixels
from sam_plugins.images.pillow_files import PillowFile, upright

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

# TIFF 6.0: PhotometricInterpretation (sections 4, 5, 16) and ExtraSamples (section 18).
_WHITE_IS_ZERO = 0
_PALETTE = 3
_SEPARATED = 5
_ALPHA = (1, 2)
_ORIENTATION_TAG = 274

# Letters that tifffile names axes by: what belongs to one image. All others count pages.
_IMAGE_AXES = "CSYX"


@dataclass(frozen=True)
class _Page:
    """One image of a series of TIFF planes.

    Parameters
    ----------
    series : TiffPageSeries
        To which it belongs.
    axes : str
        A letter for each axis of the series.
    index : tuple
        A number for each axis that counts pages, everything for the others.
    """

    series: TiffPageSeries
    axes: str
    index: tuple[int | slice, ...]

    @property
    def left(self) -> str:
        """Letters of the axes that are left."""
        return "".join(
            letter
            for letter, part in zip(self.axes, self.index, strict=True)
            if part == slice(None)
        )

    @cached_property
    def outer(self) -> int:
        """How many leading axes go from plane to plane; the others lie within each plane."""
        shape = self.series.get_shape(squeeze=False)
        inner = math.prod(self.series.keyframe.shape)
        return next((n for n in range(len(shape)) if math.prod(shape[n:]) == inner), len(shape))

    @cached_property
    def planes(self) -> NDArray[np.int64] | None:
        """Numbers of the planes it is made of, or None if they cannot be told."""
        shape = self.series.get_shape(squeeze=False)[: self.outer]
        if len(self.series) != math.prod(shape):
            return None
        return np.asarray(np.arange(math.prod(shape)).reshape(shape)[self.index[: self.outer]])


class TiffImages:
    """The images of an open TIFF file.

    Parameters
    ----------
    path : Path
        Named in errors.
    tiff : tifffile.TiffFile
        The opened file.
    """

    def __init__(self, path: Path, tiff: TiffFile) -> None:
        self._path = path
        self._tiff = tiff
        self._pages = [page for series in _series_in_order(tiff) for page in _pages_of(series)]

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[TiffImages]:
        """Open a file while the block lasts.

        Parameters
        ----------
        path : Path
            The file.

        Yields
        ------
        TiffImages
            Closed at the end of the block.
        """
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            yield cls(path, tiff)

    def count_pages(self) -> int:
        """How many images there are."""
        return len(self._pages)

    def read(self, page: int) -> NDArray[Any]:
        """Decode one image.

        Parameters
        ----------
        page : int
            Counted from 0, over all series.

        Returns
        -------
        ndarray of shape (H, W), (H, W, C) or (C, H, W)
            Turned upright, in the stored dtype; palettes and inverted gray are resolved, alpha is
            dropped.

        Raises
        ------
        InvalidImageError
            If the image has too many pixels, or a compression that needs another package.
        """
        chosen = self._pages[page]
        keyframe = chosen.series.keyframe
        check_pixels(self._path, (keyframe.imagelength, keyframe.imagewidth))
        try:
            pixels = _read(self._tiff, chosen, self._path)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return self._read_by_pillow(chosen, error)
        pixels, axes = _without_single_channels(pixels, chosen.left)
        if keyframe.photometric == _WHITE_IS_ZERO and not _is_bool_array(keyframe):
            pixels = _inverted(pixels, keyframe.bitspersample)
        # ImageJ's palettes only say how to show measured values.
        palette = None if keyframe.is_imagej else keyframe.colormap
        if keyframe.photometric == _PALETTE and palette is not None and "S" not in axes:
            pixels, axes = _coloured(pixels, palette), axes + "S"
        if "S" in axes:
            pixels = _without_alpha(pixels, axes.index("S"), keyframe)
            pixels, axes = _without_single_channels(pixels, axes)
        channel = axes.replace("Y", "").replace("X", "")
        wanted = channel + "YX" if axes.startswith(channel) else "YX" + channel
        pixels = pixels.transpose([axes.index(letter) for letter in wanted])
        orientation = int(keyframe.tags.valueof(_ORIENTATION_TAG, 1))
        return upright(pixels, orientation, row_axis=wanted.index("Y"))

    def _read_by_pillow(self, page: _Page, error: ValueError) -> NDArray[Any]:
        """Read what is compressed in a way that tifffile leaves to another package."""
        series = page.series
        planes = [] if page.planes is None else [series[n] for n in page.planes.ravel().tolist()]
        if planes and series.transform is None and not series.is_multifile:
            with PillowFile.open(self._path) as file:
                # Pillow turns each plane upright, colours and inverts it itself.
                read = [file.read(plane.index) for plane in planes if plane is not None]
            shapes = {pixels.shape for pixels in read}
            whole = len(read) == 1 or (len(read) == len(planes) and len(shapes.pop()) == 2)
            # Pillow has no modes for 16-bit colour and gives the upper 8 bits.
            if whole and read[0].dtype.itemsize >= series.dtype.itemsize:
                return read[0] if len(read) == 1 else np.stack(read)
        raise InvalidImageError(
            f"{self._path} is compressed in a way ({series.keyframe.compression.name}) that needs "
            "a package: pip install imagecodecs"
        ) from error


def _series_in_order(tiff: TiffFile) -> list[TiffPageSeries]:
    """The file's series; pages that nothing binds together as series of their own, in order."""
    import tifffile

    if not all(series.kind == "generic" for series in tiff.series):
        return list(tiff.series)
    return [
        tifffile.TiffPageSeries([page], page.shape, page.dtype, page.axes)
        for page in tiff.pages
        # Previews (1) and masks (4) of other pages are no images of their own.
        if page.index == 0 or not page.subfiletype & 5
    ]


def _pages_of(series: TiffPageSeries) -> Iterator[_Page]:
    shape, axes = series.get_shape(squeeze=False), series.get_axes(squeeze=False)
    if "Y" not in axes or "X" not in axes:
        # Named by the writer in a way of its own: the last two are rows and columns.
        axes = "Q" * (len(axes) - 2) + "YX"
    counted = [letter not in _IMAGE_AXES for letter in axes]
    if "C" in axes and "S" in axes and shape[axes.index("S")] > 1:
        counted[axes.index("C")] = True  # each channel is a coloured image
    for numbers in np.ndindex(*(side for side, by in zip(shape, counted, strict=True) if by)):
        rest = iter(numbers)
        yield _Page(series, axes, tuple(next(rest) if by else slice(None) for by in counted))


def _read(tiff: TiffFile, page: _Page, path: Path) -> NDArray[Any]:
    """The values of one page, and of no other one if that is possible."""
    series = page.series
    shape = series.get_shape(squeeze=False)
    plain = series.transform is None
    if plain and series.dataoffset is not None and series.keyframe.is_memmappable:
        mapped = tiff.filehandle.memmap_array(
            tiff.byteorder + series.dtype.char, shape, series.dataoffset
        )
        return np.array(mapped[page.index])
    if not plain or page.planes is None:
        return series.asarray(squeeze=False).reshape(shape)[page.index]
    decoded = [_decode(series[number], path) for number in page.planes.ravel().tolist()]
    stacked = np.stack(decoded).reshape(*page.planes.shape, *shape[page.outer :])
    return stacked[(*[slice(None)] * page.planes.ndim, *page.index[page.outer :])]


def _decode(plane: Any, path: Path) -> NDArray[Any]:
    if plane is None:
        raise InvalidImageError(f"{path} lacks a plane of this image")
    size = plane.parent.filehandle.size
    ends = [
        offset + count
        for offset, count in zip(plane.dataoffsets, plane.databytecounts, strict=False)
    ]
    if ends and max(ends) > size:
        # Otherwise what is missing would be read as zeros.
        raise InvalidImageError(f"{path} is truncated: it has {size} of {max(ends)} bytes")
    return plane.asarray()


def _without_single_channels(pixels: NDArray[Any], axes: str) -> tuple[NDArray[Any], str]:
    for letter in "SC":
        if letter in axes and pixels.shape[axes.index(letter)] == 1:
            pixels = pixels.squeeze(axes.index(letter))
            axes = axes.replace(letter, "")
    return pixels, axes


def _is_bool_array(keyframe: TiffPage) -> bool:
    """Whether tifffile wrote a bool array, which it marks as white where it is False."""
    return keyframe.dtype == bool and (keyframe.is_shaped or "tifffile" in keyframe.software)


def _inverted(pixels: NDArray[Any], bits: int) -> NDArray[Any]:
    if pixels.dtype == bool:
        return ~pixels
    return pixels.dtype.type(2**bits - 1) - pixels if pixels.dtype.kind == "u" else pixels


def _coloured(indices: NDArray[Any], palette: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """(H, W) indices to (H, W, 3) by a palette of shape (3, N), 16 bits."""
    return (palette >> 8).astype(np.uint8).T[indices]


def _without_alpha(pixels: NDArray[Any], axis: int, keyframe: TiffPage) -> NDArray[Any]:
    """Drop alpha, and turn CMYK into RGB."""
    count = pixels.shape[axis]
    extra = tuple(keyframe.extrasamples)
    alpha = {count - len(extra) + index for index, kind in enumerate(extra) if kind in _ALPHA}
    if alpha:
        pixels = pixels.take([index for index in range(count) if index not in alpha], axis)
    if keyframe.photometric == _SEPARATED and pixels.dtype.kind == "u" and pixels.shape[axis] == 4:
        top = float(np.iinfo(pixels.dtype).max)
        ink = np.moveaxis(pixels, axis, -1) / np.float32(top)  # (H, W, 4)
        light = (1 - ink[..., :3]) * (1 - ink[..., 3:])  # (H, W, 3)
        pixels = np.moveaxis((light * top + 0.5).astype(pixels.dtype), -1, axis)
    return pixels
