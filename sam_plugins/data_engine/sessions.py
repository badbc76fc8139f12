"""Sessions of the napari plugin: the masks that were committed, with the clicks that they took."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sam_plugins.data_engine.records import EngineError, SourceImage
from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject
from sam_plugins.images import read_image
from sam_plugins.masks.labels import labels_to_rles
from sam_plugins.regions import ImageStack
from sam_plugins.session import ArrayTarget, Session
from sam_plugins.session.journal import read_journal
from sam_plugins.session.objects import ObjectRecord
from sam_plugins.session.store import image_key


def read_sessions(folder: Path, images: Sequence[SourceImage]) -> list[AnnotatedImage]:
    """Read the newest session of each image.

    Parameters
    ----------
    folder : Path
        Searched recursively for journals: the plugin's folder of sessions, or a copy of it.
    images : sequence of SourceImage
        What the sessions may be of. They are told by their pixels, not by names.

    Returns
    -------
    list of AnnotatedImage
        Of the images that a session was found of.

    Raises
    ------
    EngineError
        If there is no session of any image.
    """
    newest: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.jsonl"), key=lambda each: each.stat().st_mtime_ns):
        newest[path.parent.parent.name] = path  # KEY/NUMBER/PLANE.jsonl
    found = []
    for image in images:
        journal = newest.get(_pixels_key(image))
        if journal is not None:
            found.append(_read(journal, image))
    if not found:
        raise EngineError(f"no session in {folder} is of an image of this engine")
    return found


def _pixels_key(image: SourceImage) -> str:
    return image_key(ImageStack((read_image(image.path, page=image.page),)))


def _read(path: Path, image: SourceImage) -> AnnotatedImage:
    with tempfile.TemporaryDirectory() as temporary:
        # A copy: a session that is restored goes on with its journal.
        copy = shutil.copy(path, temporary)
        entries = list(read_journal(copy))
        height, width = (int(side) for side in entries[0]["size"])
        labels = np.zeros((height, width), dtype=np.uint32)
        session = Session.restore(ArrayTarget(labels), copy)
        session.close()
    seconds = seconds_of(entries)
    objects = tuple(
        _object(label, encoded, session.objects.get(label), seconds.get(label))
        for label, encoded in labels_to_rles(labels).items()
    )
    return AnnotatedImage(image.name, (height, width), objects)


def _object(
    label: int, encoded: dict[str, Any], record: ObjectRecord | None, seconds: float | None
) -> AnnotatedObject:
    if record is None:
        return AnnotatedObject(label, encoded, seconds=seconds)
    prompts = record.prompts
    return AnnotatedObject(
        label,
        encoded,
        predicted_iou=record.predicted_iou,
        point_coords=prompts.points,
        clicks=len(prompts.points) + len(prompts.boxes),
        seconds=seconds,
    )


def seconds_of(entries: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    """How long each object took: from the first action after the object before to its commit.

    Parameters
    ----------
    entries : iterable of dict
        Of a journal, which tells the time of each action.

    Returns
    -------
    dict of int to float
        By object; without those of journals that tell no times.
    """
    found: dict[int, float] = {}
    first: float | None = None
    for entry in entries:
        if "at" not in entry:
            continue
        now = float(entry["at"])
        start = now if first is None else first
        first = start
        for label, before, after in entry.get("do", {}).get("records", ()):
            if before is None and after is not None:
                found[int(label)] = max(0.0, now - start)
                first = None
    return found
