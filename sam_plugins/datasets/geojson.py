"""GeoJSON as QuPath reads and writes it: objects as polygons in pixels, with class and colour.

Outlines run along the borders of pixels, so that filling them gives the same pixels again.
"""

from __future__ import annotations

import math
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sam_plugins.datasets.annotations import (
    DEFAULT_CLASS,
    AnnotatedImage,
    AnnotatedObject,
    ObjectClass,
    all_classes,
    distinct_numbers,
)
from sam_plugins.datasets.json_files import (
    StrPath,
    as_color,
    as_list,
    as_score,
    read_json,
    reading,
    write_json,
)
from sam_plugins.masks.polygons import (
    Polygon,
    mask_to_polygons,
    polygons_to_mask,
    with_simple_rings,
)
from sam_plugins.masks.windows import decode_window, encode_window

# Names that people see in QuPath's table of measurements.
PREDICTED_IOU = "Predicted IoU"
STABILITY_SCORE = "Stability score"

# A file of a few bytes can claim an image of any size: beyond this many pixels it is refused.
MOST_PIXELS = 1 << 30

# QuPath's planes have c, z and t; stacks here have z, or t and z.
_PLANE_AXES: Mapping[int, tuple[str, ...]] = {0: (), 1: ("z",), 2: ("t", "z")}


def write_geojson(path: StrPath, images: Sequence[AnnotatedImage]) -> None:
    """Write one image's objects, or those of the slices of one stack, for QuPath.

    Parameters
    ----------
    path : path-like
        The ``.geojson`` file.
    images : sequence of AnnotatedImage
        One image, or the slices of one stack with one or two axes before rows and columns, which
        become QuPath's z, or t and z.

    Raises
    ------
    ValueError
        If there is no image, or there are several.
    """
    if not images or len({(image.file_name, image.image_size) for image in images}) > 1:
        names = sorted({image.file_name for image in images})
        raise ValueError(f"a GeoJSON file holds one image's objects, got {names or 'none'}")
    first = images[0]
    if len(first.index) not in _PLANE_AXES:
        raise ValueError(f"QuPath knows z and t, but the slices have {len(first.index)} axes")
    colors = {each.name: each.color for each in all_classes(images)}
    leading = np.max([image.index for image in images], axis=0, initial=-1).astype(int) + 1
    content = {
        "type": "FeatureCollection",
        # Beyond GeoJSON, for reading it again: polygons do not tell how large the image is.
        "image": {
            "file_name": first.file_name,
            "shape": [*leading.tolist(), *first.image_size],
        },
        "features": [
            _feature(each, image, colors) for image in images for each in image.objects if each.area
        ],
    }
    write_json(path, content)


def read_geojson(
    path: StrPath, *, image_size: tuple[int, int] | None = None
) -> list[AnnotatedImage]:
    """Read objects that QuPath or `write_geojson` wrote.

    Parameters
    ----------
    path : path-like
        A FeatureCollection, or a list of features, as older versions of QuPath write it.
    image_size : tuple of int, optional
        (H, W) of the image, in pixels. By default what the file says; if it says nothing, as from
        QuPath, the smallest that holds all objects.

    Returns
    -------
    list of AnnotatedImage
        One, or one for each slice of a stack. Labels are those that `write_geojson` wrote; other
        objects are labelled from 1. A pixel belongs to an object if its centre lies inside.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AnnotationFileError
        If the file is damaged or malformed: names the file and the feature.

    Warns
    -----
    UserWarning
        If points and lines, which are no masks, are left out.
    """
    content = read_json(path, list_as="features")
    with reading(str(path)):
        features = [_read_feature(path, n, each) for n, each in enumerate(_features(content))]
        areas = [each for each in features if each is not None]
        _warn_of_others(path, len(features) - len(areas))
        told = content.get("image") or {}
        shape = _stack_shape(tuple(told.get("shape", ())), areas, image_size)
        objects = _objects(areas, shape)
        file_name = str(told.get("file_name") or Path(path).stem)
        classes = _classes(areas)
        return [
            AnnotatedImage(file_name, (shape[-2], shape[-1]), tuple(objects[index]), classes, index)
            for index in np.ndindex(shape[:-2])
        ]


