"""What people made, taken over: from files of annotations and from napari's sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sam_plugins.data_engine.engine import Engine
from sam_plugins.data_engine.records import EngineError, Source, SourceImage, Work
from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject
from sam_plugins.datasets.formats import read_annotations
from sam_plugins.masks import rle

# A prefilled mask that comes back with a higher IoU than this was left as it was.
SAME = 0.95


@dataclass(frozen=True)
class Imported:
    """What was taken over.

    Parameters
    ----------
    images : int
        Images that people have worked on.
    masks : int
        Masks that people made.
    kept : int
        Prefilled masks that they left as they were.
    unknown : tuple of str
        Names that no image of the engine has: left out.
    """

    images: int
    masks: int
    kept: int
    unknown: tuple[str, ...]


def read_work(path: Path, engine: Engine) -> list[AnnotatedImage]:
    """Read annotations in any of the formats, or sessions of the napari plugin.

    Parameters
    ----------
    path : Path
        See `sam_plugins.datasets.formats.read_annotations`; or a folder with the plugin's sessions.
    engine : Engine
        Its images are what sessions can be of.

    Returns
    -------
    list of AnnotatedImage
    """
    if path.is_dir() and any(path.rglob("*.jsonl")):
        from sam_plugins.data_engine.sessions import read_sessions

        return read_sessions(path, engine.state.images())
    return read_annotations(path)


def import_work(engine: Engine, images: Iterable[AnnotatedImage], *, stage: int) -> Imported:
    """Keep what people made, in place of what was known of these images in this stage.

    Parameters
    ----------
    engine : Engine
        The engine.
    images : iterable of AnnotatedImage
        Of any tool. Images are told by their names: whole, without folders, or without suffix, as
        far as that is unique.
    stage : int
        1: all masks are by people. 2: those that were prefilled and came back unchanged are the
        model's.

    Returns
    -------
    Imported

    Raises
    ------
    EngineError
        If a mask is not of its image's size, and for two images of one name: nothing of the image
        is taken over then.
    """
    find = _Names(engine.state.images())
    unknown, seen = [], Counter[str]()
    masks = kept = 0
    for each in images:
        image = find(each.file_name)
        if image is None:
            unknown.append(each.file_name)
            continue
        seen[image.name] += 1
        if seen[image.name] > 1:
            raise EngineError(f"{image.name} stands twice in what is imported")
        work = _work(engine, image, each, stage)
        engine.state.put(work, stage=stage, source="person")
        by_people = work.sources.count("person")
        masks += by_people
        kept += len(work.sources) - by_people
    return Imported(len(seen), masks, kept, tuple(unknown))


def _work(engine: Engine, image: SourceImage, given: AnnotatedImage, stage: int) -> Work:
    objects = tuple(
        replace(each, label=number, clicks=_clicks(each))
        for number, each in enumerate(given.objects, start=1)
    )
    before = engine.state.work(image, stage) if stage > 1 else None
    if before is None:
        return Work(image, given.image_size, objects, ["person"] * len(objects))
    if before.size != given.image_size:
        raise EngineError(
            f"the masks of {image.name} are of {given.image_size}, the image is {before.size}"
        )
    prefilled = [
        each for each, by in zip(before.objects, before.sources, strict=True) if by == "model"
    ]
    overlap = rle.iou(
        [each.segmentation for each in objects], [each.segmentation for each in prefilled]
    )
    result: list[AnnotatedObject] = []
    sources: list[Source] = []
    for number, each in enumerate(objects):
        same = overlap[number].max(initial=0) > SAME
        model = prefilled[int(overlap[number].argmax())] if same else None
        result.append(each if model is None else replace(model, label=each.label))
        sources.append("person" if model is None else "model")
    return Work(image, given.image_size, tuple(result), tuple(sources))


def _clicks(each: AnnotatedObject) -> int | None:
    """How many clicks a mask took, if that is known: of a model's own mask the points are not."""
    if each.clicks is not None or not each.point_coords:
        return each.clicks
    return len(each.point_coords)


class _Names:
    """Finds the engine's image that a file means."""

    def __init__(self, images: Sequence[SourceImage]) -> None:
        self._by_name: dict[str, list[SourceImage]] = {}
        for image in images:
            whole = PurePosixPath(image.name)
            for key in {image.name, whole.name, str(whole.with_suffix("")), whole.stem}:
                self._by_name.setdefault(key, []).append(image)

    def __call__(self, file_name: str) -> SourceImage | None:
        given = PurePosixPath(file_name.replace("\\", "/"))
        for key in (str(given), given.name, str(given.with_suffix("")), given.stem):
            found = self._by_name.get(key, [])
            exact = [image for image in found if image.name == key]
            if len(exact or found) == 1:
                return (exact or found)[0]
        return None
