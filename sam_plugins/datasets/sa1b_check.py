"""Is a dataset in SA-1B's layout whole? Every file is read, every mask decoded."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_plugins.datasets.annotations import AnnotatedImage
from sam_plugins.datasets.json_files import StrPath
from sam_plugins.datasets.sa1b import read_sa1b_content
from sam_plugins.errors import AnnotationFileError
from sam_plugins.files import visible_files


@dataclass(frozen=True, eq=False)
class Pair:
    """An image with its masks, as it is read.

    Parameters
    ----------
    name : str
        The JSON file, with its shard.
    annotated : AnnotatedImage
        The masks.
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    """

    name: str
    annotated: AnnotatedImage
    image: NDArray[np.uint8]


@dataclass
class Check:
    """What was found in a dataset.

    Parameters
    ----------
    images, masks : int
        Those that are whole.
    problems : list of str
        One line for each image that is not, or for each shard: which, and why.
    """

    images: int = 0
    masks: int = 0
    problems: list[str] = field(default_factory=list)


def read_shards(folder: StrPath, *, problems: list[str] | None = None) -> Iterator[Pair]:
    """Read a dataset image by image.

    Parameters
    ----------
    folder : path-like
        With JSON files and images beside each other, at any depth, or tar files of them; or one
        tar file.
    problems : list of str, optional
        Gets a line for each image that cannot be used, which is then passed over. By default the
        first of them ends the reading.

    Yields
    ------
    Pair

    Raises
    ------
    AnnotationFileError
        If there is nothing to read; or names what is damaged, unless ``problems`` is given.
    """
    place = Path(folder)
    files = [place] if place.is_file() else visible_files(place, [".json", ".tar"])
    if not files:
        raise AnnotationFileError(f"there is no JSON and no tar file in {folder}")
    for path in files:
        for name, texts in _documents(path, place, problems):
            try:
                yield _pair(name, *texts)
            except AnnotationFileError as error:
                if problems is None:
                    raise
                problems.append(str(error))
    if place.is_dir():
        _report_lonely(place, problems)


def check_sa1b(folder: StrPath) -> Check:
    """Read all of a dataset, and count and name what is wrong.

    Parameters
    ----------
    folder : path-like
        See `read_shards`.

    Returns
    -------
    Check

    Raises
    ------
    AnnotationFileError
        If there is nothing to check.
    """
    found = Check()
    for pair in read_shards(folder, problems=found.problems):
        found.images += 1
        found.masks += len(pair.annotated.objects)
    return found


# Reads a file by its name.
Files = dict[str, bytes | Path]

# What a JSON file says, if there is one, and the files beside it.
Texts = tuple[bytes | None, Files]


def _documents(path: Path, base: Path, problems: list[str] | None) -> Iterator[tuple[str, Texts]]:
    """The JSON files of a path, each with the files beside it."""
    name = path.name if path == base else path.relative_to(base).as_posix()
    if path.suffix.lower() == ".json":
        beside: Files = {each.name: each for each in path.parent.glob(f"{path.stem}.*")}
        beside |= {each.name: each for each in _named_image(path)}
        yield name, (path.read_bytes(), beside)
        return
    try:
        with tarfile.open(path) as archive:
            yield from _of_tar(name, archive)
    except (tarfile.TarError, EOFError, OSError) as error:
        if problems is None:
            raise AnnotationFileError(
                f"{name} is no tar file, or a damaged one: {error}"
            ) from error
        problems.append(f"{name} is damaged: {error}")


def _named_image(path: Path) -> list[Path]:
    """The image that a JSON file names, if it can be told without reading all of it."""
    try:
        named = json.loads(path.read_bytes())["image"]["file_name"]
        beside = path.parent / PurePosixPath(str(named)).name
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [beside] if beside.is_file() else []


def _of_tar(name: str, archive: tarfile.TarFile) -> Iterator[tuple[str, Texts]]:
    """Members one after the other: those of one stem follow each other, as in WebDataset."""
    stem, beside, text = "", Files(), None
    # Not all at once: what stands before a tear is whole.
    for member in chain(archive, [None]):
        following = "" if member is None else str(PurePosixPath(member.name).with_suffix(""))
        if following != stem:
            if text is not None or any(_is_of_sa1b(each) for each in beside):
                yield f"{name}/{stem}.json", (text, beside)
            stem, beside, text = following, Files(), None
        if member is None or not member.isfile():
            continue
        stream = archive.extractfile(member)
        data = b"" if stream is None else stream.read()
        if member.name.lower().endswith(".json"):
            text = data
        else:
            beside[PurePosixPath(member.name).name] = data


def _is_of_sa1b(name: str) -> bool:
    """Whether an image's name says that a JSON file belongs to it."""
    path = PurePosixPath(name)
    return path.suffix.lower() == ".jpg" and path.name.startswith("sa_")


def _pair(name: str, text: bytes | None, beside: Files) -> Pair:
    if text is None:
        raise AnnotationFileError(f"{name} is missing, but its image is there")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AnnotationFileError(f"{name} is damaged or no JSON: {error}") from error
    if not isinstance(content, dict):
        raise AnnotationFileError(f"{name} must hold a JSON object")
    annotated = read_sa1b_content(content, name)
    _check_numbers(name, content, annotated)
    wanted = PurePosixPath(annotated.file_name).name
    if wanted not in beside:
        raise AnnotationFileError(f"{name}: the image {wanted} is missing")
    return Pair(name, annotated, _pixels(name, beside[wanted], annotated))


def _pixels(name: str, source: bytes | Path, annotated: AnnotatedImage) -> NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
            image = np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise AnnotationFileError(f"{name}: the image cannot be read: {error}") from error
    if image.shape[:2] != annotated.image_size:
        height, width = annotated.image_size
        raise AnnotationFileError(
            f"{name}: the image is {image.shape[1]} x {image.shape[0]} pixels, not "
            f"{width} x {height}"
        )
    return image


def _check_numbers(name: str, content: dict[str, Any], annotated: AnnotatedImage) -> None:
    for told, each in zip(content["annotations"], annotated.objects, strict=True):
        area = told.get("area")
        if area is not None and area != each.area:
            raise AnnotationFileError(
                f"{name}, annotation {told.get('id')}: the area is {area}, but the mask has "
                f"{each.area} pixels"
            )


def _report_lonely(folder: Path, problems: list[str] | None) -> None:
    """Images without a JSON file, beside those that have one."""
    if problems is None:
        return
    for path in visible_files(folder, [".jpg"]):
        if _is_of_sa1b(path.name) and not path.with_suffix(".json").is_file():
            problems.append(f"{path.relative_to(folder).as_posix()} has no JSON file")
