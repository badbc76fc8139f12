"""Objects of COCO and LVIS files, and boxes of COCO results files, as the measures take them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from sam_plugins.datasets.coco import decode_segmentation
from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.average_precision import Federation, TrueObject

# LVIS's names of how many training images a category is in.
FREQUENCIES = {"f": "frequent", "c": "common", "r": "rare"}


# So many files that do not fit are named.
NAMED = 5


@dataclass(frozen=True, eq=False)
class Annotations:
    """A COCO or LVIS file.

    Parameters
    ----------
    files : mapping of int to str
        By image: its file; of LVIS, with the folder that COCO has it in.
    sizes : mapping of int to tuple of int
        By image: (H, W) in pixels.
    truths : list of TrueObject
        All objects.
    frequency : mapping of int to str
        By category: ``"f"``, ``"c"`` or ``"r"``; empty where the file does not say.
    federation : Federation or None
        Of an LVIS file.
    """

    files: Mapping[int, str]
    sizes: Mapping[int, tuple[int, int]]
    truths: list[TrueObject]
    frequency: Mapping[int, str]
    federation: Federation | None


@dataclass(frozen=True)
class Detection:
    """A box of a detector.

    Parameters
    ----------
    image, category : int
        Ids.
    box : tuple of float
        x0, y0, x1, y1 in pixels.
    score : float
        Higher is surer.
    """

    image: int
    category: int
    box: tuple[float, float, float, float]
    score: float


def read_annotations(path: str | os.PathLike[str]) -> Annotations:
    """Read a COCO or LVIS file of objects.

    Parameters
    ----------
    path : path-like
        The JSON file.

    Returns
    -------
    Annotations

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SamPluginsError
        If it is damaged or lacks something.
    """
    content = _json(path)
    try:
        images = {int(each["id"]): each for each in content["images"]}
        sizes = {id_: (int(x["height"]), int(x["width"])) for id_, x in images.items()}
        truths = []
        for each in content["annotations"]:
            rle = decode_segmentation(each["segmentation"], sizes[int(each["image_id"])])
            truths.append(
                TrueObject(
                    image=int(each["image_id"]),
                    category=int(each["category_id"]),
                    rle=rle,
                    area=float(each["area"]),
                    crowd=bool(each.get("iscrowd", 0)),
                )
            )
        categories = content.get("categories", [])
        frequency = {int(x["id"]): str(x["frequency"]) for x in categories if "frequency" in x}
        return Annotations(
            {number: _file_name(each) for number, each in images.items()},
            sizes,
            truths,
            frequency,
            _federation(images),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SamPluginsError(f"{path} is no COCO or LVIS file: {error!r}") from error


def find_images(
    known: Annotations, folder: str | os.PathLike[str], images: Sequence[int]
) -> dict[int, Path]:
    """Find the files of images, before hours are spent on those that come first.

    Parameters
    ----------
    known : Annotations
        The images.
    folder : path-like
        Where their files are: as they are named, or all side by side.
    images : sequence of int
        Which of them.

    Returns
    -------
    dict of int to Path

    Raises
    ------
    SamPluginsError
        If files are missing, are no images, or have another size than the annotations say.
    """
    found, wrong = {}, []
    for number in images:
        named = Path(folder) / known.files[number]
        path = named if named.is_file() else Path(folder) / named.name
        try:
            with Image.open(path) as image:
                size = image.height, image.width
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            wrong.append(f"{named.name} is {'missing' if missing else 'no image'}")
            continue
        height, width = known.sizes[number]
        if size != (height, width):
            wrong.append(
                f"{path.name} has {size[1]} x {size[0]} pixels in place of {width} x {height}"
            )
        found[number] = path
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise SamPluginsError(
            f"{len(wrong)} of {len(images)} images in {folder} do not fit the annotations: "
            f"{'; '.join(wrong[:NAMED])}{more}"
        )
    return found


def read_detections(path: str | os.PathLike[str]) -> list[Detection]:
    """Read a COCO results file with boxes.

    Parameters
    ----------
    path : path-like
        A JSON list of ``image_id``, ``category_id``, ``bbox`` (x, y, width, height) and ``score``.

    Returns
    -------
    list of Detection
        In the file's order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SamPluginsError
        If it is damaged or lacks something.
    """
    found = []
    try:
        for each in _json(path):
            x, y, width, height = (float(side) for side in each["bbox"])
            box = (x, y, x + width, y + height)
            ids = int(each["image_id"]), int(each["category_id"])
            found.append(Detection(*ids, box, float(each["score"])))
    except (KeyError, TypeError, ValueError) as error:
        raise SamPluginsError(f"{path} is no COCO results file with boxes: {error!r}") from error
    return found


def _json(path: str | os.PathLike[str]) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SamPluginsError(f"{path} is damaged or no JSON: {error}") from error


def _file_name(image: dict[str, Any]) -> str:
    # LVIS has only the address, whose end is folder and file of COCO.
    return str(image.get("file_name") or "/".join(str(image["coco_url"]).split("/")[-2:]))


def _federation(images: Mapping[int, dict[str, Any]]) -> Federation | None:
    if not any("neg_category_ids" in each for each in images.values()):
        return None
    return Federation(
        {number: frozenset(each.get("neg_category_ids", ())) for number, each in images.items()},
        {
            number: frozenset(each.get("not_exhaustive_category_ids", ()))
            for number, each in images.items()
        },
    )
