"""COCO instances files: many images with their objects and classes in one JSON file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from sam_plugins.datasets.annotations import (
    DEFAULT_CLASS,
    AnnotatedImage,
    AnnotatedObject,
    ObjectClass,
    all_classes,
    distinct_numbers,
)
from sam_plugins.datasets.json_files import (
    StrPath,
    as_color,
    as_list,
    as_score,
    read_json,
    reading,
    write_json,
)
from sam_plugins.errors import AnnotationFileError
from sam_plugins.masks import rle as rle_codec
from sam_plugins.masks.polygons import mask_to_polygons, polygons_to_coco

Segmentation = Literal["rle", "polygons"]

# Polygons may reach over the image's border, but not by more than so many times its size.
MOST_TIMES_OUTSIDE = 10


def write_coco(
    path: StrPath, images: Sequence[AnnotatedImage], *, segmentation: Segmentation = "rle"
) -> None:
    """Write images with their objects as one COCO instances file.

    Parameters
    ----------
    path : path-like
        The JSON file.
    images : sequence of AnnotatedImage
        Slices of a stack are images of the same file name.
    segmentation : str
        ``"rle"``, or ``"polygons"`` for programs that know nothing else. Objects with holes, which
        COCO's polygons cannot have, and crowds are run-length encoded all the same.

    Raises
    ------
    ValueError
        If the form of segmentation is unknown.

    Notes
    -----
    Numbers that images, objects and classes had in the file they come from are kept where they are
    unique. Beyond COCO's own fields there are, where they are known, ``label`` (the object's value
    in a label image), ``predicted_iou``, ``stability_score``, ``point_coords``, ``crop_box``,
    ``clicks`` and ``seconds`` of objects, ``color`` of classes and ``index`` of slices; other
    programs pass over them.
    """
    if segmentation not in get_args(Segmentation):
        raise ValueError(f"segmentation must be 'rle' or 'polygons', got {segmentation!r}")
    classes = all_classes(images) or [ObjectClass(DEFAULT_CLASS)]
    class_ids = distinct_numbers([each.id for each in classes])
    id_of = {each.name: number for each, number in zip(classes, class_ids, strict=True)}
    image_ids = distinct_numbers([image.id for image in images])
    numbered = [
        (number, each)
        for number, image in zip(image_ids, images, strict=True)
        for each in image.objects
    ]
    ids = distinct_numbers([each.id for _, each in numbered])
    content = {
        "info": {"description": "Masks by sam-plugins"},
        "licenses": [],
        "categories": [
            _category(each, number) for each, number in zip(classes, class_ids, strict=True)
        ],
        "images": [_image(image, number) for image, number in zip(images, image_ids, strict=True)],
        "annotations": [
            {
                "id": number,
                "image_id": image_id,
                "category_id": id_of[each.class_name],
                **_annotation(each, segmentation),
            }
            for number, (image_id, each) in zip(ids, numbered, strict=True)
        ],
    }
    write_json(path, content)


def read_coco(path: StrPath) -> list[AnnotatedImage]:
    """Read a COCO instances file.

    Parameters
    ----------
    path : path-like
        The JSON file. Segmentations may be polygons, compressed or uncompressed RLE.

    Returns
    -------
    list of AnnotatedImage
        In the file's order. Labels are those that `write_coco` wrote; other objects are labelled
        from 1 in each image.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AnnotationFileError
        If the file is damaged or malformed: names the file and the annotation.
    """
    content = read_json(path)
    if not {"images", "annotations"} <= content.keys():
        raise AnnotationFileError(f"{path} is no COCO file: it lacks images or annotations")
    with reading(str(path)):
        classes = [_read_class(each) for each in content.get("categories") or []]
        name_of = {each.id: each.name for each in classes}
        found = {image["id"]: image for image in as_list(content, "images")}
        by_image = _by_image(path, found, as_list(content, "annotations"))
    images = []
    for number, (image_id, image) in enumerate(found.items()):
        with reading(f"{path}, image {number} (id {image_id})"):
            size = int(image["height"]), int(image["width"])
            objects = _read_objects(by_image[image_id], size, name_of)
            images.append(
                AnnotatedImage(
                    file_name=str(image["file_name"]),
                    image_size=size,
                    objects=tuple(objects),
                    classes=tuple(classes),
                    index=tuple(int(each) for each in image.get("index", ())),
                    id=image_id,
                )
            )
    return images


def decode_segmentation(segmentation: Any, size: tuple[int, int]) -> rle_codec.Rle:
    """Turn any of COCO's forms of a mask into one.

    Parameters
    ----------
    segmentation : list or dict
        Polygons, each a flat list x0, y0, x1, y1, ... in pixels, or an RLE.
    size : tuple of int
        (H, W) of the image, in pixels.

    Returns
    -------
    dict
        Compressed COCO RLE of that size.

    Raises
    ------
    ValueError
        If it is malformed, empty, or of another size.
    """
    if isinstance(segmentation, dict):
        rle = rle_codec.from_uncompressed(segmentation)
        if tuple(rle["size"]) != size:
            raise ValueError(f"the mask is {tuple(rle['size'])} but the image is {size}")
        return rle
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("there is no segmentation: polygons or an RLE are needed, not only a box")
    from pycocotools import mask as coco

    polygons = [_polygon(each, size) for each in segmentation]
    merged = coco.merge(coco.frPyObjects(polygons, *size))
    return {"size": list(size), "counts": merged["counts"].decode("ascii")}


def _polygon(flat: Any, size: tuple[int, int]) -> list[float]:
    """Check what pycocotools would crash on or read as something else."""
    if not isinstance(flat, list):
        raise ValueError("a polygon is a flat list of x0, y0, x1, y1, ...")
    corners = [float(each) for each in flat]
    if len(corners) < 6 or len(corners) % 2:
        raise ValueError(f"a polygon has x and y of three corners or more, got {len(corners)}")
    # It follows outlines step by step, however long they are.
    reach = MOST_TIMES_OUTSIDE * max(size)
    if not all(abs(each) <= reach for each in corners):
        raise ValueError(f"a polygon goes to {max(corners, key=abs)}, far outside of the image")
    return corners


def _by_image(
    path: StrPath, images: Mapping[Any, Any], annotations: Sequence[Any]
) -> dict[Any, list[tuple[str, dict[str, Any]]]]:
    """The annotations of each image, each with where it stands in the file."""
    found: dict[Any, list[tuple[str, dict[str, Any]]]] = {number: [] for number in images}
    for number, annotation in enumerate(annotations):
        with reading(f"{path}, annotation {number}"):
            where = f"{path}, annotation {number} (id {annotation.get('id')})"
        with reading(where):
            if annotation["image_id"] not in images:
                raise ValueError(f"there is no image {annotation['image_id']}")
            found[annotation["image_id"]].append((where, annotation))
    return found


def _read_objects(
    annotations: Iterable[tuple[str, dict[str, Any]]],
    size: tuple[int, int],
    name_of: dict[Any, str],
) -> Iterable[AnnotatedObject]:
    pairs = list(annotations)
    # Not by id: other programs number over all images, and higher than labels go.
    labels = distinct_numbers([annotation.get("label") for _, annotation in pairs])
    for label, (where, annotation) in zip(labels, pairs, strict=True):
        with reading(where):
            category = annotation.get("category_id")
            if name_of and category not in name_of:
                raise ValueError(f"there is no category {category}")
            yield AnnotatedObject(
                label=label,
                segmentation=decode_segmentation(annotation["segmentation"], size),
                class_name=name_of.get(category, str(category)),
                crowd=bool(annotation.get("iscrowd", 0)),
                id=annotation.get("id"),
                **read_scores(annotation),
            )


def read_scores(annotation: dict[str, Any]) -> dict[str, Any]:
    """The scores that a model gave, as COCO's extra fields and as SA-1B have them.

    Parameters
    ----------
    annotation : dict
        With ``predicted_iou`` (or ``score``), ``stability_score``, ``point_coords``, ``crop_box``,
        ``clicks`` and ``seconds``; each may be missing.

    Returns
    -------
    dict
        Parameters of `AnnotatedObject`.
    """
    crop = annotation.get("crop_box")
    points = annotation.get("point_coords") or ()
    x, y, width, height = (int(side) for side in crop) if crop else (0, 0, 0, 0)
    return {
        "predicted_iou": as_score(annotation.get("predicted_iou", annotation.get("score"))),
        "stability_score": as_score(annotation.get("stability_score")),
        "point_coords": tuple((float(px), float(py)) for px, py in points),
        "crop_box": (x, y, width, height) if crop else None,
        "clicks": None if annotation.get("clicks") is None else int(annotation["clicks"]),
        "seconds": as_score(annotation.get("seconds")),
    }


def _read_class(category: dict[str, Any]) -> ObjectClass:
    return ObjectClass(str(category["name"]), as_color(category.get("color")), int(category["id"]))


def _category(each: ObjectClass, number: int) -> dict[str, Any]:
    color = {} if each.color is None else {"color": list(each.color)}
    return {"id": number, "name": each.name, "supercategory": "", **color}


def _image(image: AnnotatedImage, number: int) -> dict[str, Any]:
    height, width = image.image_size
    index = {"index": list(image.index)} if image.index else {}
    return {
        "id": number,
        "file_name": image.file_name,
        "height": height,
        "width": width,
        **index,
    }


def _annotation(each: AnnotatedObject, form: Segmentation) -> dict[str, Any]:
    known = {
        "predicted_iou": each.predicted_iou,
        "stability_score": each.stability_score,
        "point_coords": [list(point) for point in each.point_coords] or None,
        "crop_box": None if each.crop_box is None else list(each.crop_box),
        "clicks": each.clicks,
        "seconds": each.seconds,
    }
    return {
        "iscrowd": int(each.crowd),
        "label": each.label,
        "segmentation": _encoded(each, form),
        "area": each.area,
        "bbox": list(each.box),
        **{name: value for name, value in known.items() if value is not None},
    }


def _encoded(each: AnnotatedObject, form: Segmentation) -> Any:
    if form == "polygons" and not each.crowd:
        polygons = mask_to_polygons(rle_codec.decode(each.segmentation))
        if polygons and not any(polygon.holes for polygon in polygons):
            return polygons_to_coco(polygons)
    return dict(each.segmentation)
