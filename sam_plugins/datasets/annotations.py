"""Annotated images: what COCO, SA-1B, GeoJSON and label images have in common."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidMaskError
from sam_plugins.masks import rle as rle_codec
from sam_plugins.masks.labels import labels_to_rles, rles_to_labels
from sam_plugins.masks.records import MaskRecord
from sam_plugins.masks.windows import decode_window

# The class of an object that nobody has given one.
DEFAULT_CLASS = "object"

# Label images have 32 bits a pixel at the most.
MOST_LABEL = int(np.iinfo(np.uint32).max)


@dataclass(frozen=True)
class ObjectClass:
    """A class that objects can be of.

    Parameters
    ----------
    name : str
        Shown to people, and what `AnnotatedObject.class_name` refers to.
    color : tuple of int, optional
        Red, green, blue; 0 to 255.
    id : int, optional
        The number it has in a COCO file.
    """

    name: str
    color: tuple[int, int, int] | None = None
    id: int | None = None


@dataclass(frozen=True)
class AnnotatedObject:
    """One object of an image.

    Parameters
    ----------
    label : int
        Its value in a label image, 1 or more.
    segmentation : dict
        Compressed COCO RLE.
    class_name : str
        Its class.
    predicted_iou, stability_score : float, optional
        A model's scores, if one made the mask.
    point_coords : tuple of (float, float)
        The points that it was prompted with: x then y, in pixels of the image.
    crop_box : tuple of int, optional
        x, y, width, height of the crop that it was found in.
    crowd : bool
        Whether it stands for several objects that are not told apart.
    id : int or str, optional
        What it is called in the file that it comes from: a number in COCO, a UUID in QuPath.
    clicks : int, optional
        How many clicks and boxes a person made it with.
    seconds : float, optional
        How long that took.
    """

    label: int
    segmentation: rle_codec.Rle
    class_name: str = DEFAULT_CLASS
    predicted_iou: float | None = None
    stability_score: float | None = None
    point_coords: tuple[tuple[float, float], ...] = ()
    crop_box: tuple[int, int, int, int] | None = None
    crowd: bool = False
    id: int | str | None = None
    clicks: int | None = None
    seconds: float | None = None

    @property
    def area(self) -> int:
        """In pixels."""
        return rle_codec.area(self.segmentation)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height in pixels as COCO counts them: one pixel is 1 wide."""
        window, (x, y) = decode_window(self.segmentation)
        return x, y, window.shape[1], window.shape[0]

    @classmethod
    def from_record(cls, record: MaskRecord, label: int) -> AnnotatedObject:
        """Take over an automatic mask.

        Parameters
        ----------
        record : MaskRecord
            The mask.
        label : int
            What it is called in a label image.

        Returns
        -------
        AnnotatedObject
        """
        return cls(
            label=label,
            segmentation=record.segmentation,
            predicted_iou=record.predicted_iou,
            stability_score=record.stability_score,
            point_coords=record.point_coords,
            crop_box=record.crop_box,
        )


@dataclass(frozen=True)
class AnnotatedImage:
    """One image, or one slice of a stack, with its objects.

    Parameters
    ----------
    file_name : str
        The image's file, as the reader of a written file will look for it.
    image_size : tuple of int
        (H, W), in pixels.
    objects : tuple of AnnotatedObject
        May overlap, may be none. Each label stands for one object.
    classes : tuple of ObjectClass
        Also those that no object is of.
    index : tuple of int
        Which slice of a stack it is: a number for each axis before rows and columns.
    id : int, optional
        The number it has in a COCO or SA-1B file.

    Raises
    ------
    InvalidMaskError
        If a label is less than 1 or stands twice, or a mask is not of the image's size.
    """

    file_name: str
    image_size: tuple[int, int]
    objects: tuple[AnnotatedObject, ...]
    classes: tuple[ObjectClass, ...] = ()
    index: tuple[int, ...] = ()
    id: int | None = None

    def __post_init__(self) -> None:
        seen = set()
        for each in self.objects:
            if not 1 <= each.label <= MOST_LABEL or each.label in seen:
                raise InvalidMaskError(
                    f"labels are whole numbers from 1 to {MOST_LABEL}, each for one object; got "
                    f"{each.label}{' twice' if each.label in seen else ''}"
                )
            seen.add(each.label)
            size = tuple(each.segmentation["size"])
            if size != tuple(self.image_size):
                raise InvalidMaskError(
                    f"the mask of object {each.label} is {size} but the image is {self.image_size}"
                )

    @classmethod
    def from_records(
        cls, file_name: str, image_size: tuple[int, int], records: Sequence[MaskRecord]
    ) -> AnnotatedImage:
        """Take over automatic masks, which are labelled from 1.

        Parameters
        ----------
        file_name : str
            The image's file.
        image_size : tuple of int
            (H, W), in pixels.
        records : sequence of MaskRecord
            May be empty.

        Returns
        -------
        AnnotatedImage
        """
        objects = (AnnotatedObject.from_record(each, n) for n, each in enumerate(records, start=1))
        return cls(file_name, (int(image_size[0]), int(image_size[1])), tuple(objects))

    def labels(self) -> NDArray[Any]:
        """The label image, smaller objects on top: (H, W), uint16 (uint32 above 65535)."""
        areas = {each.label: each.area for each in self.objects}
        ordered = sorted(self.objects, key=lambda each: -areas[each.label])
        return rles_to_labels(
            [each.segmentation for each in ordered],
            [each.label for each in ordered],
            self.image_size,
            dtype=label_dtype(max(areas, default=0)),
        )


