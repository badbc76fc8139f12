"""``Controller``: what a person does becomes actions of a session, and is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam.asking import Asking, Options, View
from napari_sam.camera import camera_of, screen_pixel
from napari_sam.classes import Classes
from napari_sam.geometry import current_plane
from napari_sam.gestures import Gestures
from napari_sam.keys import bind_layer, bind_viewer, unbind_viewer
from napari_sam.layers import PromptLayers
from napari_sam.mouse import drag_callback
from napari_sam.work import Work
from napari_sam.worker import Worker
from sam_plugins.errors import SamPluginsError
from sam_plugins.regions import Plane
from sam_plugins.session import Session

if TYPE_CHECKING:
    import napari

# The window waits this long for the view to come to rest before it embeds what is seen.
SETTLED_MS = 250

# napari knows what is seen once it has drawn it, which may come after the camera's event and even
# after an embedding that was known already: look again this long after one was asked for.
DRAWN_BY_MS = 100

# A click is drawn with its mask, or after this long if the model takes longer: drawing twice
# would take the processor from the model.
DRAWN_MS = 100

# And this long after a change of the labels before it looks which objects are left.
RECHECK_MS = 400


PROPOSING = ("segment_everything", "next_proposal", "accept_all")


class Controller(QObject):
    """One viewer's annotation.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """

    changed = Signal()  # the object under way, or the objects
    status = Signal(str)
    polarity_changed = Signal(bool)
    work_changed = Signal()
    busy_changed = Signal(str)  # what runs in the background, empty if nothing does

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        from napari_sam.proposing import Proposing

        self.viewer = viewer
        self.options = Options()
        self.classes = Classes()
        self.positive = True
        self.work: Work | None = None
        self.plane: Plane | None = None
        self.gone: set[int] = set()
        self._visible: Any = None  # what was seen when an embedding was asked for last
        self._works: list[Work] = []
        self._waiting: deque[Callable[[], None]] = deque()
        self._commit_at: int | None = None  # the version whose answer is committed
        self._with_prompts = False
        self._class_id = 1
        self._closed = False
        self.worker = Worker(self)
        self.worker.started.connect(self._on_busy)
        self.worker.ended.connect(self._on_busy)
        self.asking = Asking(viewer, self.worker, self)
        self.proposing = Proposing(self)
        self.gestures = Gestures(self)
        self.layers = PromptLayers(viewer, self._on_created)
        self._timers: list[QTimer] = []
        self._settling = self._timer(SETTLED_MS, self.embed)
        self._looking = self._timer(DRAWN_BY_MS, self._look_again)
        self._painting = self._timer(0, self.paint)
        self._activating = self._timer(0, self._begin)
        self._rechecking = self._timer(RECHECK_MS, self._recheck)
        bind_viewer(viewer, self.run)
        dims, layers, camera = viewer.dims.events, viewer.layers.events, camera_of(viewer).events
        self._connections = [
            *((event, self._on_dims) for event in (dims.current_step, dims.order, dims.ndisplay)),
            (layers.removed, self._on_removed),
            *((event, self._on_view) for event in (camera.zoom, camera.center)),
        ]
        for event, slot in self._connections:
            event.connect(slot)

    def _timer(self, interval: int, slot: Callable[[], None]) -> QTimer:
        timer = QTimer(self)
        self._timers.append(timer)
        timer.setSingleShot(True)
        timer.setInterval(interval)
        timer.timeout.connect(slot)
        return timer

    @property
    def session(self) -> Session | None:
        """The session of the slice that is shown, if one is."""
        if self.work is None or self.plane is None:
            return None
        session = self.work.session(self.plane)
        session.class_id = self._class_id
        return session

    def view(self) -> View | None:
        """What is to be embedded now, if anything is."""
        if self.work is None or self.plane is None:
            return None
        return self.asking.view(self.work, self.plane, self.options)

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
        if self._closed:
            return
        self._reset()
        self.work = self.plane = None
        if image is not None:
            self.work = self._work_on(image, channel_axis, labels, new_labels)
        self._refresh_plane()
        if self.work is not None:
            self.layers.attach(self.work.transform, len(self.work.shape))
            # After the event that brought the image: napari selects a layer once it is inserted.
            self._activating.start()
        else:
            self.layers.remove()
        self.work_changed.emit()

    def activate(self) -> None:
        """Select the prompts, so that clicks go there."""
        if self.work is not None:
            self.layers.activate()

    def _begin(self) -> None:
        """Select the prompts of another image, and embed it once the window is drawn."""
        self.activate()
        self._settling.start()

    def _work_on(self, image: Any, channel_axis: int | None, labels: Any, new: bool) -> Work:
        for work in reversed(self._works):
            same = work.image == image and work.channel_axis == channel_axis
            fits = work.labels is None if new else labels is None or work.labels == labels
            if same and fits:
                return work
        work = Work(
            self.viewer, image, self.complain, self.classes, self.recheck_soon, channel_axis, labels
        )
        self._works.append(work)
        image.events.data.connect(self._on_image_changed)
        return work

    def set_options(self, **changes: Any) -> None:
        """Change what the person chose.

        Parameters
        ----------
        **changes : object
            Fields of `Options`.
        """
        old, self.options = self.options, replace(self.options, **changes)
        if not self.options.same_model(old):
            self._reset()
            for work in self._works:
                for session in work.sessions.values():
                    session.forget_answers()
            self._settling.start()
            self._ask()
            self.show()

    def _reset(self) -> None:
        """Stop what runs about another image, slice or model."""
        self._drop_queue()
        for kind in ("embed", "click"):
            self.worker.cancel(kind)
        self.proposing.clear()
        self.asking.forget()

    # ---- events of the viewer --------------------------------------------------------------

    def _on_image_changed(self, _: Any = None) -> None:
        self.asking.forget()
        self._settling.start()

    def _on_created(self, role: str, layer: Any) -> None:
        bind_layer(layer, self.run)
        if role == "prompts":
            layer.mouse_drag_callbacks.append(drag_callback(self.gestures))

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
                    self.work = self.plane = None
                    # An image whose labels are gone begins anew; after the event, not within it.
                    left = None if work.image == layer else work.image
                    QTimer.singleShot(0, partial(self._go_on_with, left, work.channel_axis))

    def _go_on_with(self, image: Any, channel_axis: int | None) -> None:
        if self.work is None:
            if image is not None and image in self.viewer.layers:
                self.set_image(image, channel_axis=channel_axis)
            else:
                self.set_image(None)

    def _refresh_plane(self) -> None:
        work = self.work
        plane = None if work is None else current_plane(self.viewer, work.image, work.channel_axis)
        if plane != self.plane:
            self.plane = plane
            self._reset()
            self._ask()
        self.paint_soon()

    # ---- what the person says -------------------------------------------------------------

    def when_free(self, say: Callable[[Session], Any], *, commit: bool = False) -> None:
        """Say something now, or after the object that is about to be committed."""
        if self._commit_at is not None:
            self._waiting.append(partial(self._say, say, commit))
        else:
            self._say(say, commit)

    def _say(self, say: Callable[[Session], Any], commit: bool) -> None:
        session = self.session
        if session is None:
            return
        say(session)
        if commit:
            self._commit_at, self._with_prompts = session.version, True
        self._ask()
        self.show()

    # ---- the model -------------------------------------------------------------------------

    def _ask(self) -> None:
        view = self.view()
        if view is not None:
            self.asking.ask(view, self._answered, self.failed)

    def _answered(self) -> None:
        session = self.session
        if session is not None and self._commit_at == session.version:
            self._commit_at = None
            self.run("commit")
            while self._waiting and self._commit_at is None:
                self._waiting.popleft()()
        self.show()

    def failed(self, error: Exception) -> None:
        """Tell that a job failed, and go on.

        Parameters
        ----------
        error : Exception
            What went wrong.
        """
        self._drop_queue()
        self.complain(error)
        self.status.emit(str(error))

    def embed(self) -> None:
        """Embed what is seen, so that the first click is answered at once."""
        view = self.view()
        if view is not None and self.session is not None and self.session.prompts.empty:
            self.status.emit("Encoding the image ...")
            self._visible = view.visible
            self._looking.start()
            self.asking.embed(view, self._embedded, self.failed)

    def _embedded(self) -> None:
        self.status.emit("Ready: click on an object")
        self._look_again()

    def _look_again(self) -> None:
        view = self.view()
        if view is not None and view.visible != self._visible:
            self._settling.start()

    def cancel(self) -> None:
        """Stop everything that runs in the background."""
        for kind in ("embed", "propose", "select", "click"):
            self.worker.cancel(kind)
        self._drop_queue()
        self.status.emit("Stopped")

    def _on_busy(self, _: str) -> None:
        long = [kind for kind in ("embed", "propose") if self.worker.busy(kind)]
        self.busy_changed.emit(long[0] if long else "")

    def _drop_queue(self) -> None:
        self._waiting.clear()
        self._commit_at = None
        self._with_prompts = False

    # ---- keys ------------------------------------------------------------------------------

    def run(self, action: str) -> None:
        """Do what a key or button stands for.

        Parameters
        ----------
        action : str
            One of the actions of `KEYS`, ``"accept_all"`` or ``"restore"``.
        """
        where = self.proposing if action in PROPOSING else self
        try:
            getattr(where, action)()
        except (SamPluginsError, ValueError, OSError) as error:
            self.complain(error)
            self.status.emit(str(error))

    def commit(self) -> None:
        """Keep the mask as an object; if its answer is under way, as soon as it comes."""
        session = self.session
        if session is None or self.work is None:
            return
        if self._commit_at is not None:
            self._waiting.append(partial(self.run, "commit"))
            return
        if session.waiting:
            self._commit_at = session.version
            if not self.worker.busy("click"):
                self._ask()
            return
        together, self._with_prompts = self._with_prompts, False
        session.overlap = self.options.overlap
        record = session.commit(with_prompts=together)
        if record is None:
            self.status.emit("Nothing to keep yet: click on an object")
            return
        self.status.emit(f"Object {record.id} kept")
        self._rechecking.start()
        self.show()

    def undo(self) -> None:
        """Take back the last hint or, if there is none, the last commit."""
        session = self.session
        if session is None:
            return
        self._drop_queue()
        self.worker.cancel("click")
        name = session.undo()
        self.status.emit("Nothing to undo" if name is None else f"Undone: {name}")
        self._ask()
        self._rechecking.start()
        self.show()

    def clear(self) -> None:
        """Drop the object under way; an undo brings it back."""
        if self.session is not None:
            self._drop_queue()
            self.worker.cancel("click")
            self.session.clear()
            self.show()

    def cycle(self) -> None:
        """Show the next candidate."""
        if self.session is not None:
            if self.session.candidates < 2:
                self.status.emit("There is no other mask: one more click tells which is meant")
            self.session.cycle()
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

    def restore(self) -> None:
        """Bring back the objects of the last time with this image."""
        folder = self.work.folder.earlier() if self.work is not None else None
        if self.work is None or folder is None:
            self.status.emit("There is no earlier session of this image")
            return
        self._reset()
        self.status.emit(f"{self.work.restore(folder)} objects restored")
        self._ask()
        self._rechecking.start()
        self.show()

    # ---- objects ---------------------------------------------------------------------------

    def set_current_class(self, name: str) -> None:
        """Choose the class of the next objects.

        Parameters
        ----------
        name : str
            The class.
        """
        self._class_id = self.classes.number_of(name)

    def recheck_soon(self) -> None:
        """See which objects are left once the person pauses."""
        self._rechecking.start()

    def _recheck(self) -> None:
        """See which objects are left, and describe them to the labels layer."""
        if self.work is not None and self.plane is not None:
            self.gone = self.work.recheck(self.plane)
            self.work.describe()
            self.work.folder.write_classes(self.classes.names)
            self.changed.emit()

    # ---- showing ---------------------------------------------------------------------------

    def show(self) -> None:
        """Draw the object under way soon, and tell that it changed."""
        waiting = self.session is not None and self.session.waiting
        self._painting.start(DRAWN_MS if waiting else 0)
        self.changed.emit()

    def paint_soon(self) -> None:
        """Draw once the event under way is over."""
        self._painting.start(0)

    def paint(self) -> None:
        """Draw prompts and mask of the slice that is shown."""
        session = self.session
        if session is None or self.plane is None or self.work is None:
            return
        pixel = screen_pixel(self.viewer, self.work)
        self.layers.show_prompts(self.plane, session.prompts, screen_pixel=pixel)
        if not session.waiting:
            self.layers.show_mask(self.plane, session.cutout)

    def complain(self, error: Exception) -> None:
        """Show a notification about a problem.

        Parameters
        ----------
        error : Exception
        """
        show_warning(f"Segment Anything: {error}")

    # ---- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of the viewer; labels stay."""
        if self._closed:
            return
        self._closed = True
        for timer in self._timers:
            timer.stop()
        self.worker.close()
        for event, slot in self._connections:
            event.disconnect(slot)
        unbind_viewer(self.viewer)
        for work in self._works:
            work.close()
        self._works.clear()
        self.work = self.plane = None
        self.layers.remove()
