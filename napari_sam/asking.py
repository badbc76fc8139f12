"""``Asking``: the model's part, off-thread. Which region is embedded, what is asked about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from napari_sam.geometry import visible_box
from napari_sam.models import get_predictor
from napari_sam.worker import Task, Worker
from sam_plugins.images import Normalization
from sam_plugins.regions import (
    Plane,
    choose_region,
    contains,
    embed_region,
    find_normalization,
    plane_size,
    region_rgb,
)
from sam_plugins.session import Overlap, PromptState, Region

if TYPE_CHECKING:
    from napari_sam.work import Work
    from sam_plugins.embedding import ImageEmbedding
    from sam_plugins.predictor import Predictor

Box = tuple[int, int, int, int]
Failed = Callable[[Exception], None]


@dataclass(frozen=True)
class Options:
    """What the person chose.

    Parameters
    ----------
    model, device : str
        See `get_predictor`.
    normalization : Normalization
        How values become what the model sees, and which channels.
    overlap : Overlap
        What happens where a new object lies on others.
    one_click : bool
        Whether each click is an object by itself.
    box_to_object : bool
        Whether each box is.
    follow_zoom : bool
        Whether the part that is seen is embedded; else always the whole plane.
    """

    model: str = "lite"
    device: str = "auto"
    normalization: Normalization = field(default_factory=Normalization)
    overlap: Overlap = Overlap.KEEP
    one_click: bool = False
    box_to_object: bool = False
    follow_zoom: bool = True

    def same_model(self, other: Options) -> bool:
        """Whether the model would answer the same.

        Parameters
        ----------
        other : Options

        Returns
        -------
        bool
        """
        names = ("model", "device", "normalization", "follow_zoom")
        return all(getattr(self, name) == getattr(other, name) for name in names)


@dataclass(frozen=True, eq=False)
class View:
    """What is to be embedded: a slice, and which part of it is looked at.

    Parameters
    ----------
    work : Work
        The image.
    plane : tuple of int or None
        The slice.
    options : Options
        Model and normalisation.
    visible : tuple of float or None
        x0, y0, x1, y1 of what is seen; None for the whole slice.
    embedded : dict
        The embedding of the last time, by all that it depends on. Used in the worker's thread only.
    """

    work: Work
    plane: Plane
    options: Options
    visible: Any
    embedded: dict[Any, ImageEmbedding]

    def embed(
        self, task: Task, *, include: Any = None, region: Box | None = None
    ) -> tuple[Predictor, ImageEmbedding, Box]:
        """Load the model and embed; to be called in the worker's thread.

        Parameters
        ----------
        task : Task
            Who waits for it.
        include : tuple of float, optional
            x0, y0, x1, y1 of what must lie in the region.
        region : tuple of int, optional
            The region, if it is chosen already.

        Returns
        -------
        predictor : Predictor
        embedding : ImageEmbedding
        region : tuple of int
            What is embedded: x0, y0, x1, y1.
        """
        predictor = get_predictor(self.options.model, self.options.device, progress=task.progress)
        stack = self.work.stack
        size = plane_size(self.plane, self.work.shape)
        box = region or choose_region(
            size, predictor.model.frame_size, visible=self.visible, include=include
        )
        task.pause()
        # The cache knows an image by its content, which takes time to read: not at each click.
        key = (predictor, self.work, self.plane, box, self.options.normalization)
        if key not in self.embedded:
            settings = find_normalization(stack, self.plane, self.options.normalization)
            found = embed_region(predictor, stack, self.plane, box, normalization=settings)
            self.embedded.clear()
            self.embedded[key] = found
        task.pause()
        return predictor, self.embedded[key], box

    def pixels(self, predictor: Predictor, box: Box) -> NDArray[np.uint8]:
        """Read what was embedded, as the model sees it; to be called in the worker's thread.

        Parameters
        ----------
        predictor : Predictor
            From `embed`.
        box : tuple of int
            The region, from `embed`.

        Returns
        -------
        ndarray of shape (h, w, 3), uint8
            RGB.
        """
        stack = self.work.stack
        settings = find_normalization(stack, self.plane, self.options.normalization)
        return region_rgb(predictor, stack, self.plane, box, normalization=settings)


class Asking(QObject):
    """Asks the model, in the background; what is newer replaces what is older."""

    def __init__(self, viewer: Any, worker: Worker, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._worker = worker
        self.region: Box | None = None
        self._embedded: dict[Any, ImageEmbedding] = {}

    def forget(self) -> None:
        """Look at the image anew: it is another one, or was changed."""
        self.region = None
        self._embedded = {}

    def view(self, work: Work, plane: Plane, options: Options) -> View:
        """What a slice looks like now.

        Parameters
        ----------
        work : Work
            The image.
        plane : tuple of int or None
            The slice.
        options : Options
            What the person chose.

        Returns
        -------
        View
        """
        seen = visible_box(self._viewer, work.image, plane) if options.follow_zoom else None
        return View(work, plane, options, seen, self._embedded)

    def ask(self, view: View, done: Callable[[], None], failed: Failed) -> None:
        """Ask about the current object of a slice, if something was said that waits for an answer.

        Parameters
        ----------
        view : View
            The slice.
        done : callable
            Called when the session has the answer.
        failed : callable
            Called with what went wrong.
        """
        session = view.work.session(view.plane)
        if not session.waiting:
            return
        version, include = session.version, extent_of(session.prompts)
        known = self.region
        if known is not None and not contains(known, include):
            known = None

        def job(task: Task) -> Any:
            from sam_plugins.session.answers import Answer

            predictor, embedding, box = view.embed(task, include=include, region=known)
            region = Region(box)
            prompt = session.prompt(region)
            if prompt is None:
                return None, box
            answer = Answer(predictor.predict(embedding, prompt), region)
            # Made here and kept there: the window only draws it.
            answer.cutout(answer.best)
            return answer, box

        def take(result: Any) -> None:
            answer, self.region = result
            if answer is not None and session.answer(answer, version):
                done()

        self._worker.submit("click", job, take, failed)

    def embed(self, view: View, done: Callable[[], None], failed: Failed) -> None:
        """Embed what is seen, so that the first click is answered at once.

        Parameters
        ----------
        view : View
            The slice.
        done, failed : callable
            See `ask`.
        """

        def take(box: Box) -> None:
            # A draft keeps the region that its answers are about.
            if view.work.session(view.plane).prompts.empty:
                self.region = box
            done()

        self._worker.submit("embed", lambda task: view.embed(task)[2], take, failed)


def extent_of(said: PromptState) -> tuple[float, float, float, float]:
    """The box around all that was said.

    Parameters
    ----------
    said : PromptState
        Not empty.

    Returns
    -------
    tuple of float
        x0, y0, x1, y1.
    """
    boxes = [*said.boxes, *([said.mask.box] if said.mask else [])]
    boxes += [(x, y, x, y) for x, y in said.points]
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
