"""``Proposing``: segment everything, move sliders, accept what is good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_sam.camera import look_at
from napari_sam.worker import Task
from sam_plugins.prompts import Prompt
from sam_plugins.regions import Plane
from sam_plugins.session import Cutout, ProposalQueue, Region

if TYPE_CHECKING:
    from napari_sam.controller import Controller
    from napari_sam.work import Work
    from sam_plugins.automatic import Proposals
    from sam_plugins.masks.records import MaskRecord
    from sam_plugins.session import Target
    from sam_plugins.text.finding import TextFinder

# Side of the picture of all proposals, in pixels; larger regions are thinned out for display.
MOST_DRAWN = 2048

# Proposals are made with thresholds that are this much lower than those that suit the model, so
# that the sliders can go down.
SLACK = 0.3

# A proposal belongs to the box that was drawn if this part of it lies inside.
INSIDE = 0.9

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Thresholds:
    """What the sliders say.

    Parameters
    ----------
    pred_iou, stability : float
        Least predicted IoU and stability score.
    min_area : int
        Least area, in pixels.
    """

    pred_iou: float = 0.0
    stability: float = 0.0
    min_area: int = 0


@dataclass(frozen=True, eq=False)
class Found:
    """All that was found, before the sliders.

    Parameters
    ----------
    work : Work
        In which image.
    plane : tuple of int or None
        In which slice.
    region : tuple of int
        x0, y0, x1, y1 of what was embedded.
    limit : tuple of float or None
        The box that was drawn.
    proposals : Proposals or None
        The masks; None if a text found them.
    records : tuple of MaskRecord
        What a text found, with the score as the predicted IoU.
    told : str
        What was looked through for it, and how.
    """

    work: Work
    plane: Plane
    region: Box
    limit: Any
    proposals: Proposals | None
    records: tuple[MaskRecord, ...] = ()
    told: str = ""

    @property
    def target(self) -> Target:
        """The labels of the slice."""
        from napari_sam.work import SliceTarget

        return SliceTarget(self.work, self.plane)


class Proposing(QObject):
    """Automatic masks of what is seen, or of the box that was drawn.

    Parameters
    ----------
    controller : Controller
        Whose image, model and session they are for.
    """

    changed = Signal()

    def __init__(self, controller: Controller) -> None:
        super().__init__(controller)
        self._controller = controller
        self.points_per_side = 24
        self.thresholds: Thresholds | None = None
        self.count = 0
        self._found: Found | None = None
        self._queue: ProposalQueue | None = None
        self._finder: TextFinder | None = None

    @property
    def ready(self) -> bool:
        """Whether there are proposals to select from."""
        return self._found is not None

    def clear(self) -> None:
        """Forget all proposals."""
        for kind in ("propose", "select"):
            self._controller.worker.cancel(kind)
        if self._found is not None:
            self._found, self._queue, self.count = None, None, 0
            self._controller.layers.hide_proposals()
            self.changed.emit()

    def set_points(self, points_per_side: int) -> None:
        """Choose the grid of the next proposals.

        Parameters
        ----------
        points_per_side : int
            Points along each side.
        """
        self.points_per_side = points_per_side

    def segment_everything(self) -> None:
        """Propose masks for what is seen, or for the inside of the box."""
        controller = self._controller
        view, session = controller.view(), controller.session
        if view is None or session is None:
            controller.status.emit("Choose an image, shown in 2D")
            return
        self.clear()
        limit = session.prompts.boxes[-1] if session.prompts.boxes else None
        if limit is not None:
            controller.editing.clear()
            view = replace(view, visible=limit)
        side = self.points_per_side

        def job(task: Task) -> Any:
            from sam_plugins.automatic import propose

            predictor, embedding, box = view.embed(task, include=limit)
            settings, suggested = _settings(predictor, side, box, limit)
            proposals = propose(predictor, embedding, settings=settings, progress=task.progress)
            return Found(view.work, view.plane, box, limit, proposals), suggested

        def done(result: Any) -> None:
            self._found, suggested = result
            self.thresholds = self.thresholds or suggested
            self._select()

        controller.status.emit("Segmenting everything ...")
        controller.worker.submit("propose", job, done, controller.failed)

    def find_text(self, text: str) -> None:
        """Propose all objects that a text names.

        Parameters
        ----------
        text : str
            What is looked for.
        """
        controller = self._controller
        view = controller.view()
        if view is None:
            controller.status.emit("Choose an image, shown in 2D")
            return
        self.clear()

        def job(task: Task) -> Any:
            from sam_plugins.text.finding import TextFinder, text_of

            said = text_of(Prompt(text=text))
            finder = self._finder or TextFinder(view.embed(task)[0])
            finder.check(said)
            predictor, embedding, box = view.embed(task)
            if finder.predictor is not predictor:
                finder = TextFinder(predictor)
            self._finder = finder
            answer = finder.find_in(view.pixels(predictor, box), embedding, said)
            records = tuple(
                replace(record, predicted_iou=score)
                for record, score in zip(answer.records, answer.scores, strict=True)
            )
            return Found(view.work, view.plane, box, None, None, records, answer.told)

        def done(result: Any) -> None:
            self._found = result
            self.thresholds = self.thresholds or Thresholds()
            self._select()

        controller.status.emit(f"Looking for {text[:40]!r} ...")
        controller.worker.submit("propose", job, done, controller.failed)

    def set_thresholds(self, **changes: Any) -> None:
        """Move a slider.

        Parameters
        ----------
        **changes : float
            Fields of `Thresholds`.
        """
        self.thresholds = replace(self.thresholds or Thresholds(), **changes)
        self._select()

    def _select(self) -> None:
        """Select among the proposals, in milliseconds, and draw those that are left."""
        controller, found, thresholds = self._controller, self._found, self.thresholds
        if found is None or thresholds is None:
            return

        def job(task: Task) -> Any:
            queue = ProposalQueue(_chosen(found, thresholds), Region(found.region))
            open_ones = [index for index in range(len(queue)) if queue.is_open(index, found.target)]
            task.pause()
            cutouts = [queue.cutout(index) for index in open_ones]
            return queue, len(cutouts), *picture_of(cutouts, found.region)

        def done(result: Any) -> None:
            self._queue, self.count, picture, step = result
            controller.layers.show_proposals(found.plane, picture, found.region[:2], step)
            told = f" ({found.told})" if found.told else ""
            controller.status.emit(f"{self.count} proposals: J next, or accept all{told}")
            self.changed.emit()

        controller.worker.submit("select", job, done, controller.failed)

    def next_proposal(self) -> None:
        """Begin an object with the next proposal that is not labelled yet."""
        controller, found, queue = self._controller, self._found, self._queue
        session = controller.session
        if found is None or queue is None or session is None or found.plane != controller.plane:
            controller.status.emit("No proposals here: G segments everything")
            return
        following = queue.next(found.target)
        if following is None:
            controller.status.emit("All proposals are labelled")
            return
        cutout, score = following
        session.propose_mask(cutout, score=score)
        look_at(controller.viewer, found.work, found.plane, cutout.box)
        controller.show()

    def accept_all(self) -> None:
        """Make all proposals objects, as one step that U takes back."""
        controller, found, queue = self._controller, self._found, self._queue
        if found is None or queue is None:
            controller.status.emit("No proposals here: G segments everything")
            return
        session = found.work.session(found.plane)
        records = session.commit_all(queue.open(found.target))
        self.clear()
        controller.status.emit(f"{len(records)} objects kept; U takes them back")
        controller.recheck_soon()
        controller.show()


def _settings(predictor: Any, side: int, region: Box, limit: Any) -> Any:
    """A grid of the given density on the region, or in the box; and the thresholds that suit."""
    from sam_plugins.automatic import AutomaticSettings

    ticks = (np.arange(side) + 0.5) / side
    x, y = (each.ravel() for each in np.meshgrid(ticks, ticks))
    if limit is not None:
        x0, y0, x1, y1 = region
        x = (limit[0] + x * (limit[2] - limit[0]) - x0) / (x1 - x0)
        y = (limit[1] + y * (limit[3] - limit[1]) - y0) / (y1 - y0)
    suits = AutomaticSettings.for_model(predictor.model)
    loose = AutomaticSettings(
        point_grids=(np.stack([x, y], axis=1).clip(0, 1),),
        pred_iou_thresh=max(0.05, suits.pred_iou_thresh - SLACK),
        stability_score_thresh=0.0,
    )
    return loose, Thresholds(suits.pred_iou_thresh, suits.stability_score_thresh)


def _chosen(found: Found, thresholds: Thresholds) -> list[MaskRecord]:
    from sam_plugins.automatic import select

    if found.proposals is None:
        return [record for record in found.records if record.area >= thresholds.min_area]
    loose = found.proposals.settings
    settings = replace(
        loose,
        pred_iou_thresh=max(loose.pred_iou_thresh, thresholds.pred_iou),
        stability_score_thresh=thresholds.stability,
    )
    records = select(found.proposals, settings=settings)
    return [
        record
        for record in records
        if record.area >= thresholds.min_area
        and (found.limit is None or _inside(record, found.region, found.limit))
    ]


def _inside(record: MaskRecord, region: Box, limit: Any) -> bool:
    cutout = Region(region).place(Cutout.from_rle(record.segmentation))
    x0, y0, x1, y1 = (round(side) for side in limit)
    return int(cutout.within((x0, y0, x1, y1)).sum()) >= INSIDE * cutout.area


def picture_of(cutouts: list[Cutout], region: Box) -> tuple[NDArray[np.uint8], int]:
    """All proposals in one picture, smaller ones on top, and its step in pixels.

    Parameters
    ----------
    cutouts : list of Cutout
        The masks, in pixels of the slice.
    region : tuple of int
        x0, y0, x1, y1 of the picture.

    Returns
    -------
    picture : ndarray of shape (h, w), uint8
        A number from 1 a mask, again from 1 after 254; 0 where there is none.
    step : int
        Pixels of the slice to one of the picture.
    """
    x0, y0, x1, y1 = region
    step = -(-max(x1 - x0, y1 - y0) // MOST_DRAWN)
    picture = np.zeros((-(-(y1 - y0) // step), -(-(x1 - x0) // step)), dtype=np.uint8)
    for index in sorted(range(len(cutouts)), key=lambda index: -cutouts[index].mask.size):
        cutout = cutouts[index]
        x, y = cutout.corner[0] - x0, cutout.corner[1] - y0
        thin = cutout.mask[-y % step :: step, -x % step :: step]
        row, column = -(-y // step), -(-x // step)
        picture[row : row + thin.shape[0], column : column + thin.shape[1]][thin] = index % 254 + 1
    return picture, step
