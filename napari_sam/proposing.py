"""``Proposing``: segment everything, move sliders, accept what is good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_sam.worker import Task
from sam_plugins.masks.cropped import CroppedMask
from sam_plugins.regions import embed_region, find_normalization
from sam_plugins.session.planes import plane_index

if TYPE_CHECKING:
    from napari_sam.controller import Controller
    from sam_plugins.session import Plane

# Side of the picture of all proposals, in pixels; larger regions are thinned out for display.
MOST_DRAWN = 2048

# A proposal of which this part is labelled already is left out.
LABELLED_PART = 0.5

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Proposal:
    """One automatic mask.

    Parameters
    ----------
    mask : CroppedMask
        In pixels of the plane.
    predicted_iou, stability : float
        Its scores.
    """

    mask: CroppedMask
    predicted_iou: float
    stability: float


@dataclass(frozen=True)
class Thresholds:
    """What the sliders say.

    Parameters
    ----------
    pred_iou : float
        Least predicted IoU; None for what suits the model.
    stability : float
        Least stability score; likewise.
    min_area : int
        Least area, in pixels.
    """

    pred_iou: float | None = None
    stability: float | None = None
    min_area: int = 0


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
        self.thresholds = Thresholds()
        self.proposals: list[Proposal] = []
        self._found: Any = None
        self._plane: Plane | None = None
        self._region: Box = (0, 0, 0, 0)
        self._limit: tuple[float, float, float, float] | None = None
        self._masks: dict[str, CroppedMask] = {}
        self._next = 0

    @property
    def ready(self) -> bool:
        """Whether there are proposals to select from."""
        return self._found is not None

    def clear(self) -> None:
        """Forget all proposals."""
        self._controller.worker.cancel("propose")
        self._controller.worker.cancel("select")
        self._found, self.proposals, self._next = None, [], 0
        self._masks.clear()
        self._controller.layers.hide_proposals()
        self.changed.emit()

    def segment_everything(self) -> None:
        """Propose masks for what is seen, or for the inside of the box."""
        controller = self._controller
        work, plane = controller.work, controller.plane
        if work is None or plane is None:
            controller.status.emit("Choose an image, shown in 2D")
            return
        self.clear()
        boxes = work.session.draft(plane).hints.boxes
        limit = boxes[-1] if boxes else None
        if limit is not None:
            work.session.clear(plane)
        stack, view, options = work.stack, controller.view(limit), controller.options
        side = self.points_per_side

        def job(task: Task) -> Any:
            from sam_plugins.automatic import propose

            predictor = controller.predictor(task, options)
            box = controller.choose(predictor, limit, *view)
            embedding = embed_region(
                predictor,
                stack,
                plane,
                box,
                normalization=find_normalization(stack, plane, options.normalization),
            )
            settings = _settings(predictor, side, box, limit)
            found = propose(predictor, embedding, settings=settings, progress=task.progress)
            return box, found, _suggested(predictor)

        def done(result: Any) -> None:
            self._region, self._found, suggested = result
            self._plane, self._limit = plane, limit
            if self.thresholds.pred_iou is None:
                self.thresholds = replace(
                    self.thresholds, pred_iou=suggested[0], stability=suggested[1]
                )
            self.select()

        controller.status.emit("Segmenting everything ...")
        controller.worker.submit("propose", job, done, controller.failed)

    def set_points(self, points_per_side: int) -> None:
        """Choose the grid of the next proposals.

        Parameters
        ----------
        points_per_side : int
            Points along each side.
        """
        self.points_per_side = points_per_side

    def set_thresholds(self, **changes: Any) -> None:
        """Move a slider.

        Parameters
        ----------
        **changes : float
            Fields of `Thresholds`.
        """
        self.thresholds = replace(self.thresholds, **changes)
        if self.ready:
            self.select()

    def select(self) -> None:
        """Select among the proposals, in milliseconds, and draw those that are left."""
        controller = self._controller
        work, plane = controller.work, self._plane
        if work is None or plane is None or self._found is None:
            return
        found, region, limit = self._found, self._region, self._limit
        thresholds, masks, array = self.thresholds, self._masks, work.array

        def job(task: Task) -> Any:
            chosen = _select(found, region, limit, thresholds, masks)
            left = [each for each in chosen if not _labelled(each.mask, array, plane)]
            task.pause()
            return left, *_picture(left, region)

        def done(result: Any) -> None:
            self.proposals, picture, step = result
            self._next = 0
            controller.layers.show_proposals(plane, picture, (region[0], region[1]), step)
            controller.status.emit(f"{len(self.proposals)} proposals: J next, or accept all")
            self.changed.emit()

        controller.worker.submit("select", job, done, controller.failed)

    def next_proposal(self) -> None:
        """Begin an object with the next proposal that is not labelled yet."""
        controller = self._controller
        work, plane = controller.work, controller.plane
        if work is None or plane is None or plane != self._plane or not self.proposals:
            controller.status.emit("No proposals here: G segments everything")
            return
        for _ in range(len(self.proposals)):
            proposal = self.proposals[self._next % len(self.proposals)]
            self._next += 1
            if not _labelled(proposal.mask, work.array, plane):
                work.session.prefill(plane, proposal.mask, predicted_iou=proposal.predicted_iou)
                controller.look_at(proposal.mask.box)
                controller.show()
                return
        controller.status.emit("All proposals are labelled")

    def accept_all(self) -> None:
        """Make all proposals objects, as one step that U takes back."""
        controller = self._controller
        work, plane = controller.work, self._plane
        if work is None or plane is None or not self.proposals:
            controller.status.emit("No proposals here: G segments everything")
            return
        work.prepare()
        masks = [(each.mask, each.predicted_iou) for each in self.proposals]
        edit = work.session.commit_masks(plane, work.array, masks)
        self.clear()
        if edit is not None:
            work.apply(edit)
        controller.status.emit(f"{len(work.session.objects)} objects")
        controller.show()


def _suggested(predictor: Any) -> tuple[float, float]:
    from sam_plugins.automatic import AutomaticSettings

    settings = AutomaticSettings.for_model(predictor.model)
    return settings.pred_iou_thresh, settings.stability_score_thresh


def _settings(predictor: Any, side: int, region: Box, limit: Any) -> Any:
    """A grid of the given density on the region, or in the box, with low thresholds."""
    from sam_plugins.automatic import AutomaticSettings

    ticks = (np.arange(side) + 0.5) / side
    x, y = (each.ravel() for each in np.meshgrid(ticks, ticks))
    if limit is not None:
        x0, y0, x1, y1 = region
        x = (limit[0] + x * (limit[2] - limit[0]) - x0) / (x1 - x0)
        y = (limit[1] + y * (limit[3] - limit[1]) - y0) / (y1 - y0)
    grid = np.stack([x, y], axis=1).clip(0, 1)
    suggested = _suggested(predictor)
    return AutomaticSettings(
        point_grids=(grid,), pred_iou_thresh=max(0.05, suggested[0] - 0.3), stability_score_thresh=0.0
    )


def _select(
    found: Any, region: Box, limit: Any, thresholds: Thresholds, masks: dict[str, CroppedMask]
) -> list[Proposal]:
    from sam_plugins.automatic import select

    settings = replace(
        found.settings,
        pred_iou_thresh=max(found.settings.pred_iou_thresh, thresholds.pred_iou or 0.0),
        stability_score_thresh=thresholds.stability or 0.0,
    )
    chosen = []
    for record in select(found, settings=settings):
        if record.area < thresholds.min_area:
            continue
        counts = record.segmentation["counts"]
        if counts not in masks:
            masks[counts] = CroppedMask.from_rle(record.segmentation, origin=region[:2])
        mask = masks[counts]
        if limit is None or _mostly_inside(mask, limit):
            chosen.append(Proposal(mask, record.predicted_iou, record.stability_score))
    return chosen


def _mostly_inside(mask: CroppedMask, box: Any) -> bool:
    x0, y0, x1, y1 = (round(side) for side in box)
    return mask.clipped((x0, y0, x1, y1)).area > 0.9 * mask.area


def _labelled(mask: CroppedMask, labels: Any, plane: Plane) -> bool:
    there = np.asarray(labels[plane_index(plane, *mask.slices)]) != 0
    return bool((there & mask.pixels).sum() > LABELLED_PART * mask.area)


def _picture(proposals: list[Proposal], region: Box) -> tuple[NDArray[np.uint8], int]:
    """All proposals in one picture, smaller ones on top, and its step in pixels."""
    x0, y0, x1, y1 = region
    step = -(-max(x1 - x0, y1 - y0) // MOST_DRAWN)
    picture = np.zeros((-(-(y1 - y0) // step), -(-(x1 - x0) // step)), dtype=np.uint8)
    order = sorted(range(len(proposals)), key=lambda index: -proposals[index].mask.area)
    for index in order:
        mask = proposals[index].mask
        x, y = mask.origin[0] - x0, mask.origin[1] - y0
        thin = mask.pixels[-y % step :: step, -x % step :: step]
        row, column = -(-y // step), -(-x // step)
        picture[row : row + thin.shape[0], column : column + thin.shape[1]][thin] = index % 254 + 1
    return picture, step
