"""``Controller``: what a person does becomes actions of a session, and is shown."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_warning
from qtpy.QtCore import QObject, QTimer, Signal

from napari_sam.asking import Asking, Options, View
from napari_sam.camera import camera_of, screen_pixel
from napari_sam.classes import Classes
from napari_sam.editing import Editing
from napari_sam.geometry import current_plane
from napari_sam.gestures import Gestures
from napari_sam.keys import bind_layer, bind_viewer, unbind_viewer
from napari_sam.layers import PromptLayers
from napari_sam.looking import Looking
from napari_sam.mouse import drag_callback
from napari_sam.timers import Timers
from napari_sam.work import Work
from napari_sam.worker import Worker
from napari_sam.works import Works
from sam_plugins.errors import SamPluginsError
from sam_plugins.regions import Plane
from sam_plugins.session import Session

if TYPE_CHECKING:
    import napari

# A click is drawn with its mask, or after this long if the model takes longer: drawing twice
# would take the processor from the model.
DRAWN_MS = 100

# And this long after a change of the labels before it looks which objects are left.
RECHECK_MS = 400


# Who does what; the controller does the rest.
PROPOSING = ("segment_everything", "next_proposal", "accept_all")
EDITING = ("commit", "undo", "clear", "cycle")


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
        self._works = Works(self._new_work)
        self._class_id = 1
        self._closed = False
        self.worker = Worker(self)
        self.worker.started.connect(self._on_busy)
        self.worker.ended.connect(self._on_busy)
        self.asking = Asking(viewer, self.worker, self)
        self.proposing = Proposing(self)
        self.editing = Editing(self)
        self.gestures = Gestures(self)
        self.layers = PromptLayers(viewer, self._on_created)
        self.timers = Timers(self)
        self.looking = Looking(self)
        self._painting = self.timers.single(0, self.paint)
        self._activating = self.timers.single(0, self._begin)
        self._rechecking = self.timers.single(RECHECK_MS, self._recheck, lazy=True)
        bind_viewer(viewer, self.run)
        dims, layers, camera = viewer.dims.events, viewer.layers.events, camera_of(viewer).events
        self._connections = [
            *((event, self._on_dims) for event in (dims.current_step, dims.order, dims.ndisplay)),
            (layers.removed, self._on_removed),
            *((event, self._on_view) for event in (camera.zoom, camera.center)),
        ]
        for event, slot in self._connections:
            event.connect(slot)

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

    @property
    def idle(self) -> bool:
        """Whether nothing runs, nothing waits for an answer, and all is drawn."""
        return not (self.worker.busy() or self.editing.committing or self.timers.pending)

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
            self.work = self._works.on(image, channel_axis, labels, new_labels=new_labels)
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
        self.looking.settle()

    def _new_work(self, image: Any, channel_axis: int | None, labels: Any) -> Work:
        work = Work(
            self.viewer, image, self.complain, self.classes, self.recheck_soon, channel_axis, labels
        )
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
            self._works.forget_answers()
            self.looking.settle()
            self.ask()
            self.show()

    def _reset(self) -> None:
        """Stop what runs about another image, slice or model."""
        self.editing.drop_queue()
        for kind in ("embed", "click"):
            self.worker.cancel(kind)
        self.proposing.clear()
        self.asking.forget()

    # ---- events of the viewer --------------------------------------------------------------

    def _on_image_changed(self, _: Any = None) -> None:
        self.asking.forget()
        self.looking.settle()

    def _on_created(self, role: str, layer: Any) -> None:
        bind_layer(layer, self.run)
        if role == "prompts":
            layer.mouse_drag_callbacks.append(drag_callback(self.gestures))

    def _on_dims(self, _: Any = None) -> None:
        self._refresh_plane()
        self.looking.settle()

    def _on_view(self, _: Any = None) -> None:
        if self.work is not None:
            self.looking.settle()

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        self.layers.forget(layer)
        for work in self._works.without(layer):
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
            self.ask()
        self.paint_soon()

    # ---- the model -------------------------------------------------------------------------

    def ask(self) -> None:
        """Ask the model what was said last, if it has not answered that."""
        view = self.view()
        if view is not None:
            self.asking.ask(view, self._answered, self.failed)

    def _answered(self) -> None:
        self.editing.answered()
        self.show()

    def failed(self, error: Exception) -> None:
        """Tell that a job failed, and go on.

        Parameters
        ----------
        error : Exception
            What went wrong.
        """
        self.editing.drop_queue()
        self.complain(error)
        self.status.emit(str(error))

    def cancel(self) -> None:
        """Stop everything that runs in the background."""
        for kind in ("embed", "propose", "select", "click"):
            self.worker.cancel(kind)
        self.editing.drop_queue()
        self.status.emit("Stopped")

    def _on_busy(self, _: str) -> None:
        long = [kind for kind in ("embed", "propose") if self.worker.busy(kind)]
        self.busy_changed.emit(long[0] if long else "")

    # ---- keys ------------------------------------------------------------------------------

    def run(self, action: str) -> None:
        """Do what a key or button stands for.

        Parameters
        ----------
        action : str
            One of the actions of `KEYS`, ``"accept_all"`` or ``"restore"``.
        """
        who: Any = self
        if action in PROPOSING:
            who = self.proposing
        elif action in EDITING:
            who = self.editing
        try:
            getattr(who, action)()
        except (SamPluginsError, ValueError, OSError) as error:
            self.complain(error)
            self.status.emit(str(error))

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
        self.ask()
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
        self.timers.stop()
        self.worker.close()
        for event, slot in self._connections:
            event.disconnect(slot)
        unbind_viewer(self.viewer)
        self._works.close()
        self.work = self.plane = None
        self.layers.remove()
