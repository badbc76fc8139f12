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
from sam_plugins.datasets.sa1b import (
    paths_in,
    read_sa1b,
    read_sa1b_folder,
    write_sa1b,
    write_sa1b_folder,
)
from sam_plugins.errors import AnnotationFileError
from sam_plugins.files import visible_files

# Of label images that are named after an image.
LABEL_SUFFIX = ".labels.tif"


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


def read_annotations(
    path: StrPath, *, image_size: tuple[int, int] | None = None
) -> list[AnnotatedImage]:
    """Read annotations in any of the formats.

    Parameters
    ----------
    path : path-like
        A COCO, SA-1B or GeoJSON file or a label image; or a folder, which is searched for JSON
        files in SA-1B's layout, if there are none for GeoJSON files, else for label images.
    image_size : tuple of int, optional
        (H, W) of the image, in pixels, for GeoJSON files that do not tell it.

    Returns
    -------
    list of AnnotatedImage
        One an image, and one a slice of a stack. Label images lend the image their name, without
        ``.labels.tif``.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    AnnotationFileError
        If a file is damaged, malformed or none of these, or a folder has none.
    """
    if Path(path).is_dir():
        return _read_folder(Path(path), image_size)
    chosen = format_of(path)
    if chosen is Format.COCO:
        return read_coco(path)
    if chosen is Format.SA1B:
        return [read_sa1b(path)]
    if chosen is Format.GEOJSON:
        return read_geojson(path, image_size=image_size)
    return images_from_labels(read_labels(path).labels, _image_name(Path(path).name))


def _read_folder(folder: Path, image_size: tuple[int, int] | None) -> list[AnnotatedImage]:
    if visible_files(folder, [".json"]):
        return read_sa1b_folder(folder)
    paths = visible_files(folder, [".geojson"])
    if paths:
        return [image for each in paths for image in read_geojson(each, image_size=image_size)]
    paths = visible_files(folder, [".tif", ".tiff", ".png"])
    if not paths:
        raise AnnotationFileError(f"there are no annotations in {folder}: no JSON, TIFF or PNG")
    return [
        image
        for each in paths
        for image in images_from_labels(
            read_labels(each).labels, _image_name(each.relative_to(folder).as_posix())
        )
    ]


def _image_name(name: str) -> str:
    return name[: -len(LABEL_SUFFIX)] if name.lower().endswith(LABEL_SUFFIX) else name


def write_annotations(
    path: StrPath,
    images: Sequence[AnnotatedImage],
    *,
    format: Format | None = None,  # noqa: A002 - as in Pillow and in imageio
    polygons: bool = False,
) -> list[Path]:
    """Write annotations in any of the formats.

    Parameters
    ----------
    path : path-like
        The file; or, without a suffix, a folder for files named after the images.
    images : sequence of AnnotatedImage
        A COCO file and a folder hold any number. A GeoJSON file and a label image hold one image,
        or the slices of one stack; an SA-1B file holds one image.
    format : Format, optional
        By default what `format_to_write` says.
    polygons : bool
        In COCO files write polygons, see `sam_plugins.datasets.coco.write_coco`.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ValueError
        If the format cannot hold these images.
    """
    chosen = format_to_write(path) if format is None else format
    place = Path(path)
    if chosen is Format.COCO:
        write_coco(place, images, segmentation="polygons" if polygons else "rle")
        return [place]
    if place.is_dir() or not place.suffix:
        return _write_folder(place, images, chosen)
    _write_one(place, images, chosen)
    return [place]


def _write_folder(folder: Path, images: Sequence[AnnotatedImage], chosen: Format) -> list[Path]:
    if chosen is Format.SA1B:
        return write_sa1b_folder(folder, images)
    suffix = LABEL_SUFFIX if chosen is Format.LABELS else ".geojson"
    stacks = group_stacks(images)
    paths = paths_in(folder, [f"{stack[0].file_name}{suffix}" for stack in stacks])
    for path, stack in zip(paths, stacks, strict=True):
        _write_one(path, stack, chosen)
    return paths


def _write_one(path: Path, images: Sequence[AnnotatedImage], chosen: Format) -> None:
    most = len(images) if chosen is Format.SA1B else len(group_stacks(images))
    if most != 1:
        raise ValueError(f"{path} holds one image, got {most}: name a folder, or use COCO")
    if chosen is Format.SA1B:
        write_sa1b(path, images[0])
    elif chosen is Format.GEOJSON:
        write_geojson(path, images)
    else:
        write_labels(path, labels_from_images(images))