def label_dtype(highest: int) -> type[np.unsignedinteger[Any]]:
    """The smaller of the types that label images are written in.

    Parameters
    ----------
    highest : int
        The highest label.

    Returns
    -------
    dtype
        uint16 or uint32.

    Raises
    ------
    ValueError
        If neither holds it.
    """
    for dtype in (np.uint16, np.uint32):
        if highest <= np.iinfo(dtype).max:
            return dtype
    raise ValueError(f"labels go up to {np.iinfo(np.uint32).max}, got {highest}")


def images_from_labels(
    labels: NDArray[Any],
    file_name: str,
    *,
    details: Mapping[int, Mapping[str, Any]] | None = None,
    classes: Sequence[ObjectClass] = (),
) -> list[AnnotatedImage]:
    """Take apart a label image or a stack of them.

    Parameters
    ----------
    labels : ndarray of shape (..., H, W), integer
        0 is background. Every combination of leading indices is a slice.
    file_name : str
        The image's file.
    details : mapping, optional
        For each label what else is known: parameters of `AnnotatedObject` by name.
    classes : sequence of ObjectClass
        The classes that there are.

    Returns
    -------
    list of AnnotatedImage
        One a slice, in order; also those without objects.

    Raises
    ------
    ValueError
        If these are no label images.
    """
    array = np.asarray(labels)
    if array.ndim < 2 or array.dtype.kind not in "ui":
        raise ValueError(
            f"label images have axes (..., H, W) of integers, got {array.dtype} {array.shape}"
        )
    known = details or {}
    images = []
    for index in np.ndindex(array.shape[:-2]):
        objects = tuple(
            AnnotatedObject(label, rle, **known.get(label, {}))
            for label, rle in labels_to_rles(array[index]).items()
        )
        size = array.shape[-2:]
        images.append(AnnotatedImage(file_name, size, objects, tuple(classes), index))
    return images


def labels_from_images(images: Sequence[AnnotatedImage]) -> NDArray[Any]:
    """Put together one label image or the slices of one stack.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        One image, or slices of one size, at least one. Slices that are not there are empty.

    Returns
    -------
    ndarray of shape (..., H, W), uint16 (uint32 for labels above 65535)
        Smaller objects on top.

    Raises
    ------
    ValueError
        If the slices do not belong together.
    """
    sizes = {image.image_size for image in images}
    axes = {len(image.index) for image in images}
    if len(sizes) != 1 or len(axes) != 1 or len({image.index for image in images}) < len(images):
        raise ValueError("only slices of one stack, each once and of one size, make a label image")
    leading = np.max([image.index for image in images], axis=0, initial=-1).astype(int) + 1
    highest = max((each.label for image in images for each in image.objects), default=0)
    stack = np.zeros((*leading.tolist(), *sizes.pop()), dtype=label_dtype(highest))
    for image in images:
        stack[image.index] = image.labels()
    return stack


def group_stacks(images: Sequence[AnnotatedImage]) -> list[list[AnnotatedImage]]:
    """Bring together the slices of stacks.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Of many files.

    Returns
    -------
    list of list of AnnotatedImage
        Images that are no slice stand alone; the order is that of the first slices.
    """
    groups: dict[Any, list[AnnotatedImage]] = {}
    for number, image in enumerate(images):
        key = (image.file_name, image.image_size) if image.index else number
        groups.setdefault(key, []).append(image)
    return list(groups.values())


def all_classes(images: Sequence[AnnotatedImage]) -> list[ObjectClass]:
    """The classes of images, those that are used but not listed last.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        Of many files.

    Returns
    -------
    list of ObjectClass
        Each name once.
    """
    found: dict[str, ObjectClass] = {}
    for image in images:
        for each in image.classes:
            found.setdefault(each.name, each)
    for image in images:
        for one in image.objects:
            found.setdefault(one.class_name, ObjectClass(one.class_name))
    return list(found.values())


def distinct_numbers(given: Sequence[Any], groups: Sequence[Hashable] | None = None) -> list[int]:
    """Keep numbers that stand once, and number the rest.

    Parameters
    ----------
    given : sequence
        Whole numbers; anything else counts as none.
    groups : sequence, optional
        To which group each belongs; a number may stand once in each.

    Returns
    -------
    list of int
        The given number where it is the first of its kind; the others go on from the highest.

    Examples
    --------
    >>> distinct_numbers([7, None, 7, 2]), distinct_numbers([None, None])
    ([7, 8, 9, 2], [1, 2])
    """
    seen = set()
    numbers: list[int | None] = []
    for number, group in zip(given, groups or [None] * len(given), strict=True):
        fresh = isinstance(number, int) and number > 0 and (group, number) not in seen
        seen.add((group, number))
        numbers.append(number if fresh else None)
    free = itertools.count(max((each for each in numbers if each is not None), default=0) + 1)
    return [next(free) if each is None else each for each in numbers]
