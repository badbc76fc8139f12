"""Pictures of masks on their image."""

from __future__ import annotations

import colorsys
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.files import atomic_path
from sam_plugins.masks.records import MaskRecord

# Hues a golden section apart stay apart however many there are.
GOLDEN_SECTION = 0.618033988749895

# Lightness goes through three steps, so that neighbours differ for colour-blind eyes too.
LIGHTNESS = (0.62, 0.45, 0.75)


def colours(count: int) -> NDArray[np.uint8]:
    """Give distinct colours, the same at each call.

    Parameters
    ----------
    count : int
        How many.

    Returns
    -------
    ndarray of shape (count, 3), uint8
        RGB. The first ones do not depend on ``count``.

    Examples
    --------
    >>> len(set(map(tuple, colours(50).tolist())))
    50
    """
    table = [
        colorsys.hls_to_rgb((0.55 + index * GOLDEN_SECTION) % 1, LIGHTNESS[index % 3], 0.9)
        for index in range(count)
    ]
    return (np.array(table).reshape(count, 3) * 255).round().astype(np.uint8)


def overlay(
    image: NDArray[np.uint8],
    masks: Sequence[MaskRecord | NDArray[np.bool_]],
    *,
    alpha: float = 0.4,
) -> NDArray[np.uint8]:
    """Lay coloured masks with outlines on an image, smaller ones on top.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    masks : sequence of MaskRecord or ndarray of shape (H, W), bool
        The masks.
    alpha : float
        Opacity of the colours, 0 to 1; outlines are opaque.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    picture = image.astype(np.float32)
    palette = colours(len(masks)).astype(np.float32)
    areas = [each.area if isinstance(each, MaskRecord) else int(each.sum()) for each in masks]
    for index in np.argsort(areas, kind="stable")[::-1]:
        given = masks[index]
        mask = given.mask() if isinstance(given, MaskRecord) else np.asarray(given, dtype=bool)
        inside = picture[mask]
        picture[mask] = inside + alpha * (palette[index] - inside)
        picture[_outline(mask)] = palette[index]
    return picture.round().astype(np.uint8)


def write_overlay(
    path: str | os.PathLike[str],
    image: NDArray[np.uint8],
    masks: Sequence[MaskRecord | NDArray[np.bool_]],
    *,
    alpha: float = 0.4,
) -> None:
    """Write an overlay as an image file.

    Parameters
    ----------
    path : path-like
        Its suffix chooses the format.
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    masks, alpha
        See `overlay`.
    """
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(overlay(image, masks, alpha=alpha)).save(temporary)


def _outline(mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Pixels of a mask that touch its outside at a side."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return mask & ~inner
