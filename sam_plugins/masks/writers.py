"""Files of masks: COCO JSON, SA-1B JSON, label images, overlays. Each is whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidMaskError
from sam_plugins.files import atomic_path
from sam_plugins.masks.records import MaskRecord

StrPath = str | os.PathLike[str]


@dataclass(frozen=True)
class ImageRecords:
    """One image's masks.

    Parameters
    ----------
    file_name : str
        The image's file, as the reader of the written file will look for it.
    image_size : tuple of int
        (H, W), in pixels.
    records : sequence of MaskRecord
        May be empty.
    """

    file_name: str
    image_size: tuple[int, int]
    records: Sequence[MaskRecord]


def write_coco(path: StrPath, images: Sequence[ImageRecords], *, category: str = "object") -> None:
    """Write the masks of many images as one COCO instances file.

    Parameters
    ----------
    path : path-like
        The JSON file.
    images : sequence of ImageRecords
        Numbered from 1 in the given order, as are all masks.
    category : str
        Name of the one category.

    Notes
    -----
    Boxes are COCO's here: width is the number of columns, one more than in a `MaskRecord`.
    ``predicted_iou``, ``stability_score``, ``point_coords`` and ``crop_box`` are kept as extra
    fields.
    """
    annotations: list[dict[str, Any]] = []
    for image_id, image in enumerate(images, start=1):
        for record in image.records:
            x, y, width, height = record.bbox
            fields = record.as_dict()
            fields["bbox"] = [x, y, width + 1, height + 1]
            identity = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1}
            annotations.append({**identity, "iscrowd": 0, **fields})
    content = {
        "info": {"description": "Masks by sam-plugins"},
        "licenses": [],
        "categories": [{"id": 1, "name": category, "supercategory": ""}],
        "images": [
            {
                "id": image_id,
                "file_name": image.file_name,
                "height": image.image_size[0],
                "width": image.image_size[1],
            }
            for image_id, image in enumerate(images, start=1)
        ],
        "annotations": annotations,
    }
    _write_json(path, content)


def read_coco(path: StrPath) -> list[ImageRecords]:
    """Read a file that `write_coco` wrote.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    list of ImageRecords
        One an image, in the file's order.

    Raises
    ------
    InvalidMaskError
        If the file is truncated or something else.
    """
    content = _read_json(path)
    with _malformed(path):
        by_image: dict[int, list[MaskRecord]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            x, y, width, height = annotation["bbox"]
            fields = {**annotation, "bbox": [x, y, width - 1, height - 1]}
            by_image[annotation["image_id"]].append(MaskRecord.from_dict(fields))
        return [
            ImageRecords(
                file_name=str(image["file_name"]),
                image_size=(int(image["height"]), int(image["width"])),
                records=tuple(by_image[image["id"]]),
            )
            for image in content["images"]
        ]


def write_sa1b(path: StrPath, image: ImageRecords, *, image_id: int = 1) -> None:
    """Write one image's masks in the layout of SA-1B.

    Parameters
    ----------
    path : path-like
        The JSON file.
    image : ImageRecords
        Its masks are numbered from 1.
    image_id : int
        Number of the image.
    """
    height, width = image.image_size
    content = {
        "image": {
            "image_id": image_id,
            "width": width,
            "height": height,
            "file_name": image.file_name,
        },
        "annotations": [
            {"id": number, **record.as_dict()}
            for number, record in enumerate(image.records, start=1)
        ],
    }
    _write_json(path, content)


def read_sa1b(path: StrPath) -> ImageRecords:
    """Read an annotation file of SA-1B.

    Parameters
    ----------
    path : path-like
        A JSON file with an image and its annotations.

    Returns
    -------
    ImageRecords
        The image's name, its size and its masks.

    Raises
    ------
    InvalidMaskError
        If the file is truncated or something else, or a mask is not of the image's size.
    """
    content = _read_json(path)
    with _malformed(path):
        told = content["image"]
        size = int(told["height"]), int(told["width"])
        records = tuple(MaskRecord.from_dict(each) for each in content["annotations"])
        for record in records:
            if record.image_size != size:
                raise InvalidMaskError(f"a mask is {record.image_size} but the image is {size}")
        return ImageRecords(str(told["file_name"]), size, records)


def write_labels(path: StrPath, labels: NDArray[Any]) -> None:
    """Write a label image as TIFF or PNG, by the path's suffix.

    Parameters
    ----------
    path : path-like
        Ends in ``.tif``, ``.tiff`` or ``.png``.
    labels : ndarray of shape (H, W), integer
        PNG holds labels up to 65535.

    Raises
    ------
    ValueError
        If the suffix is another one or the labels do not fit a PNG.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".tif", ".tiff"):
        import tifffile

        with atomic_path(path) as temporary:
            tifffile.imwrite(temporary, labels, compression="zlib")
    elif suffix == ".png":
        from PIL import Image

        if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.uint16).max):
            raise ValueError(f"a PNG holds labels up to 65535, got {labels.max()}: use TIFF")
        with atomic_path(path) as temporary:
            Image.fromarray(labels.astype(np.uint16)).save(temporary)
    else:
        raise ValueError(f"labels are written as .tif, .tiff or .png, got {suffix!r}")


def _write_json(path: StrPath, content: Any) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")


def _read_json(path: StrPath) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidMaskError(f"{Path(path).name} is damaged or no JSON: {error}") from error


class _malformed:  # noqa: N801 - used as a context manager, like a function
    """Name the file in errors of what is read from it."""

    def __init__(self, path: StrPath) -> None:
        self.name = Path(path).name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | IndexError | AttributeError):
            raise InvalidMaskError(f"{self.name} is malformed: {error}") from error