@dataclass(frozen=True, eq=False)
class _Area:
    """What is read of one feature."""

    polygons: list[Polygon]
    plane: tuple[int, int]  # t, z
    label: int | None
    known: Mapping[str, Any]
    color: tuple[int, int, int] | None


def _feature(
    each: AnnotatedObject, image: AnnotatedImage, colors: Mapping[str, Any]
) -> dict[str, Any]:
    named = isinstance(each.id, str)
    key = each.id if named else uuid.uuid5(uuid.NAMESPACE_URL, _name(each, image))
    scores = {PREDICTED_IOU: each.predicted_iou, STABILITY_SCORE: each.stability_score}
    known = {name: score for name, score in scores.items() if score is not None}
    properties: dict[str, Any] = {"objectType": "annotation"}
    if each.class_name != DEFAULT_CLASS:
        color = colors.get(each.class_name)
        shown = {} if color is None else {"color": list(color)}
        properties["classification"] = {"name": each.class_name, **shown}
    if known:
        properties["measurements"] = known
    # QuPath keeps metadata, as text, and writes it again.
    properties["metadata"] = {"label": str(each.label)}
    return {
        "type": "Feature",
        "id": str(key),
        "geometry": _geometry(each, image.index),
        "properties": properties,
    }


def _name(each: AnnotatedObject, image: AnnotatedImage) -> str:
    return f"{image.file_name}/{'/'.join(map(str, image.index))}/{each.label}"


def _geometry(each: AnnotatedObject, index: tuple[int, ...]) -> dict[str, Any]:
    window, corner = decode_window(each.segmentation)
    polygons = [
        [_closed(ring, corner) for ring in (simple.exterior, *simple.holes)]
        for simple in map(with_simple_rings, mask_to_polygons(window))
    ]
    plane = dict(zip(_PLANE_AXES[len(index)], index, strict=True))
    where = {"plane": {"c": -1, "z": 0, "t": 0, **plane}} if index else {}
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0], **where}
    return {"type": "MultiPolygon", "coordinates": polygons, **where}


def _closed(ring: Any, corner: tuple[int, int]) -> list[list[int]]:
    whole = (ring + corner).astype(int).tolist()
    return [*whole, whole[0]]


def _features(content: dict[str, Any]) -> list[Any]:
    if content.get("type") == "Feature":
        return [content]
    return as_list(content, "features")


def _read_feature(path: StrPath, number: int, feature: Any) -> _Area | None:
    """One feature; None if it is no area."""
    with reading(f"{path}, feature {number}"):
        geometry, properties = feature["geometry"], feature.get("properties") or {}
        rings = list(_polygons(geometry))
        if not rings:
            return None
        plane = geometry.get("plane") or {}
        classification = properties.get("classification") or {}
        measured = _measurements(properties.get("measurements"))
        label = (properties.get("metadata") or {}).get("label")
        key = feature.get("id")
        return _Area(
            polygons=[Polygon(_ring(each[0]), tuple(map(_ring, each[1:]))) for each in rings],
            plane=(int(plane.get("t", 0)), int(plane.get("z", 0))),
            label=int(str(label)) if str(label).isdecimal() else None,
            known={
                "class_name": str(classification.get("name", DEFAULT_CLASS)),
                "predicted_iou": as_score(measured.get(PREDICTED_IOU)),
                "stability_score": as_score(measured.get(STABILITY_SCORE)),
                "id": key if isinstance(key, int | str) else None,
            },
            color=as_color(classification.get("color", classification.get("colorRGB"))),
        )


def _polygons(geometry: Any) -> Iterator[list[Any]]:
    kind = geometry["type"]
    if kind == "Polygon":
        yield geometry["coordinates"]
    elif kind == "MultiPolygon":
        yield from geometry["coordinates"]
    elif kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _polygons(part)
    elif kind not in ("Point", "MultiPoint", "LineString", "MultiLineString"):
        raise ValueError(f"{kind!r} is no geometry")


