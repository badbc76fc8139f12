"""The stages without people: masks of many images, complete one by one, whoever is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sam_plugins.data_engine.finding import Found, Recipe
from sam_plugins.data_engine.records import SourceImage, Work
from sam_plugins.data_engine.state import State
from sam_plugins.data_engine.workers import Workers, find_in_all
from sam_plugins.datasets.annotations import AnnotatedImage

Progress = Callable[[int, int], None]
Report = Callable[[str, str], None]


@dataclass(frozen=True)
class Tally:
    """What became of the images.

    Parameters
    ----------
    done, kept, failed : int
        Images with masks now; complete before; without masks.
    masks : int
        Found now.
    """

    done: int = 0
    kept: int = 0
    failed: int = 0
    masks: int = 0


def find_masks(
    state: State,
    recipe: Recipe,
    images: Sequence[SourceImage],
    *,
    stage: int,
    workers: Workers | None = None,
    progress: Progress | None = None,
    report: Report | None = None,
) -> Tally:
    """Find the masks of the images that have none yet, by this model and these settings.

    Parameters
    ----------
    state : State
        Where they are kept, image by image: what is killed goes on when it is called again.
    recipe : Recipe
        How they are found.
    images : sequence of SourceImage
        Which. Those that people have worked on in this stage are left alone.
    stage : int
        2 or 3.
    workers : Workers, optional
        By default this process.
    progress : callable, optional
        Called with (done, total) images.
    report : callable, optional
        Called with the name of an image that failed, and why.

    Returns
    -------
    Tally
    """
    with _threads_kept():
        return _find_masks(state, recipe, images, stage, workers or Workers(), progress, report)


def _find_masks(
    state: State,
    recipe: Recipe,
    images: Sequence[SourceImage],
    stage: int,
    workers: Workers,
    progress: Progress | None,
    report: Report | None,
) -> Tally:
    made_with = recipe.open().made_with
    done = state.done(stage)
    waiting, failed = [], 0
    for image in images:
        try:
            key = f"{made_with} {image.identity()}"
        except OSError as error:
            failed += 1
            _fail(state, Found(image, error=f"{error.strerror}: {image.path}"), stage, report)
            continue
        if image.id not in done or done[image.id] not in (("model", key), ("person", "")):
            waiting.append((image, key))
    kept = len(images) - len(waiting) - failed
    keys = {image.id: key for image, key in waiting}
    finished = masks = 0
    for found in find_in_all(recipe, [image for image, _ in waiting], workers):
        if found.error is None:
            finished += 1
            masks += len(found.records)
            state.put(_work(found), stage=stage, source="model", made_with=keys[found.image.id])
        else:
            failed += 1
            _fail(state, found, stage, report)
        if progress is not None:
            progress(kept + finished + failed, len(images))
    return Tally(finished, kept, failed, masks)


@contextmanager
def _threads_kept() -> Iterator[None]:
    """Leave the number of processor threads as it was; a recipe sets its own."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work(found: Found) -> Work:
    image = AnnotatedImage.from_records(found.image.name, found.size, found.records)
    return Work(found.image, found.size, image.objects, ["model"] * len(image.objects))


def _fail(state: State, found: Found, stage: int, report: Report | None) -> None:
    message = found.error or ""
    state.fail(found.image.id, stage=stage, message=message)
    if report is not None:
        report(found.image.name, message)
