"""Files into layers: annotations and label images become Labels layers.

If the image that annotations belong to is open, told by its name and size, the layer lies on it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from napari_sam._objects import layer_of

if TYPE_CHECKING:
    from sam_plugins.datasets.annotations import AnnotatedImage

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[LayerData]]

# A COCO file may hold a hundred thousand images: more layers than these help nobody.
MOST_LAYERS = 64

# Of the names of label TIFFs.
_LABEL_SUFFIX = re.compile(r"(\.labels)?\.tiff?$", re.IGNORECASE)

_PLACEMENT = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


def get_annotation_reader(path: str | Sequence[str]) -> Reader | None:
    """Give the reader of COCO, SA-1B and GeoJSON files.

    Parameters
    ----------
    path : str or list of str
        What is to be opened.

    Returns
    -------
    callable or None
        None if these are no such files.
    """
    return _read_annotations if _all_end_in(path, ".json", ".geojson") else None


def get_label_reader(path: str | Sequence[str]) -> Reader | None:
    """Give the reader of label TIFFs.

    Parameters
    ----------
    path : str or list of str
        What is to be opened.

    Returns
    -------
    callable or None
        None if these are no such files.
    """
    return _read_labels if _all_end_in(path, ".tif", ".tiff") else None


def _read_annotations(path: str | Sequence[str]) -> list[LayerData]:
    from sam_plugins.datasets.annotations import group_stacks
    from sam_plugins.datasets.formats import read_annotations

    open_images = _open_images()
    layers: list[LayerData] = []
    for each in _listed(path):
        stacks = group_stacks(read_annotations(each))
        if len(stacks) > MOST_LAYERS:
            stacks = _wanted(each, stacks, open_images)
        for stack in stacks:
            labels, parameters = layer_of(stack)
            image = _image_of(stack[0].file_name, labels.shape, open_images)
            placed = {} if image is None else {name: getattr(image, name) for name in _PLACEMENT}
            layers.append((labels, {**parameters, **placed}, "labels"))
    return layers


def _read_labels(path: str | Sequence[str]) -> list[LayerData]:
    from sam_plugins.datasets.label_images import read_labels

    layers: list[LayerData] = []
    for each in _listed(path):
        found = read_labels(each)
        parameters: dict[str, Any] = {"name": _LABEL_SUFFIX.sub("", Path(each).name)}
        if found.scale is not None:
            parameters["scale"] = found.scale
        if found.scale is not None and found.unit is not None and found.labels.ndim < 4:
            parameters["units"] = (found.unit,) * found.labels.ndim
        layers.append((found.labels, parameters, "labels"))
    return layers


def _wanted(
    path: str, stacks: list[list[AnnotatedImage]], open_images: Sequence[Any]
) -> list[list[AnnotatedImage]]:
    """Of a file of very many images those that are open in the viewer."""
    found = [
        stack
        for stack in stacks
        if any(_same_name(stack[0].file_name, layer) for layer in open_images)
    ]
    if 0 < len(found) <= MOST_LAYERS:
        return found
    raise ValueError(
        f"{path} holds {len(stacks)} images, more than {MOST_LAYERS}: open the image that you want "
        "first, then this file"
    )


def _open_images() -> list[Any]:
    """Image layers of the current viewer."""
    from napari import current_viewer
    from napari.layers import Image

    viewer = current_viewer()
    return [] if viewer is None else [layer for layer in viewer.layers if isinstance(layer, Image)]


def _image_of(file_name: str, shape: tuple[int, ...], open_images: Sequence[Any]) -> Any:
    for layer in open_images:
        finest = layer.data[0] if layer.multiscale else layer.data
        size = tuple(finest.shape[: finest.ndim - 1 if layer.rgb else finest.ndim])
        if size == shape and _same_name(file_name, layer):
            return layer
    return None


def _same_name(file_name: str, layer: Any) -> bool:
    wanted = PurePath(file_name.replace("\\", "/"))
    source = layer.source.path
    return layer.name in (wanted.name, wanted.stem) or (
        source is not None and PurePath(source).name == wanted.name
    )


def _listed(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str | os.PathLike) else list(path)


def _all_end_in(path: str | Sequence[str], *suffixes: str) -> bool:
    paths = _listed(path)
    return bool(paths) and all(str(each).lower().endswith(suffixes) for each in paths)
