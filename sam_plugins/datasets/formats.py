"""Which of the formats of annotations a file is in, and reading and writing any of them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from sam_plugins.datasets.annotations import (
    AnnotatedImage,
    group_stacks,
    images_from_labels,
    labels_from_images,
)
from sam_plugins.datasets.coco import read_coco, write_coco
from sam_plugins.datasets.geojson import read_geojson, write_geojson
from sam_plugins.datasets.json_files import StrPath, read_json
from sam_plugins.datasets.label_images import read_labels, write_labels
from sam_plugins.datasets.sa1b import read_sa1b, read_sa1b_folder, write_sa1b, write_sa1b_folder
from sam_plugins.errors import AnnotationFileError


class Format(StrEnum):
    """What annotations can be written as."""

    COCO = "coco"
    SA1B = "sa1b"
    GEOJSON = "geojson"
    LABELS = "labels"


# The longest that fits counts: "a.sa1b.json" is no COCO file.
_FORMATS = {
    ".sa1b.json": Format.SA1B,
    ".json": Format.COCO,
    ".geojson": Format.GEOJSON,
    ".tif": Format.LABELS,
    ".tiff": Format.LABELS,
    ".png": Format.LABELS,
}


def format_to_write(path: StrPath) -> Format:
    """The format that a name asks for.

    Parameters
    ----------
    path : path-like
        Ends in ``.json`` (COCO), ``.sa1b.json`` or nothing (a folder in SA-1B's layout),
        ``.geojson``, ``.tif``, ``.tiff`` or ``.png``.

    Returns
    -------
    Format

    Raises
    ------
    ValueError
        If it ends in something else.

    Examples
    --------
    >>> format_to_write("cells.SA1B.json"), format_to_write("cells.json")
    (<Format.SA1B: 'sa1b'>, <Format.COCO: 'coco'>)
    """
    name = Path(path).name.lower()
    if Path(path).is_dir() or not Path(path).suffix:
        return Format.SA1B
    for suffix, chosen in _FORMATS.items():
        if name.endswith(suffix):
            return chosen
    raise ValueError(f"{path} must end in one of {' '.join(_FORMATS)}, or be a folder for SA-1B")


def format_of(path: StrPath) -> Format:
    """The format that a file or folder is in, for JSON told by what it holds.

    Parameters
    ----------
    path : path-like
        A file or a folder.

    Returns
    -------
    Format

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    AnnotationFileError
        If a JSON file is damaged or none of these.
    """
    place = Path(path)
    if not place.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if place.is_dir():
        return Format.SA1B
    if place.suffix.lower() not in (".json", ".geojson"):
        return Format.LABELS
    content = read_json(place, list_as="features")
    if {"image", "annotations"} <= content.keys():
        return Format.SA1B
    if {"images", "annotations"} <= content.keys():
        return Format.COCO
    if content.get("type") in ("FeatureCollection", "Feature") or "features" in content:
        return Format.GEOJSON
    raise AnnotationFileError(
        f"{path} is no COCO instances file (images, annotations), no SA-1B file (image, "
        "annotations) and no GeoJSON (features)"
    )


def read_annotations(path: StrPath) -> list[AnnotatedImage]:
    """Read annotations in any of the formats.

    Parameters
    ----------
    path : path-like
        A COCO, SA-1B or GeoJSON file, a folder in SA-1B's layout, or a label image.

    Returns
    -------
    list of AnnotatedImage
        One an image, and one a slice of a stack.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    AnnotationFileError
        If a file is damaged, malformed or none of these.
    """
    chosen = format_of(path)
    if chosen is Format.COCO:
        return read_coco(path)
    if chosen is Format.GEOJSON:
        return read_geojson(path)
    if chosen is Format.LABELS:
        return images_from_labels(read_labels(path).labels, Path(path).name)
    return read_sa1b_folder(path) if Path(path).is_dir() else [read_sa1b(path)]


def write_annotations(
    path: StrPath,
    images: Sequence[AnnotatedImage],
    *,
    format: Format | None = None,  # noqa: A002 - as in Pillow and in imageio
) -> None:
    """Write annotations in any of the formats.

    Parameters
    ----------
    path : path-like
        The file, or for SA-1B also a folder.
    images : sequence of AnnotatedImage
        COCO and folders in SA-1B's layout hold any number; GeoJSON and label images one image or
        the slices of one stack, and an SA-1B file one image.
    format : Format, optional
        By default what `format_to_write` says.

    Raises
    ------
    ValueError
        If the format cannot hold these images.
    """
    chosen = format_to_write(path) if format is None else format
    if chosen is Format.COCO:
        write_coco(path, images)
    elif chosen is Format.SA1B and Path(path).suffix.lower() != ".json":
        write_sa1b_folder(path, images)
    elif chosen is Format.SA1B:
        if len(images) != 1:
            raise ValueError(
                f"an SA-1B file holds one image, got {len(images)}: give a folder, or use COCO"
            )
        write_sa1b(path, images[0])
    elif chosen is Format.GEOJSON:
        write_geojson(path, images)
    else:
        if len(group_stacks(images)) != 1:
            raise ValueError(
                f"a label image holds one image or stack, got {len(group_stacks(images))}"
            )
        write_labels(path, labels_from_images(images))
