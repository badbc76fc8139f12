"""``Controller``: what the person does becomes actions of the session, what comes of it is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam.geometry import current_plane, to_data, to_pixels, visible_box
from napari_sam.keys import bind_layer, bind_viewer, unbind_viewer
from napari_sam.layers import PromptLayers
from napari_sam.models import get_predictor
from napari_sam.mouse import drag_callback
from napari_sam.work import Work
from napari_sam.worker import Task, Worker
from sam_plugins.errors import SamPluginsError
from sam_plugins.images import Normalization
from sam_plugins.prompts import BACKGROUND, FOREGROUND
from sam_plugins.regions import choose_region, contains, embed_region, find_normalization
from sam_plugins.session import CommittedObject, DraftState, Overlap, Plane
from sam_plugins.session.planes import plane_size

if TYPE_CHECKING:
    import napari

    from napari_sam.proposing import Proposing

# The window waits this long for the view to come to rest before it embeds what is seen.
SETTLED_MS = 250

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Options:
    """What the person chose.

    Parameters
    ----------
    model, device : str
        See `get_predictor`.
    normalization : Normalization
        How values become what the model sees, and which channels.
    overlap : {"keep", "overwrite", "background"}
        See `take_pixels`.
    one_click : bool
        Whether each click is an object by itself.
    box_to_object : bool
        Whether each box is.
    follow_zoom : bool
        Whether the part that is seen is embedded; else always the whole plane.
    """

    model: str = "lite"
    device: str = "auto"
    normalization: Normalization = Normalization()
    overlap: Overlap = "keep"
    one_click: bool = False
    box_to_object: bool = False
    follow_zoom: bool = True


class Controller(QObject):
    """One viewer's annotation.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """

    changed = Signal()  # the draft or the objects
    status = Signal(str)
    polarity_changed = Signal(bool)
    work_changed = Signal()
    busy_changed = Signal(str)  # what runs in the background, empty if nothing does

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.worker = Worker(self)
        self.worker.started.connect(self._on_busy)
        self.worker.ended.connect(self._on_busy)
        self.options = Options()
        self.positive = True
        self.work: Work | None = None
        self.plane: Plane | None = None
        self.region: Box | None = None
        self._works: list[Work] = []
        self._waiting: deque[Callable[[], None]] = deque()
        self._commit_serial: int | None = None
        self.layers = PromptLayers(viewer, self._on_created)
        self._settling = QTimer(self, singleShot=True, interval=SETTLED_MS)
        self._settling.timeout.connect(self.embed)
        self._painting = QTimer(self, singleShot=True, interval=0)
        self._painting.timeout.connect(self.paint)
        from napari_sam.proposing import Proposing

        self.proposing: Proposing = Proposing(self)
        bind_viewer(viewer, self.run)
        self._connections = [
            (viewer.dims.events.current_step, self._on_dims),
            (viewer.dims.events.order, self._on_dims),
            (viewer.dims.events.ndisplay, self._on_dims),
            (viewer.layers.events.removed, self._on_removed),
            (camera_of(viewer).events.zoom, self._on_view),
            (camera_of(viewer).events.center, self._on_view),
        ]
        for event, slot in self._connections:
            event.connect(slot)

    # ---- which image -----------------------------------------------------------------------

    def set_image(
        self,
        image: Any,
        *,
        channel_axis: int | None = None,
        labels: Any = None,
        new_labels: bool = False,
    ) -> None:
        """Annotate an image.

        Parameters
        ----------
        image : napari.layers.Image or None
            None for none.
        channel_axis : int, optional
            Its axis that holds channels.
        labels : napari.layers.Labels, optional
            Where objects go. By default where they went before, or a new layer.
        new_labels : bool
            Whether objects go to a new layer, whatever there was before.
        """
        self._drop_queue()
        self.worker.cancel("embed")
        self.proposing.clear()
        self.region = None
        self.work = None
        if image is not None:
            self.work = self._work_on(image, channel_axis, labels, new_labels)
        if self.work is not None:
            self.layers.attach(self.work.transform, len(self.work.shape))
            self.layers.activate()
        else:
            self.layers.remove()
        self._refresh_plane()
        self.work_changed.emit()
        self._settling.start()

    def _work_on(self, image: Any, channel_axis: int | None, labels: Any, new: bool) -> Work:
        for work in reversed(self._works):
            same = work.image == image and work.channel_axis == channel_axis
            fits = work.labels is None if new else labels is None or work.labels == labels
            if same and fits:
                return work
        work = Work(self.viewer, image, self._complain, channel_axis, labels)
        self._works.append(work)
        return work

    def set_options(self, **changes: Any) -> None:
        """Change what the person chose.

        Parameters
        ----------
        **changes : object
            Fields of `Options`.
        """
        old, self.options = self.options, replace(self.options, **changes)
        seen = ("model", "device", "normalization", "follow_zoom")
        if any(getattr(old, name) != getattr(self.options, name) for name in seen):
            self.region = None
            self.proposing.clear()
            for work in self._works:
                work.session.forget_answers()
            self.worker.cancel("embed")
            self._settling.start()
            self._ask_again()

    # ---- events of the viewer --------------------------------------------------------------

    def _on_created(self, role: str, layer: Any) -> None:
        bind_layer(layer, self.run)
        if role == "prompts":
            layer.mouse_drag_callbacks.append(drag_callback(self))

    def _on_dims(self, _: Any = None) -> None:
        self._refresh_plane()
        self._settling.start()

    def _on_view(self, _: Any = None) -> None:
        if self.work is not None:
            self._settling.start()

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        self.layers.forget(layer)
        for work in list(self._works):
            if work.image == layer or (work.labels is not None and work.labels == layer):
                self._works.remove(work)
                work.close()
                if work == self.work:
                    self.work = None
                    # Its labels are gone, or its image is; an image that is left begins anew.
                    left = work.image if work.image != layer else None
                    QTimer.singleShot(0, partial(self._go_on_with, left, work.channel_axis))

    def _go_on_with(self, image: Any, channel_axis: int | None) -> None:
        if self.work is None:
            still = image is not None and image in self.viewer.layers
            self.set_image(image if still else None, channel_axis=channel_axis if still else None)

    def _refresh_plane(self) -> None:
        work = self.work
        plane = None if work is None else current_plane(self.viewer, work.image, work.channel_axis)
        if plane != self.plane:
            self._drop_queue()
            self.proposing.clear()
            self.region = None
        self.plane = plane
        self._painting.start()

    # ---- gestures: see `mouse.Listener` ----------------------------------------------------

    def clicked(self, position: Any, *, positive: bool) -> None:
        """A click on the prompts."""
        spot = self._inside(position)
        if spot is not None:
            label = FOREGROUND if positive == self.positive else BACKGROUND
            self._when_free(partial(self._add_point, spot, label))

    def boxed(self, start: Any, stop: Any, *, finished: bool) -> None:
        """A drag on the prompts."""
        if self.plane is None or self.work is None:
            return
        corners = [to_pixels(self.work.image, self.plane, each) for each in (start, stop)]
        height, width = plane_size(self.plane, self.work.shape)
        (x0, y0), (x1, y1) = [(min(max(x, 0), width), min(max(y, 0), height)) for x, y in corners]
        if finished:
            if abs(x1 - x0) >= 1 and abs(y1 - y0) >= 1:
                self._when_free(partial(self._add_box, (x0, y0, x1, y1)))
            self._painting.start()
        else:
            self.layers.show_boxes(
                self.plane, [(x0, y0, x1, y1)], screen_pixel=self._screen_pixel()
            )

    def scribbled(self, stroke: list[Any], *, positive: bool, finished: bool) -> None:
        """A drag with Shift on the prompts."""
        if self.plane is None or self.work is None or not finished:
            return
        height, width = plane_size(self.plane, self.work.shape)
        spots = [to_pixels(self.work.image, self.plane, each) for each in stroke]
        inside = [(x, y) for x, y in spots if 0 <= x <= width and 0 <= y <= height]
        if inside:
            label = FOREGROUND if positive == self.positive else BACKGROUND
            self._when_free(partial(self._add_scribble, inside, label))

    def picked(self, position: Any) -> None:
        """A click with Ctrl on the prompts."""
        spot = self._inside(position)
        if spot is not None:
            self._when_free(partial(self._take_up, spot))

    def _inside(self, position: Any) -> tuple[float, float] | None:
        """x, y of a position in pixels, if it lies on the plane."""
        if self.work is None or self.plane is None:
            self.status.emit("Choose an image, shown in 2D")
            return None
        x, y = to_pixels(self.work.image, self.plane, position)
        height, width = plane_size(self.plane, self.work.shape)
        return (x, y) if 0 <= x <= width and 0 <= y <= height else None

    def _when_free(self, gesture: Callable[[], None]) -> None:
        """Do a gesture now, or after the object that is about to be committed."""
        if self._commit_serial is not None:
            self._waiting.append(gesture)
        else:
            gesture()

    def _add_point(self, spot: tuple[float, float], label: int) -> None:
        assert self.work is not None and self.plane is not None
        state = self.work.session.add_point(self.plane, *spot, label=label)
        self._said(state, self.options.one_click and label == FOREGROUND)

    def _add_box(self, box: Sequence[float]) -> None:
        assert self.work is not None and self.plane is not None
        state = self.work.session.add_box(self.plane, (box[0], box[1], box[2], box[3]))
        self._said(state, self.options.box_to_object)

    def _add_scribble(self, stroke: list[tuple[float, float]], label: int) -> None:
        assert self.work is not None and self.plane is not None
        width = max(3.0, 6 * self._screen_pixel())
        state = self.work.session.add_scribble(self.plane, stroke, label=label, width=width)
        self._said(state, False)

    def _take_up(self, spot: tuple[float, float]) -> None:
        assert self.work is not None and self.plane is not None
        identifier = self.work.value_at(self.plane, *spot)
        if not identifier:
            self.status.emit("There is no object to take up here")
            return
        mask = self.work.mask_of(self.plane, identifier)
        self.work.session.take_up(self.plane, identifier, mask)
        self.status.emit(f"Object {identifier} taken up: click to correct it, then N")
        self.show()

    def _said(self, state: DraftState, commit: bool) -> None:
        if commit:
            self._commit_serial = state.serial
        self._ask(state)
        self.show()

    # ---- asking the model ------------------------------------------------------------------

    def _ask(self, state: DraftState) -> None:
        if self.work is None or self.plane is None or not state.waiting:
            return
        session, plane, stack = self.work.session, self.plane, self.work.stack
        region = self._region(state.hints.extent)
        previous = session.previous_answer(plane)
        options = self.options

        def job(task: Task) -> Any:
            from sam_plugins.session.answers import answer_hints

            predictor = self.predictor(task, options)
            box = region or self.choose(predictor, state.hints.extent, *view)
            embedding = embed_region(
                predictor,
                stack,
                plane,
                box,
                normalization=find_normalization(stack, plane, options.normalization),
            )
            task.pause()
            return box, *answer_hints(predictor, embedding, state.hints, box, previous=previous)

        def done(answer: Any) -> None:
            box, candidates, best = answer
            self.region = box
            if session.answer(state.serial, candidates, chosen=best):
                self._answered(state.serial)

        view = self.view()
        self.worker.submit("click", job, done, self.failed)

    def _answered(self, serial: int) -> None:
        if self._commit_serial == serial:
            self._commit_serial = None
            self._commit_now()
            while self._waiting and self._commit_serial is None:
                self._waiting.popleft()()
        self.show()

    def failed(self, error: Exception) -> None:
        """Tell that a job failed, and go on."""
        self._drop_queue()
        self._complain(error)
        self.status.emit(str(error))

    def _ask_again(self) -> None:
        """Ask for the answer that the draft lacks, after an undo or with another model."""
        if self.work is not None and self.plane is not None:
            self._ask(self.work.session.draft(self.plane))

    def predictor(self, task: Task, options: Options) -> Any:
        """The model that was chosen; to be called in the worker's thread.

        Parameters
        ----------
        task : Task
            Who waits for it.
        options : Options
            Model and device.

        Returns
        -------
        Predictor
        """
        return get_predictor(options.model, options.device, progress=task.progress)

    def view(self, box: Any = None) -> tuple[tuple[int, int], Any]:
        """Size of the plane, and the box that is looked at.

        Parameters
        ----------
        box : tuple of float, optional
            In place of what is seen.

        Returns
        -------
        size : tuple of int
            (H, W), in pixels.
        visible : tuple of float or None
            None for the whole plane.
        """
        assert self.work is not None and self.plane is not None
        size = plane_size(self.plane, self.work.shape)
        if not self.options.follow_zoom:
            return size, None
        return size, box or visible_box(self.viewer, self.work.image, self.plane)

    @staticmethod
    def choose(predictor: Any, include: Any, size: tuple[int, int], visible: Any) -> Box:
        """See `choose_region`."""
        return choose_region(size, predictor.model.frame_size, visible=visible, include=include)

    def _region(self, include: Any) -> Box | None:
        """The region of the answers before, while all hints lie in it."""
        if self.region is not None and (include is None or contains(self.region, include)):
            return self.region
        return None

    def embed(self) -> None:
        """Embed what is seen, so that the first click is answered at once."""
        if self.work is None or self.plane is None:
            return
        if not self.work.session.draft(self.plane).hints.empty and self.region is not None:
            return
        stack, plane, view, options = self.work.stack, self.plane, self.view(), self.options

        def job(task: Task) -> Any:
            predictor = self.predictor(task, options)
            box = self.choose(predictor, None, *view)
            task.pause()
            settings = find_normalization(stack, plane, options.normalization)
            embed_region(predictor, stack, plane, box, normalization=settings)
            return box

        def done(box: Box) -> None:
            self.region = box
            self.status.emit("Ready: click on an object")

        self.status.emit("Encoding the image ...")
        self.worker.submit("embed", job, done, self.failed)

    def cancel(self) -> None:
        """Stop everything that runs in the background."""
        for kind in ("embed", "propose", "click"):
            self.worker.cancel(kind)
        self._drop_queue()
        self.status.emit("Stopped")

    def _on_busy(self, _: str) -> None:
        long = [kind for kind in ("embed", "propose") if self.worker.busy(kind)]
        self.busy_changed.emit(long[0] if long else "")

    def _drop_queue(self) -> None:
        self._waiting.clear()
        self._commit_serial = None

    # ---- keys ------------------------------------------------------------------------------

    def run(self, action: str) -> None:
        """Do what a key or button stands for.

        Parameters
        ----------
        action : str
            One of the actions of `KEYS`.
        """
        try:
            if action in ("segment_everything", "next_proposal", "accept_all"):
                getattr(self.proposing, action)()
            else:
                getattr(self, action)()
        except (SamPluginsError, ValueError, OSError) as error:
            self._complain(error)

    def commit(self) -> None:
        """Keep the mask as an object; if its answer is under way, as soon as it comes."""
        if self.work is None or self.plane is None or self._commit_serial is not None:
            return
        state = self.work.session.draft(self.plane)
        if state.waiting:
            self._commit_serial = state.serial
            if not self.worker.busy("click"):
                self._ask(state)
        else:
            self._commit_now()

    def _commit_now(self) -> None:
        assert self.work is not None and self.plane is not None
        session = self.work.session
        if session.draft(self.plane).candidate is None:
            self.status.emit("Nothing to keep yet: click on an object")
            return
        self.work.prepare()
        edit = session.commit(self.plane, self.work.array, overlap=self.options.overlap)
        if edit is None:
            self.status.emit("Not kept: other objects are there already")
            return
        self.work.apply(edit)
        self.status.emit(f"{len(session.objects)} objects")
        self.show()

    def undo(self) -> None:
        """Take back the last hint or, if there is none, the last commit."""
        if self.work is None or self.plane is None:
            return
        self._drop_queue()
        self.worker.cancel("click")
        undone = self.work.session.undo(self.plane, self.work.array)
        if undone is None:
            self.status.emit("Nothing to undo")
            return
        if undone.edit is not None:
            self.work.apply(undone.edit)
        self._ask_again()
        self.show()

    def clear(self) -> None:
        """Drop the draft."""
        if self.work is not None and self.plane is not None:
            self._drop_queue()
            self.worker.cancel("click")
            self.work.session.clear(self.plane)
            self.show()

    def cycle(self) -> None:
        """Show the next candidate."""
        if self.work is not None and self.plane is not None:
            if not self.work.session.cycle(self.plane):
                self.status.emit("There is no other mask: one more click tells which is meant")
            self.show()

    def restore(self) -> None:
        """Bring back the objects of the last time with this image."""
        path = self.work.journal.earlier() if self.work is not None else None
        if self.work is None or path is None:
            self.status.emit("There is no earlier session of this image")
            return
        count = self.work.restore(path)
        self.status.emit(f"{count} objects restored")
        self._ask_again()
        self.show()

    def look_at_object(self, found: CommittedObject) -> None:
        """Show an object: its slice, in the middle of the view.

        Parameters
        ----------
        found : CommittedObject
            The object.
        """
        if self.work is None or self.work.labels is None:
            return
        offset = self.viewer.dims.ndim - self.work.image.ndim
        position = self.work.image.data_to_world([index or 0 for index in found.plane])
        for axis, index in enumerate(found.plane):
            if index is not None and axis != self.work.channel_axis:
                self.viewer.dims.set_point(axis + offset, position[axis])
        self._refresh_plane()
        self.work.labels.selected_label = found.id
        self.look_at(found.box, zoom=True)

    def delete_object(self, found: CommittedObject) -> None:
        """Make an object background again; an undo brings it back.

        Parameters
        ----------
        found : CommittedObject
            The object.
        """
        if self.work is not None:
            mask = self.work.mask_of(found.plane, found.id)
            edit = self.work.session.delete(found.plane, self.work.array, found.id, mask)
            self.work.apply(edit)
            self.show()

    def toggle_polarity(self) -> None:
        """Swap what the left and the right button mean."""
        self.positive = not self.positive
        self.polarity_changed.emit(self.positive)

    def toggle_preview(self) -> None:
        """Hide or show the mask that is under way."""
        if self.work is not None:
            preview = self.layers.get("preview")
            preview.visible = not preview.visible

    # ---- showing ---------------------------------------------------------------------------

    def show(self) -> None:
        """Draw the draft as soon as events are done, and tell that it changed."""
        self._painting.start()
        self.changed.emit()

    def _screen_pixel(self) -> float:
        """Pixels of the plane to one of the screen, roughly."""
        if self.work is None or self.plane is None:
            return 1.0
        rows = next(axis for axis, index in enumerate(self.plane) if index is None)
        zoom = float(camera_of(self.viewer).zoom)
        return 1 / max(zoom * abs(float(self.work.image.scale[rows])), 1e-9)

    def paint(self) -> None:
        """Draw hints and mask of the plane that is shown."""
        if self.work is None or self.plane is None:
            return
        state = self.work.session.draft(self.plane)
        self.layers.show_hints(self.plane, state.hints, screen_pixel=self._screen_pixel())
        if state.candidate is not None or state.hints.empty:
            mask = state.candidate.mask if state.candidate else None
            self.layers.show_mask(self.plane, mask)

    def _complain(self, error: Exception) -> None:
        show_warning(f"Segment Anything: {error}")

    def tell(self, message: str) -> None:
        """Show a notification.

        Parameters
        ----------
        message : str
        """
        show_info(message)

    def look_at(self, box: Box, *, zoom: bool = False) -> None:
        """Bring a box into view.

        Parameters
        ----------
        box : tuple of int
            x0, y0, x1, y1 in pixels of the plane.
        zoom : bool
            Whether to zoom to it as well.
        """
        if self.work is None or self.plane is None:
            return
        camera = camera_of(self.viewer)
        seen = visible_box(self.viewer, self.work.image, self.plane)
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if zoom and seen is not None:
            span = max(box[2] - box[0], box[3] - box[1], 8) * 4
            camera.zoom *= max(seen[2] - seen[0], seen[3] - seen[1]) / span
        elif seen is not None and contains((int(seen[0]), int(seen[1]), int(seen[2]), int(seen[3])), box):
            return
        world = self.work.image.data_to_world(to_data(self.plane, x, y))
        offset = self.viewer.dims.ndim - self.work.image.ndim
        shown = [world[axis - offset] for axis in self.viewer.dims.displayed]
        camera.center = (0.0, *shown)

    # ---- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the viewer; labels stay."""
        self._settling.stop()
        self._painting.stop()
        self.worker.close()
        for event, slot in self._connections:
            event.disconnect(slot)
        unbind_viewer(self.viewer)
        for work in self._works:
            work.close()
        self._works.clear()
        self.work = None
        self.layers.remove()


def camera_of(viewer: Any) -> Any:
    """The camera, which moved to the scene in napari 0.9.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Returns
    -------
    napari.components.Camera
    """
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
