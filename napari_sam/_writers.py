"""Labels layers into files: COCO, SA-1B, GeoJSON for QuPath, label TIFF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from napari_sam._objects import finest, images_of
from sam_plugins.errors import SamPluginsError

# How OME writes what napari and pint call units.
_OME_UNITS = {
    "meter": "m",
    "centimeter": "cm",
    "millimeter": "mm",
    "micrometer": "µm",
    "nanometer": "nm",
    "angstrom": "Å",
}


class CannotSaveError(SamPluginsError):
    """The layer does not go into a file of this kind."""


def write_coco_file(path: str, data: Any, layer: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer as COCO instances.

    Parameters
    ----------
    path : str
        The file.
    data : array-like of shape (..., H, W), integer
        The layer's data.
    layer : mapping
        The layer's parameters.

    Returns
    -------
    list of str
        What was written.
    """
    from sam_plugins.datasets.coco import write_coco

    with _saying_why():
        write_coco(path, images_of(data, layer))
    return [path]


def write_coco_of_many(path: str, layers: Sequence[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write several Labels layers, each of an image of its own, as one COCO file.

    Parameters
    ----------
    path : str
        The file.
    layers : sequence of tuple
        Data, parameters and type of each layer.

    Returns
    -------
    list of str
        What was written.
    """
    from sam_plugins.datasets.coco import write_coco

    with _saying_why():
        write_coco(path, [image for data, layer, _ in layers for image in images_of(data, layer)])
    return [path]


def write_sa1b_file(path: str, data: Any, layer: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer of two dimensions in the layout of SA-1B.

    Parameters
    ----------
    path : str
        The file.
    data : array-like of shape (H, W), integer
        The layer's data.
    layer : mapping
        The layer's parameters.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    CannotSaveError
        If the layer has more dimensions.
    """
    from sam_plugins.datasets.sa1b import write_sa1b

    with _saying_why():
        images = images_of(data, layer)
        if images[0].index:
            raise ValueError(
                f"an SA-1B file holds one 2-D image, but {layer.get('name')!r} is a stack: save "
                "it as COCO, GeoJSON or TIFF"
            )
        write_sa1b(path, images[0])
    return [path]


def write_geojson_file(path: str, data: Any, layer: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer as GeoJSON for QuPath.

    Parameters
    ----------
    path : str
        The file.
    data : array-like of shape (H, W), (Z, H, W) or (T, Z, H, W), integer
        The layer's data.
    layer : mapping
        The layer's parameters.

    Returns
    -------
    list of str
        What was written.
    """
    from sam_plugins.datasets.geojson import write_geojson

    with _saying_why():
        write_geojson(path, images_of(data, layer))
    return [path]


def write_label_file(path: str, data: Any, layer: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer as TIFF, with the size of a pixel.

    Parameters
    ----------
    path : str
        The file.
    data : array-like of shape (H, W), (Z, H, W) or (T, Z, H, W), integer
        The layer's data.
    layer : mapping
        The layer's parameters.

    Returns
    -------
    list of str
        What was written.
    """
    from sam_plugins.datasets.label_images import write_labels

    labels = finest(data)
    scale = [abs(float(each)) for each in layer.get("scale", ())]
    unit = _unit(layer.get("units"))
    # Numbers without a unit are taken for micrometres, as other programs do.
    known = unit is not None or any(each != 1 for each in scale)
    with _saying_why():
        write_labels(path, labels, scale=scale if known else None, unit=unit or "µm")
    return [path]


@contextmanager
def _saying_why() -> Iterator[None]:
    """Turn ValueError into another: napari takes it for "no such writer" and says nothing."""
    try:
        yield
    except ValueError as error:
        raise CannotSaveError(str(error)) from error


def _unit(units: Any) -> str | None:
    """The length that the last axis is measured in, as OME names it."""
    return _OME_UNITS.get(str(units[-1])) if units else None
