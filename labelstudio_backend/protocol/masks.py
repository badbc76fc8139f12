"""The masks that people accepted, read back from Label Studio's regions."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from labelstudio_backend.protocol.brush_rle import decode
from labelstudio_backend.protocol.prompting import label_of, resized, stored_size
from sam_plugins.errors import InvalidMaskError
from sam_plugins.masks.polygons import Polygon, polygons_to_mask

_DATA_URL = "data:image/png;base64,"


@dataclass(frozen=True, eq=False)
class RegionMask:
    """A region as a mask.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    label : str or None
    """

    mask: NDArray[np.bool_]
    label: str | None


def read_masks(regions: Sequence[Any], image_size: tuple[int, int]) -> list[RegionMask]:
    """Read the regions that outline an object: brush, bitmask, polygon.

    Parameters
    ----------
    regions : sequence
        Label Studio's regions. Boxes, ellipses and points, which outline nothing exactly, are left
        out, and so are empty masks.
    image_size : tuple of int
        (H, W) of the image.

    Returns
    -------
    list of RegionMask

    Raises
    ------
    InvalidMaskError, InvalidPromptError
        If a region is malformed.
    """
    found = []
    for region in regions:
        if not isinstance(region, Mapping) or not isinstance(region.get("value"), Mapping):
            continue
        value, kind = region["value"], str(region.get("type", ""))
        mask = _mask(value, region, kind, image_size)
        if mask is not None and mask.any():
            found.append(RegionMask(mask, label_of(value, kind)))
    return found


def _mask(
    value: Mapping[str, Any], region: Mapping[str, Any], kind: str, size: tuple[int, int]
) -> NDArray[np.bool_] | None:
    if kind.startswith("brush") and "rle" in value:
        return resized(decode(value["rle"], stored_size(region, size)), size)
    if kind.startswith("bitmask"):
        return _bitmask(value.get("imageDataURL"), region, size)
    if kind.startswith("polygon"):
        return _polygon(value.get("points"), size)
    return None


def _bitmask(url: Any, region: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    if not isinstance(url, str) or not url.startswith(_DATA_URL):
        raise InvalidMaskError(f"a bitmask is a PNG as data URL, got {str(url)[:40]!r}")
    stored = stored_size(region, size)
    try:
        data = base64.b64decode(url.removeprefix(_DATA_URL), validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if (image.height, image.width) != stored:
                raise ValueError(f"it is {image.height} x {image.width}")
            alpha = np.asarray(image.convert("RGBA"))[..., 3]
    except (OSError, ValueError, binascii.Error, Image.DecompressionBombError) as error:
        raise InvalidMaskError(f"a bitmask cannot be read: {error}") from error
    return resized(alpha > 0, size)


def _polygon(points: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        ring = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidMaskError("a polygon's points are pairs of numbers") from error
    if ring.ndim != 2 or ring.shape[1:] != (2,) or len(ring) < 3 or not np.isfinite(ring).all():
        raise InvalidMaskError(f"a polygon needs three points or more, got {ring.shape}")
    height, width = size
    return polygons_to_mask([Polygon(ring / 100 * [width, height])], size)
