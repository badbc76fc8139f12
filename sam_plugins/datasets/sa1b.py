"""SA-1B's layout: a folder with one JSON file for each image, as the dataset's paper has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sam_plugins.datasets.annotations import (
    DEFAULT_CLASS,
    AnnotatedImage,
    AnnotatedObject,
    all_classes,
    distinct_numbers,
)
from sam_plugins.datasets.coco import decode_segmentation, read_scores
from sam_plugins.datasets.json_files import StrPath, as_list, read_json, reading, write_json
from sam_plugins.errors import AnnotationFileError
from sam_plugins.files import visible_files

SUFFIX = ".json"


def write_sa1b(path: StrPath, image: AnnotatedImage) -> None:
    """Write one image's masks in the layout of SA-1B.

    Parameters
    ----------
    path : path-like
        The JSON file.
    image : AnnotatedImage
        Its objects become the annotations.

    Notes
    -----
    Boxes are SA-1B's here: width is last column minus first, one less than COCO's. Scores that are
    not known are null, and the crop is then the whole image. ``label`` and, where it says
    something, ``category`` are added.
    """
    write_json(path, sa1b_content(image))


def sa1b_content(image: AnnotatedImage) -> dict[str, Any]:
    """What an annotation file of SA-1B holds.

    Parameters
    ----------
    image : AnnotatedImage
        See `write_sa1b`.

    Returns
    -------
    dict
        As JSON holds it.
    """
    height, width = image.image_size
    index = {"index": list(image.index)} if image.index else {}
    ids = distinct_numbers([each.id for each in image.objects])
    return {
        "image": {
            "image_id": 1 if image.id is None else image.id,
            "width": width,
            "height": height,
            "file_name": image.file_name,
            **index,
        },
        "annotations": [
            _annotation(each, number, image)
            for number, each in zip(ids, image.objects, strict=True)
        ],
    }


def read_sa1b(path: StrPath) -> AnnotatedImage:
    """Read an annotation file of SA-1B.

    Parameters
    ----------
    path : path-like
        A JSON file with an image and its annotations.

    Returns
    -------
    AnnotatedImage
        Labels are those that `write_sa1b` wrote; other objects are labelled from 1.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AnnotationFileError
        If the file is damaged or malformed: names the file and the annotation.
    """
    return read_sa1b_content(read_json(path), str(path))


def read_sa1b_content(content: dict[str, Any], where: str) -> AnnotatedImage:
    """Read what an annotation file of SA-1B holds.

    Parameters
    ----------
    content : dict
        As JSON holds it.
    where : str
        The file, for errors.

    Returns
    -------
    AnnotatedImage
        See `read_sa1b`.

    Raises
    ------
    AnnotationFileError
        If it is malformed.
    """
    with reading(where):
        told = content["image"]
        size = int(told["height"]), int(told["width"])
        annotations = as_list(content, "annotations")
        labels = distinct_numbers([each.get("label") for each in annotations])
        objects = []
        for number, (label, annotation) in enumerate(zip(labels, annotations, strict=True)):
            with reading(f"{where}, annotation {number} (id {annotation.get('id')})"):
                objects.append(
                    AnnotatedObject(
                        label=label,
                        segmentation=decode_segmentation(annotation["segmentation"], size),
                        class_name=str(annotation.get("category", DEFAULT_CLASS)),
                        id=annotation.get("id"),
                        **read_scores(annotation),
                    )
                )
        image = AnnotatedImage(
            file_name=str(told["file_name"]),
            image_size=size,
            objects=tuple(objects),
            index=tuple(int(each) for each in told.get("index", ())),
            id=told.get("image_id"),
        )
        return replace(image, classes=tuple(all_classes([image])))


def write_sa1b_folder(folder: StrPath, images: Sequence[AnnotatedImage]) -> list[Path]:
    """Write many images, a file each.

    Parameters
    ----------
    folder : path-like
        Made if it is missing.
    images : sequence of AnnotatedImage
        The files are named after the images' files: ``a.png.json``, and ``b.tif.p0003.json`` for
        the fourth slice of a stack.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ValueError
        See `paths_in`; nothing is written then.
    """
    paths = paths_in(folder, [_file_of(image) for image in images])
    for path, image in zip(paths, images, strict=True):
        write_sa1b(path, image)
    return paths


def read_sa1b_folder(folder: StrPath) -> list[AnnotatedImage]:
    """Read all files of a folder in SA-1B's layout.

    Parameters
    ----------
    folder : path-like
        Searched recursively for JSON files; hidden files and folders are passed over.

    Returns
    -------
    list of AnnotatedImage
        In the order of the files' names.

    Raises
    ------
    AnnotationFileError
        If there is no file, or one is damaged or malformed.
    """
    paths = visible_files(folder, [SUFFIX])
    if not paths:
        raise AnnotationFileError(f"there is no JSON file in {folder}")
    return [read_sa1b(path) for path in paths]


def paths_in(folder: StrPath, names: Sequence[str]) -> list[Path]:
    """Where files named after images go.

    Parameters
    ----------
    folder : path-like
        The folder.
    names : sequence of str
        Relative paths, which a file of annotations may have brought in.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError
        If a name stands twice, or leads out of the folder.
    """
    base = Path(folder).resolve()
    paths = [Path(folder, name) for name in names]
    for path, count in Counter(paths).items():
        if count > 1:
            raise ValueError(f"two images would be written to {path}")
        if not path.resolve().is_relative_to(base):
            raise ValueError(f"{path} would be outside of {folder}")
    return paths


def _file_of(image: AnnotatedImage) -> str:
    page = "".join(f".p{number:04d}" for number in image.index)
    return f"{image.file_name}{page}{SUFFIX}"


def _annotation(each: AnnotatedObject, number: int, image: AnnotatedImage) -> dict[str, Any]:
    height, width = image.image_size
    x, y, columns, rows = each.box
    category = {} if each.class_name == DEFAULT_CLASS else {"category": each.class_name}
    return {
        "id": number,
        "label": each.label,
        "segmentation": dict(each.segmentation),
        "area": each.area,
        "bbox": [x, y, max(columns - 1, 0), max(rows - 1, 0)],
        "predicted_iou": each.predicted_iou,
        "point_coords": [list(point) for point in each.point_coords],
        "stability_score": each.stability_score,
        "crop_box": list(each.crop_box or (0, 0, width, height)),
        **category,
    }
