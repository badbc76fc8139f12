"""Reading labelled images: a folder of images and label masks, or a COCO file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.datasets.coco import read_coco
from sam_plugins.errors import AnnotationFileError, SamPluginsError
from sam_plugins.images import Planes, read_image, to_rgb
from sam_plugins.masks import rle

# Names of the folder with the label images, beside ``images``.
MASK_FOLDERS = ("masks", "labels", "annotations")

# Smaller objects cannot be learned from: a stray pixel is no object.
LEAST_PIXELS = 9


class DataError(SamPluginsError, ValueError):
    """The labelled images cannot be used: missing, unreadable, or image and mask do not agree."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image with its true masks.

    Parameters
    ----------
    name : str
        The image's file.
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    objects : tuple of dict
        Run-length encoded masks, at least one; they may overlap.
    """

    name: str
    image: NDArray[np.uint8]
    objects: tuple[Any, ...]

    def masks(self) -> NDArray[np.bool_]:
        """Decode the masks.

        Returns
        -------
        ndarray of shape (K, H, W), bool
        """
        return np.stack([rle.decode(each) for each in self.objects])


def read_labelled(path: str | os.PathLike[str]) -> list[LabelledImage]:
    """Read labelled images.

    Parameters
    ----------
    path : path-like
        A folder with ``images/`` and one of `MASK_FOLDERS` beside it, where each image has a label
        image of the same stem: 0 is background, every other value an object; of a PNG with a
        palette the indices count, of a binary image what is true. Or a COCO file (``.json``) with
        the images beside it, or in an ``images`` folder beside it.

    Returns
    -------
    list of LabelledImage
        In the order of their names.

    Raises
    ------
    DataError
        If nothing is there, a file cannot be read, an image has no mask or one of another size, or
        no object is large enough. Names the file.
    """
    source = Path(path)
    if source.is_file() and source.suffix.lower() == ".json":
        found = _read_coco(source)
    elif source.is_dir():
        found = _read_folder(source)
    else:
        raise DataError(f"{source} is neither a folder nor a COCO file (.json)")
    if not found:
        raise DataError(f"there is no image in {source}")
    return found


def _read_folder(folder: Path) -> list[LabelledImage]:
    masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    if not (folder / "images").is_dir() or masks is None:
        raise DataError(
            f"{folder} must hold a folder 'images' and a folder 'masks' with label images of the "
            "same names"
        )
    found = []
    for image_path in sorted(p for p in (folder / "images").iterdir() if not _hidden(p)):
        beside = sorted(p for p in masks.glob(f"{_escaped(image_path.stem)}.*") if not _hidden(p))
        # "a.png" may have "a.ome.tif" for a label image, but not that of "a.b.png" beside it.
        mask = min(beside, key=lambda path: path.stem != image_path.stem, default=None)
        if mask is None:
            raise DataError(f"{image_path} has no label image in {masks}")
        labels = _read_labels(mask)
        objects = [labels == label for label in np.unique(labels[labels != 0])]
        found.append(_labelled(image_path, mask, [rle.encode(each) for each in objects]))
    return found


def _read_labels(path: Path) -> NDArray[Any]:
    """A label image of shape (H, W), integer or bool."""
    labels = _palette_indices(path)
    if labels is None:
        labels = np.squeeze(_read(path))
    if labels.ndim != 2 or labels.dtype.kind not in "uib":
        raise DataError(
            f"{path} is no label image: a 2-D image of whole numbers is needed, "
            f"got {labels.shape} {labels.dtype}"
        )
    return labels


def _palette_indices(path: Path) -> NDArray[np.uint8] | None:
    """The numbers of a PNG with a palette, in which labels are often kept, not their colours."""
    from PIL import Image, UnidentifiedImageError

    if path.suffix.lower() != ".png":
        return None
    try:
        with Image.open(path) as image:
            return np.asarray(image) if image.mode == "P" else None
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _read_coco(path: Path) -> list[LabelledImage]:
    try:
        images = read_coco(path)
    except AnnotationFileError as error:
        raise DataError(str(error)) from error
    found = []
    for image in sorted(images, key=lambda image: image.file_name):
        places = [path.parent / image.file_name, path.parent / "images" / image.file_name]
        place = next((p for p in places if p.is_file()), None)
        if place is None:
            raise DataError(f"{path} names {image.file_name}, which is not beside it")
        objects = [each.segmentation for each in image.objects if not each.crowd]
        found.append(_labelled(place, path, objects))
    return found


def _labelled(image_path: Path, mask_path: Path, objects: list[Any]) -> LabelledImage:
    image = to_rgb(Planes.loaded(_read(image_path)))
    size = image.shape[:2]
    for each in objects:
        if tuple(each["size"]) != size:
            height, width = each["size"]
            raise DataError(
                f"{mask_path} is {width} x {height} pixels, but {image_path} is "
                f"{size[1]} x {size[0]}"
            )
    large = tuple(each for each in objects if rle.area(each) >= LEAST_PIXELS)
    if not large:
        what = f"no object of {LEAST_PIXELS} pixels or more" if objects else "no object"
        raise DataError(f"{mask_path} has {what} for {image_path.name}: label it or leave it out")
    return LabelledImage(image_path.name, image, large)


def _read(path: Path) -> NDArray[Any]:
    try:
        return read_image(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.is_dir()


def _escaped(stem: str) -> str:
    from glob import escape

    return escape(stem)
