"""SA-1B as it was released: images beside their JSON files, in folders or tar files of many.

``sa_000000/sa_1.jpg`` and ``sa_000000/sa_1.json``, or both in ``sa_000000.tar``, which WebDataset
and everything else that reads tar files one after the other takes as it is.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject
from sam_plugins.datasets.json_files import StrPath, write_json
from sam_plugins.datasets.sa1b import sa1b_content
from sam_plugins.files import atomic_path
from sam_plugins.masks import rle

# The released images are shortened to so many pixels on their short side (paper, §5).
SHORT_SIDE = 1500

# Images in a folder or tar file; those of the release hold about 11 000.
PER_SHARD = 1000

# Of the JPEG files.
QUALITY = 95


@dataclass(frozen=True)
class Entry:
    """One image of a dataset that is written.

    Parameters
    ----------
    annotated : AnnotatedImage
        Its masks. Its id names the files: ``sa_ID.jpg``, ``sa_ID.json``.
    read : callable
        Gives the image, (H, W, 3), uint8.
    made_with : str
        What tells whether an image that was written before is still the same.
    """

    annotated: AnnotatedImage
    read: Callable[[], NDArray[np.uint8]]
    made_with: str = ""


def shortened(
    image: NDArray[np.uint8], annotated: AnnotatedImage, short_side: int
) -> tuple[NDArray[np.uint8], AnnotatedImage]:
    """Make an image and its masks smaller, if its short side is longer than that.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    annotated : AnnotatedImage
        Its masks.
    short_side : int
        In pixels.

    Returns
    -------
    image : ndarray of shape (h, w, 3), uint8
    annotated : AnnotatedImage
        Masks of the same size; those that vanish are left out. Points and crops are scaled.
    """
    height, width = annotated.image_size
    factor = short_side / min(height, width)
    if factor >= 1:
        return image, annotated
    size = max(1, round(height * factor)), max(1, round(width * factor))
    small = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    scale = np.array([size[1] / width, size[0] / height])
    objects = (_shortened(each, size, scale) for each in annotated.objects)
    kept = tuple(each for each in objects if each.area)
    return np.asarray(small), replace(annotated, image_size=size, objects=kept)


def _shortened(
    each: AnnotatedObject, size: tuple[int, int], scale: NDArray[np.float64]
) -> AnnotatedObject:
    mask = rle.decode(each.segmentation)
    # The pixel in whose middle the small pixel's middle lies.
    rows = ((np.arange(size[0]) + 0.5) / scale[1]).astype(int).clip(0, mask.shape[0] - 1)
    columns = ((np.arange(size[1]) + 0.5) / scale[0]).astype(int).clip(0, mask.shape[1] - 1)
    points = tuple((x * float(scale[0]), y * float(scale[1])) for x, y in each.point_coords)
    crop = each.crop_box
    if crop is not None:
        x, y, w, h = (round(side * float(scale[n % 2])) for n, side in enumerate(crop))
        crop = (x, y, w, h)
    small = rle.encode(mask[np.ix_(rows, columns)])
    return replace(each, segmentation=small, point_coords=points, crop_box=crop)


def write_shards(
    folder: StrPath,
    entries: Iterable[Entry],
    *,
    tar: bool = False,
    per_shard: int = PER_SHARD,
    short_side: int | None = SHORT_SIDE,
) -> Iterator[tuple[str, bool]]:
    """Write a dataset, from where an earlier call was stopped.

    Parameters
    ----------
    folder : path-like
        Made if it is missing.
    entries : iterable of Entry
        The same in the same order give the same files.
    tar : bool
        Tar files in place of folders.
    per_shard : int
        Images in each.
    short_side : int, optional
        Larger images are shortened to it; None leaves all as they are.

    Yields
    ------
    name : str
        Of an image.
    fresh : bool
        Whether it was written now; False if it was there.

    Raises
    ------
    ValueError
        If there is no image in a shard.

    Notes
    -----
    A tar file is there when it is complete; of a folder, an image is when its JSON file is. Beside
    each shard a hidden file tells what it was made from.
    """
    if per_shard < 1:
        raise ValueError(f"a shard holds 1 image or more, got {per_shard}")
    waiting = iter(entries)
    number = 0
    while batch := list(islice(waiting, per_shard)):
        place = Path(folder, f"sa_{number:06d}")
        made_with = json.dumps([short_side, [_identity(each) for each in batch]])
        record = place.with_name(f".{place.name}.json")
        shard = _Shard(place, tuple(batch), short_side, record, made_with)
        yield from shard.write_tar() if tar else shard.write_folder()
        number += 1


def _identity(entry: Entry) -> list[object]:
    return [entry.annotated.id, entry.annotated.file_name, entry.made_with]


@dataclass(frozen=True)
class _Shard:
    """A folder or a tar file that is written, and the record of what it was made from."""

    place: Path
    batch: tuple[Entry, ...]
    short_side: int | None
    record: Path
    made_with: str

    @property
    def _same(self) -> bool:
        return self.record.is_file() and self.record.read_text("utf-8") == self.made_with

    def _note(self) -> None:
        with atomic_path(self.record) as temporary:
            temporary.write_text(self.made_with, encoding="utf-8")

    def write_folder(self) -> Iterator[tuple[str, bool]]:
        names = {_stem(each) for each in self.batch}
        if not self._same:
            for old in self.place.glob("sa_*.json"):
                old.unlink()
            self._note()
        for old in self.place.glob("sa_*.*"):
            if old.stem not in names:
                old.unlink()
        for entry in self.batch:
            path = self.place / f"{_stem(entry)}.json"
            if path.is_file():
                yield path.stem, False
                continue
            picture, content = _files(entry, self.short_side)
            with atomic_path(path.with_suffix(".jpg")) as temporary:
                temporary.write_bytes(picture)
            write_json(path, content)
            yield path.stem, True

    def write_tar(self) -> Iterator[tuple[str, bool]]:
        path = self.place.with_name(f"{self.place.name}.tar")
        if self._same and path.is_file():
            yield from ((_stem(each), False) for each in self.batch)
            return
        path.unlink(missing_ok=True)
        with atomic_path(path) as temporary, tarfile.open(temporary, "w") as archive:
            for entry in self.batch:
                picture, content = _files(entry, self.short_side)
                text = json.dumps(content, allow_nan=False).encode()
                for suffix, data in ((".jpg", picture), (".json", text)):
                    member = tarfile.TarInfo(f"{_stem(entry)}{suffix}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        self._note()
        yield from ((_stem(each), True) for each in self.batch)


def _stem(entry: Entry) -> str:
    return f"sa_{entry.annotated.id}"


def _files(entry: Entry, short_side: int | None) -> tuple[bytes, dict[str, object]]:
    image, annotated = entry.read(), entry.annotated
    if short_side is not None:
        image, annotated = shortened(image, annotated, short_side)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="JPEG", quality=QUALITY)
    named = replace(annotated, file_name=f"{_stem(entry)}.jpg")
    return stream.getvalue(), sa1b_content(named)
