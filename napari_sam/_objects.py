"""Labels layers and annotated images: what a layer's features and metadata say about objects.

A layer's ``features`` has a row an object: ``index`` is its label, ``class`` its class, and
``predicted_iou``, ``stability_score``, ``point_coords``, ``crop_box``, ``crowd`` and ``id`` what
else is known of it. ``metadata["sam_plugins"]`` holds the image's ``file_name`` and ``id`` and the
``classes``, each with ``name``, ``color`` (red, green, blue or None) and ``id``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject

# Where a layer's metadata holds what this plugin knows, and what follows the image's name.
KEY = "sam_plugins"
NAME_SUFFIX = " objects"

# Of an object on several slices these belong to one slice only, and are not kept.
_OF_ONE_SLICE = ("predicted_iou", "stability_score", "point_coords", "crop_box", "id")


def layer_of(images: Sequence[AnnotatedImage]) -> tuple[NDArray[Any], dict[str, Any]]:
    """Make what a Labels layer shows.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        One image, or the slices of one stack.

    Returns
    -------
    labels : ndarray of shape (..., H, W)
        The label image.
    parameters : dict
        The layer's name, features and metadata.
    """
    from pathlib import PurePath

    from sam_plugins.datasets.annotations import all_classes, labels_from_images

    first = images[0]
    return labels_from_images(images), {
        "name": f"{PurePath(first.file_name).stem or first.file_name}{NAME_SUFFIX}",
        "features": _features(images),
        "metadata": {
            KEY: {
                "file_name": first.file_name,
                "id": first.id if len(images) == 1 else None,
                "classes": [asdict(each) for each in all_classes(images)],
            }
        },
    }


def images_of(labels: Any, layer: Mapping[str, Any]) -> list[AnnotatedImage]:
    """Take apart what a Labels layer shows.

    Parameters
    ----------
    labels : array-like of shape (..., H, W), integer
        The layer's data; the finest level of a multiscale layer.
    layer : mapping
        Its parameters, as `napari.layers.Layer.as_layer_data_tuple` gives them.

    Returns
    -------
    list of AnnotatedImage
        One, or one for each slice.
    """
    from dataclasses import replace

    from sam_plugins.datasets.annotations import ObjectClass, images_from_labels

    known = (layer.get("metadata") or {}).get(KEY) or {}
    classes = [
        ObjectClass(str(each["name"]), _color(each.get("color")), each.get("id"))
        for each in known.get("classes") or []
    ]
    name = known.get("file_name") or str(layer.get("name") or "image").removesuffix(NAME_SUFFIX)
    images = images_from_labels(
        finest(labels), name, details=_details(layer.get("features")), classes=classes
    )
    return [replace(images[0], id=known.get("id"))] if len(images) == 1 else images


def finest(labels: Any) -> NDArray[Any]:
    """The labels in memory; of a multiscale layer the finest level.

    Parameters
    ----------
    labels : array-like or sequence of array-like
        A layer's data.

    Returns
    -------
    ndarray of shape (..., H, W)
    """
    return np.asarray(labels[0] if isinstance(labels, Sequence) else labels)


def _features(images: Sequence[AnnotatedImage]) -> dict[str, NDArray[Any]]:
    """Columns of the table, (N,) each; those about which nothing is known are left out."""
    rows: dict[int, dict[str, Any]] = {}
    for image in images:
        for each in image.objects:
            if each.label in rows:
                rows[each.label].update(dict.fromkeys(_OF_ONE_SLICE))
            else:
                rows[each.label] = _row(each)
    ordered = [rows[label] for label in sorted(rows)]
    columns = {name: [row[name] for row in ordered] for name in (ordered[0] if ordered else ())}
    return {
        name: _column(name, column)
        for name, column in columns.items()
        if name in ("index", "class") or any(each not in (None, False) for each in column)
    }


def _column(name: str, values: list[Any]) -> NDArray[Any]:
    """One column: (N,), numbers or objects."""
    if name in ("predicted_iou", "stability_score"):
        return np.array([np.nan if each is None else each for each in values])
    if name in ("index", "crowd"):
        return np.array(values)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _row(each: AnnotatedObject) -> dict[str, Any]:
    return {
        "index": each.label,
        "class": each.class_name,
        "predicted_iou": each.predicted_iou,
        "stability_score": each.stability_score,
        "point_coords": each.point_coords or None,
        "crop_box": each.crop_box,
        "crowd": each.crowd,
        "id": each.id,
    }


def _details(features: Any) -> dict[int, dict[str, Any]]:
    """For each label what the table says, as parameters of `AnnotatedObject`."""
    if features is None or not len(features):
        return {}
    columns = {str(name): list(features[name]) for name in features}
    count = len(next(iter(columns.values())))
    # Without an index, napari takes the row's number for the label.
    labels = columns.get("index", range(count))
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "class": ("class_name", str),
        "predicted_iou": ("predicted_iou", float),
        "stability_score": ("stability_score", float),
        "point_coords": ("point_coords", _points),
        "crop_box": ("crop_box", tuple),
        "crowd": ("crowd", bool),
        "id": ("id", _id),
    }
    return {
        int(label): {
            field: read(columns[name][row])
            for name, (field, read) in readers.items()
            if name in columns and not _missing(columns[name][row])
        }
        for row, label in enumerate(labels)
    }


def _missing(value: Any) -> bool:
    # A table fills what is not there with NaN.
    return value is None or (isinstance(value, float) and math.isnan(value))


def _id(value: Any) -> int | str:
    return value if isinstance(value, str) else int(value)


def _points(value: Any) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in value)


def _color(value: Any) -> tuple[int, int, int] | None:
    if value is None:
        return None
    red, green, blue = (int(part) for part in value)
    return red, green, blue
