"""``Planes``: any image as planes of (H, W), in memory or read piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_plugins.errors import InvalidImageError
from sam_plugins.images.layout import Layout, find_layout, seen_channels
from sam_plugins.images.normalization import Normalization

# Bytes that a pass over an image handles at once: small enough for the processor's cache if the
# image is in memory, large enough that reading is not dominated by the number of reads if not.
_BLOCK_BYTES = 2**19
_LAZY_BLOCK_BYTES = 2**26

# An image that is not in memory is read at once up to this size, which is of the order of its
# colours', and in bands of rows, once for the limits and once for the values, beyond it.
MAX_LOADED_BYTES = 2**29

# Side of the pieces of an image that is not in memory and does not tell its chunks.
_DEFAULT_CHUNK = 512


def image_size(image: Any, *, channel_axis: int | None = None) -> tuple[int, int]:
    """Tell an image's height and width without reading its pixels.

    Parameters
    ----------
    image : array-like
        See `sam_plugins.images.to_rgb`.
    channel_axis : int, optional
        The channels' axis, if it cannot be told from the shape.

    Returns
    -------
    tuple of int
        (H, W), in pixels.

    Raises
    ------
    InvalidImageError
        If the shape is not an image's.

    Examples
    --------
    >>> image_size(np.zeros((3, 480, 640)))
    (480, 640)
    """
    return find_layout(_as_array(image).shape, channel_axis=channel_axis).size


@dataclass(frozen=True, eq=False)
class Planes:
    """The channels of an image that are seen, as planes of (H, W).

    Parameters
    ----------
    array : array
        The whole image: an ndarray, or an array that reads when it is indexed.
    layout : Layout
        Which axis is what.
    channels : tuple of int
        What is seen: one channel as gray, or two or three as red, green and blue.
    held : tuple of int, optional
        The channels that the array still has, if not all of the image's.
    """

    array: Any
    layout: Layout
    channels: tuple[int, ...]
    held: tuple[int, ...] | None = None

    @classmethod
    def loaded(
        cls,
        image: Any,
        *,
        normalization: Normalization | None = None,
        channel_axis: int | None = None,
    ) -> Planes:
        """Read what is seen of an image, so that its key and its colours need not read it twice.

        Parameters
        ----------
        image : array-like
            See `sam_plugins.images.to_rgb`.
        normalization : Normalization, optional
            Only the channels that it chooses are read.
        channel_axis : int, optional
            The channels' axis, if it cannot be told from the shape.

        Returns
        -------
        Planes
            `to_rgb` and `content_key` take it in place of the image. An image that is larger than
            512 MB and not in memory stays unread.

        Raises
        ------
        InvalidImageError
            If it is no image, or needs a choice.
        """
        chosen = None if normalization is None else normalization.chosen
        planes = cls.of(image, chosen=chosen, channel_axis=channel_axis)
        return planes.load() if planes.nbytes <= MAX_LOADED_BYTES else planes

    @classmethod
    def of(cls, image: Any, *, chosen: tuple[int, ...] | None, channel_axis: int | None) -> Planes:
        """Check an image's shape and dtype, without reading it.

        Parameters
        ----------
        image : array-like
            See `sam_plugins.images.to_rgb`.
        chosen : tuple of int or None
            The chosen channels.
        channel_axis : int or None
            The channels' axis, if it is known.

        Returns
        -------
        Planes
            The image itself if it is one already.

        Raises
        ------
        InvalidImageError
            If it is no image, or needs a choice.
        """
        if isinstance(image, Planes):
            return image
        array = _as_array(image)
        if array.dtype.kind not in "buif":
            raise InvalidImageError(
                f"an image of {array.dtype} cannot be segmented: give bool, integers or floats"
            )
        layout = find_layout(array.shape, channel_axis=channel_axis)
        return cls(array, layout, seen_channels(layout, chosen))

    @property
    def size(self) -> tuple[int, int]:
        """(H, W), in pixels."""
        return self.layout.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values, with the order of bytes that the array has."""
        return self.array.dtype

    @property
    def distinct(self) -> list[int]:
        """The channels that are read, each once, in ascending order."""
        return sorted(set(self.channels))

    @property
    def in_memory(self) -> bool:
        """Whether pixels can be had at no cost."""
        return isinstance(self.array, np.ndarray)

    @property
    def nbytes(self) -> int:
        """Bytes of the channels that are read."""
        return self.size[0] * self.size[1] * len(self.distinct) * self.dtype.itemsize

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Read a rectangle of the distinct channels.

        Parameters
        ----------
        rows, columns : slice
            With both ends given.

        Returns
        -------
        ndarray of shape (C, h, w)
            A view of the image if that is in memory and the channels follow on each other.
        """
        index: list[Any] = [rows, columns]
        axis = self.layout.channel_axis
        if axis is not None:
            held = self.held or range(self.layout.count)
            index.insert(axis, _run([held.index(channel) for channel in self.distinct]))
        dropped = self.layout.dropped
        block = _pick(self.array, (*[slice(0, 1)] * dropped, *index))[(0,) * dropped]
        return block[None] if axis is None else np.moveaxis(block, axis, 0)  # (C, h, w)

    def load(self) -> Planes:
        """Bring the distinct channels into memory by one reading, if they are not there."""
        if self.in_memory:
            return self
        block = self.read(slice(0, self.size[0]), slice(0, self.size[1]))
        axis = self.layout.channel_axis
        array = block[0] if axis is None else np.moveaxis(block, 0, axis)
        layout = Layout(self.size, 0, axis, self.layout.count)
        return Planes(array, layout, self.channels, tuple(self.distinct))

    def blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Go through the image in bands of whole rows.

        Yields
        ------
        rows : slice
            Which rows.
        block : ndarray of shape (C, h, W)
            Their values in the distinct channels.
        """
        height, width = self.size
        row_bytes = max(1, self.nbytes // height)
        if self.in_memory:
            edges = [*range(0, height, max(1, _BLOCK_BYTES // row_bytes)), height]
        else:
            edges = self.chunk_edges(at_least=max(1, _LAZY_BLOCK_BYTES // row_bytes))[0]
        for start, stop in pairwise(edges):
            rows = slice(start, stop)
            yield rows, self.read(rows, slice(0, width))

    def chunk_edges(self, *, at_least: int) -> tuple[list[int], list[int]]:
        """Tell where to cut rows and columns so that no chunk is read twice.

        Parameters
        ----------
        at_least : int
            Pixels that a piece should have along each axis; smaller chunks are put together.

        Returns
        -------
        tuple of list of int
            Edges of rows and of columns, from 0 to H and to W.
        """
        axes = list(range(self.layout.dropped, len(self.array.shape)))
        if self.layout.channel_axis is not None:
            axes.pop(self.layout.channel_axis)
        rows, columns = (_edges(self.array, axis, at_least) for axis in axes)
        return rows, columns


def _as_array(image: Any) -> Any:
    """An ndarray, or the image itself if it is an array that reads when it is indexed."""
    if isinstance(image, np.ndarray):
        return np.asarray(image)  # without subclasses, some of which index in their own ways
    if isinstance(image, Image.Image):
        from sam_plugins.images.pillow_files import pixels_of

        return pixels_of(image)
    indexable = hasattr(image, "shape") and hasattr(image, "__getitem__")
    if indexable and isinstance(getattr(image, "dtype", None), np.dtype):
        return image
    try:
        return np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidImageError(f"an image must be an array, got {type(image).__name__}") from error


def _run(indices: Sequence[int]) -> slice | list[int]:
    """A slice if the indices follow on each other: reading one is cheaper everywhere."""
    if indices[-1] - indices[0] + 1 == len(indices):
        return slice(indices[0], indices[-1] + 1)
    return list(indices)


def _pick(array: Any, index: tuple[Any, ...]) -> NDArray[Any]:
    # zarr's own way to index one axis by a list, in all its versions.
    listed = any(isinstance(part, list) for part in index)
    source = array.oindex if listed and hasattr(array, "oindex") else array
    return np.asarray(source[index])


def _edges(array: Any, axis: int, at_least: int) -> list[int]:
    side = int(array.shape[axis])
    chunks = getattr(array, "chunks", None)
    steps = chunks[axis] if chunks is not None and len(chunks) == len(array.shape) else None
    if steps is None or isinstance(steps, int | np.integer):
        step = int(steps or _DEFAULT_CHUNK)
        ends = [*range(step, side, step), side]
    else:
        ends = np.cumsum(steps).tolist()
    edges = [0]
    for end in ends:
        if end - edges[-1] >= at_least or end == side:
            edges.append(end)
    return edges
