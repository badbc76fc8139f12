"""The dataset that an engine has made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sam_plugins.data_engine.engine import Engine
from sam_plugins.data_engine.exporting import works
from sam_plugins.data_engine.records import SourceImage, Work
from sam_plugins.datasets.coco import write_coco
from sam_plugins.datasets.shards import PER_SHARD, SHORT_SIDE, Entry, write_shards
from sam_plugins.images import Planes, read_image, to_rgb


def export_coco(engine: Engine, path: Path, *, stages: Sequence[int] = (3, 2, 1)) -> int:
    """Write all masks as one COCO file.

    Parameters
    ----------
    engine : Engine
        The engine.
    path : Path
        The file.
    stages : sequence of int
        See `works`.

    Returns
    -------
    int
        How many images.
    """
    images = [work.annotated() for _, work in works(engine, stages)]
    write_coco(path, images)
    return len(images)


def export_sa1b(
    engine: Engine,
    folder: Path,
    *,
    stages: Sequence[int] = (3, 2, 1),
    tar: bool = False,
    per_shard: int = PER_SHARD,
    short_side: int | None = SHORT_SIDE,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write images and masks in SA-1B's layout; what is there already stays.

    Parameters
    ----------
    engine : Engine
        The engine.
    folder : Path
        Made if it is missing.
    stages : sequence of int
        See `works`.
    tar, per_shard, short_side
        See `write_shards`.
    progress : callable, optional
        Called with (done, total) images.

    Returns
    -------
    int
        How many images.
    """
    total = len(engine.state.images())
    entries = (_entry(image, work) for image, work in works(engine, stages))
    count = 0
    for _ in write_shards(folder, entries, tar=tar, per_shard=per_shard, short_side=short_side):
        count += 1
        if progress is not None:
            progress(count, total)
    return count


def _entry(image: SourceImage, work: Work) -> Entry:
    masks = hashlib.sha256(image.identity().encode())
    for each in work.objects:
        masks.update(str(each.segmentation["counts"]).encode())
    # Numbers of a COCO file that they came from may stand twice.
    objects = tuple(replace(each, id=None) for each in work.objects)
    annotated = replace(work.annotated(), objects=objects)
    return Entry(annotated, lambda: _pixels(image), masks.hexdigest()[:16])


def _pixels(image: SourceImage) -> NDArray[np.uint8]:
    return to_rgb(Planes.loaded(read_image(image.path, page=image.page)))
