"""``content_key``: whether two images are the same one, without keeping either."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.images.normalization import Normalization
from sam_plugins.images.planes import Planes

# Every byte counts up to these sizes. SHA-256 takes about 0.6 s for a gigabyte on a processor that
# has instructions for it, less than the conversion to RGB; reading an array that is not in memory
# may take much longer.
MAX_HASHED_BYTES = 2**30
MAX_HASHED_LAZY_BYTES = 2**26

# Of larger images, this many blocks count, each of about this side or one chunk if that is larger.
SAMPLED_BLOCKS = 32
_SAMPLED_SIDE = 512


def content_key(
    image: Any, *, normalization: Normalization | None = None, channel_axis: int | None = None
) -> str:
    """Identify an image by what a model sees of it.

    Parameters
    ----------
    image : array-like
        See `sam_plugins.images.to_rgb`.
    normalization : Normalization, optional
        Only the channels that it chooses count; its other settings have a key of their own.
    channel_axis : int, optional
        The channels' axis, if it cannot be told from the shape.

    Returns
    -------
    str
        64 hexadecimal digits: SHA-256 over shape, axes, dtype, chosen channels and values.

    Raises
    ------
    InvalidImageError
        If it is no image, or channels must be chosen.

    Notes
    -----
    How an array lies in memory does not matter, nor its order of bytes: a view and its contiguous
    copy have one key. Every value counts in arrays in memory up to 1 GiB and in others up to
    64 MiB. Of larger ones, 32 blocks count that are spread over the image, each of 512 x 512
    pixels or one chunk if that is larger: two images that differ only elsewhere have one key.

    Examples
    --------
    >>> image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    >>> content_key(image) == content_key(np.asfortranarray(image))
    True
    >>> content_key(image) == content_key(image + 1)
    False
    """
    settings = normalization or Normalization()
    planes = Planes.of(image, chosen=settings.chosen, channel_axis=channel_axis)
    dtype = planes.dtype.newbyteorder("<")
    layout = planes.layout
    digest = hashlib.sha256(
        f"{layout.size} {layout.channel_axis} {planes.channels} {dtype.str}".encode()
    )
    whole = planes.nbytes <= (MAX_HASHED_BYTES if planes.in_memory else MAX_HASHED_LAZY_BYTES)
    if whole and not planes.in_memory:
        planes = planes.load()
    for block in _bands(planes) if whole else _samples(planes):
        digest.update(np.ascontiguousarray(block, dtype=dtype).data)
    return digest.hexdigest()


def _bands(planes: Planes) -> Iterator[NDArray[Any]]:
    """Bands of rows, the channels where they lie, so that most arrays need not be copied."""
    for _, block in planes.blocks():
        if planes.layout.channel_axis == 2:
            yield np.moveaxis(block, 0, -1)  # (h, W, C)
        else:
            yield from block  # (h, W) each


def _samples(planes: Planes) -> Iterator[NDArray[Any]]:
    """Blocks of a large image, spread over it, none read twice."""
    rows, columns = planes.chunk_edges(at_least=_SAMPLED_SIDE)
    count = (len(rows) - 1) * (len(columns) - 1)
    taken = min(SAMPLED_BLOCKS, count)
    edges = np.arange(taken + 1) * count // taken
    # At random within equal parts, so that they do not lie below each other; from a fixed seed, so
    # that they are the same ones next time.
    for index in np.random.default_rng(0).integers(edges[:-1], edges[1:]).tolist():
        row, column = divmod(index, len(columns) - 1)
        yield planes.read(
            slice(rows[row], rows[row + 1]), slice(columns[column], columns[column + 1])
        )
