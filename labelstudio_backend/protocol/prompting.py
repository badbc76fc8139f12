"""What annotators did, as prompts: the regions of a request's context or of an annotation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelstudio_backend.protocol.brush_rle import decode
from sam_plugins.errors import InvalidPromptError
from sam_plugins.prompts import Prompt

# More prompts than any person makes about one image; a request with more is refused.
MOST_REGIONS = 1000

# Of all masks of a request together: a few bytes of code may stand for a large one.
MOST_MASK_PIXELS = 200_000_000
# A mask may be of another size than its image, but not of any: four times its pixels, or so many.
LEAST_MASK_PIXELS = 4_000_000

# Percent of an image, or degrees: what is farther away was not drawn by a person.
FARTHEST = 1e6


@dataclass(frozen=True, eq=False)
class Asked:
    """One object that is asked for.

    Parameters
    ----------
    prompt : Prompt
        In pixels of the image.
    label : str or None
        The prompts' own label.
    to_name : str or None
        The image's name in the labelling config.
    image_rotation : float
        How the page shows the image, in degrees; coordinates do not depend on it.
    """

    prompt: Prompt
    label: str | None
    to_name: str | None
    image_rotation: float = 0.0


def read_prompts(regions: Sequence[Mapping[str, Any]], image_size: tuple[int, int]) -> list[Asked]:
    """Turn regions into prompts.

    Parameters
    ----------
    regions : sequence of mapping
        Label Studio's regions: key points, rectangles, ellipses, brush masks; others (polygons are
        answers, relations are no regions) are left out.
    image_size : tuple of int
        (H, W) of the image as it was decoded, oriented by its EXIF data. Label Studio's coordinates
        are percentages of it.

    Returns
    -------
    list of Asked
        One for all key points of a label together, one for each rectangle and ellipse, one for each
        brush mask.

    Raises
    ------
    InvalidPromptError
        If a region is malformed, or there are too many.
    """
    if not isinstance(regions, Sequence) or isinstance(regions, str):
        raise InvalidPromptError(f"a list of regions is expected, got {type(regions).__name__}")
    if len(regions) > MOST_REGIONS:
        raise InvalidPromptError(f"{len(regions)} regions are more than {MOST_REGIONS}")
    points: dict[tuple[str | None, str | None, float], list[tuple[float, float, int]]] = {}
    asked: list[Asked] = []
    pixels = 0
    for region in regions:
        if not isinstance(region, Mapping) or not isinstance(region.get("value"), Mapping):
            raise InvalidPromptError("a region is an object with a value")
        kind, value = str(region.get("type", "")), region["value"]
        about = (label_of(value, kind), _text(region.get("to_name")), _rotation(region))
        if kind.startswith("keypoint"):
            x, y = _point(value, image_size)
            points.setdefault(about, []).append((x, y, _is_positive(region, value)))
        elif kind.startswith(("rectangle", "ellipse")):
            box = _box(value, image_size, round_=kind.startswith("ellipse"))
            asked.append(Asked(Prompt(boxes=np.array([box])), *about))
        elif kind.startswith("brush") and "rle" in value:
            stored = stored_size(region, image_size)
            pixels += max(math.prod(stored), math.prod(image_size))
            if pixels > MOST_MASK_PIXELS:
                raise InvalidPromptError(f"masks of more than {MOST_MASK_PIXELS} pixels together")
            mask = decode(value["rle"], stored)
            asked.append(Asked(Prompt(mask=resized(mask, image_size)), *about))
    for about, clicks in points.items():
        table = np.array(clicks)
        prompt = Prompt(points=table[:, :2], labels=table[:, 2].astype(int))
        asked.append(Asked(prompt, *about))
    return asked


def read_text(regions: Sequence[Mapping[str, Any]]) -> str | None:
    """Find a text prompt among regions.

    Parameters
    ----------
    regions : sequence of mapping
        See `read_prompts`.

    Returns
    -------
    str or None
        None if there is none.
    """
    for region in regions:
        value = region.get("value") if isinstance(region, Mapping) else None
        if isinstance(value, Mapping) and region.get("type") == "textarea":
            text = value.get("text")
            return " ".join(map(str, text)) if isinstance(text, list) else str(text or "")
    return None


def _is_positive(region: Mapping[str, Any], value: Mapping[str, Any]) -> int:
    # Points that come back from a draft have lost it: they were positive unless told otherwise.
    given = region.get("is_positive", value.get("positive", True))
    return int(given is not False and given != 0)


def label_of(value: Mapping[str, Any], kind: str) -> str | None:
    """The first label of a region.

    Parameters
    ----------
    value : mapping
        The region's value.
    kind : str
        Its type, which is also the key of its labels.

    Returns
    -------
    str or None
    """
    labels = value.get(kind, value.get("labels"))
    return str(labels[0]) if isinstance(labels, list) and labels else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _rotation(region: Mapping[str, Any]) -> float:
    value = region.get("image_rotation", 0)
    return float(value) if isinstance(value, int | float) and abs(value) < FARTHEST else 0.0


def _number(value: Mapping[str, Any], name: str) -> float:
    number = value.get(name)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidPromptError(f"a region's {name} must be a number, got {number!r:.40}")
    # Compared, not converted: JSON's whole numbers may be longer than any float.
    if not abs(number) < FARTHEST:
        raise InvalidPromptError(f"a region's {name} is out of all bounds: {str(number)[:40]}")
    return float(number)


def _point(value: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float]:
    """x, y in pixels; the middle of the first pixel is 0, where Label Studio has half a pixel."""
    height, width = size
    x = _number(value, "x") / 100 * width - 0.5
    y = _number(value, "y") / 100 * height - 0.5
    return min(max(x, 0), width - 1), min(max(y, 0), height - 1)


def _box(
    value: Mapping[str, Any], size: tuple[int, int], *, round_: bool
) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 in pixels around a rectangle or ellipse that may be turned."""
    height, width = size
    x, y = _number(value, "x") / 100 * width, _number(value, "y") / 100 * height
    angle = math.radians(_number({"rotation": 0, **value}, "rotation"))
    cosine, sine = math.cos(angle), math.sin(angle)
    if round_:
        a = _number(value, "radiusX") / 100 * width
        b = _number(value, "radiusY") / 100 * height
        reach_x, reach_y = math.hypot(a * cosine, b * sine), math.hypot(a * sine, b * cosine)
        xs: tuple[float, ...] = (x - reach_x, x + reach_x)
        ys: tuple[float, ...] = (y - reach_y, y + reach_y)
    else:
        w = _number(value, "width") / 100 * width
        h = _number(value, "height") / 100 * height
        # It turns about its first corner.
        corners = [(0.0, 0.0), (w, 0.0), (0.0, h), (w, h)]
        xs = tuple(x + u * cosine - v * sine for u, v in corners)
        ys = tuple(y + u * sine + v * cosine for u, v in corners)
    low = np.clip([min(xs), min(ys)], 0, [width, height]).tolist()
    high = np.clip([max(xs), max(ys)], 0, [width, height]).tolist()
    return low[0], low[1], high[0], high[1]


def stored_size(region: Mapping[str, Any], size: tuple[int, int]) -> tuple[int, int]:
    """The size that a region's mask is stored in.

    Parameters
    ----------
    region : mapping
    size : tuple of int
        (H, W) of the image.

    Returns
    -------
    tuple of int
        (H, W) as the region says, or the image's.

    Raises
    ------
    InvalidPromptError
        If it is out of all proportion to the image.
    """
    height, width = region.get("original_height"), region.get("original_width")
    if not isinstance(height, int) or not isinstance(width, int):
        return size
    most = max(4 * math.prod(size), LEAST_MASK_PIXELS)
    if height < 1 or width < 1 or height * width > most:
        raise InvalidPromptError(f"a mask of {height} x {width} does not belong to this image")
    return height, width


def resized(mask: np.ndarray[Any, Any], size: tuple[int, int]) -> np.ndarray[Any, Any]:
    """Bring a mask to another size.

    Parameters
    ----------
    mask : ndarray of shape (h, w), bool
    size : tuple of int
        (H, W).

    Returns
    -------
    ndarray of shape (H, W), bool
        The nearest pixels; the mask itself if it has the size.
    """
    if mask.shape == size:
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(size, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]
