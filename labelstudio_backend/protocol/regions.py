"""Masks as Label Studio's regions: brush, bitmask, polygon, rectangle, ellipse."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import measure

from labelstudio_backend.protocol.brush_rle import encode
from labelstudio_backend.protocol.labelling_config import Control
from sam_plugins.masks.boxes import mask_to_box
from sam_plugins.masks.polygons import mask_to_polygons

# Polygons may leave the mask's edge by so many pixels: a few dozen corners instead of thousands.
TOLERANCE = 1.0

# Pieces of fewer pixels are not worth a polygon.
LEAST_PIECE = 10


def regions_of(
    mask: NDArray[np.bool_],
    control: Control,
    label: str | None,
    *,
    score: float,
    region_id: str,
    image_rotation: float = 0.0,
) -> list[dict[str, Any]]:
    """Write a mask as regions of a control.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    control : Control
        Where it goes: decides on the form.
    label : str or None
        One of the control's.
    score : float
        Predicted IoU.
    region_id : str
        Of the first region; further ones have a number behind it.
    image_rotation : float
        As the prompt had it.

    Returns
    -------
    list of dict
        One region for a brush, bitmask, rectangle or ellipse; for polygons, which cannot hold more
        than one ring, one a piece of the mask, without its holes. Empty if the mask is.
    """
    if not mask.any():
        return []
    height, width = mask.shape
    regions = []
    for number, value in enumerate(_values(mask, control)):
        if label is not None:
            value[control.region_type] = [label]
        regions.append(
            {
                "id": region_id if number == 0 else f"{region_id}-{number + 1}",
                "from_name": control.name,
                "to_name": control.to_name,
                "type": control.region_type,
                "origin": "prediction",
                "original_width": width,
                "original_height": height,
                "image_rotation": image_rotation,
                "score": score,
                "value": value,
            }
        )
    return regions


def _values(mask: NDArray[np.bool_], control: Control) -> Iterator[dict[str, Any]]:
    height, width = mask.shape
    kind = control.tag.removesuffix("Labels")
    if kind == "Brush":
        yield {"format": "rle", "rle": encode(mask)}
    elif kind == "Bitmask":
        yield {"imageDataURL": _data_url(mask)}
    elif kind == "Polygon":
        scale = np.array([100 / width, 100 / height])
        for polygon in mask_to_polygons(mask, tolerance=TOLERANCE):
            ring = polygon.exterior
            if _area(ring) >= LEAST_PIECE or mask.sum() < LEAST_PIECE:
                yield {"points": (ring * scale).round(4).tolist(), "closed": True}
    elif kind == "Rectangle":
        x0, y0, x1, y1 = (float(each) for each in mask_to_box(mask))
        yield {
            "x": 100 * x0 / width,
            "y": 100 * y0 / height,
            "width": 100 * (x1 - x0 + 1) / width,
            "height": 100 * (y1 - y0 + 1) / height,
            "rotation": 0,
        }
    else:
        yield _ellipse(mask)


def _ellipse(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The ellipse with the mask's centre and second moments."""
    height, width = mask.shape
    moments = measure.moments_central(mask, order=2)
    raw = measure.moments(mask, order=1)
    x, y = raw[0, 1] / raw[0, 0] + 0.5, raw[1, 0] / raw[0, 0] + 0.5
    # A pixel is a square and not a point: it has a variance of 1 / 12 along each axis.
    xx, yy = moments[0, 2] / raw[0, 0] + 1 / 12, moments[2, 0] / raw[0, 0] + 1 / 12
    values, vectors = np.linalg.eigh([[xx, moments[1, 1] / raw[0, 0]], [0, yy]], UPLO="U")
    minor, major = 2 * np.sqrt(values.clip(min=1e-6))
    # Label Studio measures the radii in percent of width and height, before it turns the ellipse.
    return {
        "x": 100 * x / width,
        "y": 100 * y / height,
        "radiusX": 100 * major / width,
        "radiusY": 100 * minor / height,
        "rotation": float(np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))) % 180,
    }


def _area(ring: NDArray[np.floating]) -> float:
    x, y = ring.T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


def _data_url(mask: NDArray[np.bool_]) -> str:
    """A PNG that is black where the mask is and clear elsewhere."""
    pixels = np.zeros((*mask.shape, 4), dtype=np.uint8)
    pixels[..., 3] = np.where(mask, 255, 0)
    file = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