def _ring(corners: Any) -> Any:
    """Corners of a closed ring, (N, 2), the last one left out."""
    ring = np.array([[float(x) for x in corner[:2]] for corner in corners], dtype=np.float64)
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 4 or not np.isfinite(ring).all():
        raise ValueError("a ring has four or more corners of finite x and y, the last the first")
    return ring[:-1] if (ring[0] == ring[-1]).all() else ring


def _measurements(given: Any) -> Mapping[str, Any]:
    """By name; older versions of QuPath have a list."""
    if isinstance(given, list):
        return {str(each["name"]): each["value"] for each in given}
    return given or {}


def _warn_of_others(path: StrPath, count: int) -> None:
    if count:
        warnings.warn(
            f"{path}: {count} of its features are points or lines, which are no masks, and are "
            "left out",
            stacklevel=3,
        )


def _stack_shape(
    told: tuple[int, ...], areas: Sequence[_Area], image_size: tuple[int, int] | None
) -> tuple[int, ...]:
    """The shape of the image or stack, as the file or the caller tells it or as objects need it."""
    planes = np.max([area.plane for area in areas], axis=0, initial=0)
    times, depth = (int(each) + 1 for each in np.broadcast_to(planes, 2))
    leading = (times, depth) if times > 1 else (depth,) if depth > 1 else ()
    shape = (*(told[:-2] or leading), *(image_size or told[-2:] or _smallest(areas)))
    if not all(isinstance(side, int) and side >= 0 for side in shape) or len(shape) > 4:
        raise ValueError(f"a shape is (H, W), (z, H, W) or (t, z, H, W), got {shape}")
    if math.prod(shape) > MOST_PIXELS:
        raise ValueError(f"an image of {shape} pixels is refused")
    return shape


def _smallest(areas: Sequence[_Area]) -> tuple[int, int]:
    corners = [polygon.exterior.max(axis=0) for area in areas for polygon in area.polygons]
    if not corners:
        return 0, 0
    width, height = np.ceil(np.max(corners, axis=0)).tolist()
    return max(int(height), 0), max(int(width), 0)


def _objects(
    areas: Sequence[_Area], shape: tuple[int, ...]
) -> dict[tuple[int, ...], list[AnnotatedObject]]:
    """The objects of each slice."""
    leading, size = shape[:-2], (shape[-2], shape[-1])
    found: dict[tuple[int, ...], list[AnnotatedObject]] = {
        index: [] for index in np.ndindex(leading)
    }
    indices = [area.plane[len(area.plane) - len(leading) :] for area in areas]
    # Objects that QuPath has split have the same label, and those that it has added have none.
    labels = distinct_numbers([area.label for area in areas], indices)
    for number, (area, index, label) in enumerate(zip(areas, indices, labels, strict=True)):
        if index not in found:
            raise ValueError(f"object {number} is on plane {index}, outside of {leading}")
        found[index].append(AnnotatedObject(label, _filled(area.polygons, size), **area.known))
    return found


def _filled(polygons: Sequence[Polygon], size: tuple[int, int]) -> dict[str, Any]:
    corners = np.concatenate([polygon.exterior for polygon in polygons])
    highest = np.array([size[1], size[0]])
    low = np.floor(corners.min(axis=0)).clip(0, highest).astype(int)
    high = np.ceil(corners.max(axis=0)).clip(low, highest).astype(int)
    moved = [
        Polygon(each.exterior - low, tuple(hole - low for hole in each.holes)) for each in polygons
    ]
    width, height = (high - low).tolist()
    left, top = low.tolist()
    return encode_window(polygons_to_mask(moved, (height, width)), (left, top), size)


def _classes(areas: Sequence[_Area]) -> tuple[ObjectClass, ...]:
    found: dict[str, ObjectClass] = {}
    for area in areas:
        name = area.known["class_name"]
        found.setdefault(name, ObjectClass(name, area.color))
    return tuple(found.values())
