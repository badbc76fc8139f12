"""``Gestures``: what the mouse did on the prompts is said to the session."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_sam.camera import screen_pixel
from napari_sam.geometry import to_pixels
from sam_plugins.regions import Plane, plane_size
from sam_plugins.session import Session

if TYPE_CHECKING:
    from napari_sam.controller import Controller
    from napari_sam.work import Work


class Gestures:
    """A `mouse.Listener`: brings positions to pixels, and says what is meant by them.

    Parameters
    ----------
    controller : Controller
        Who is told.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def clicked(self, position: Any, *, positive: bool) -> None:
        """A click on the prompts."""
        controller, spot = self._controller, self._inside(position)
        if spot is not None:
            foreground = positive == controller.positive
            commit = controller.options.one_click and foreground
            controller.editing.when_free(
                lambda session: session.add_point(*spot, foreground=foreground), commit=commit
            )

    def boxed(self, start: Any, stop: Any, *, finished: bool) -> None:
        """A drag on the prompts."""
        controller, shown = self._controller, self._shown()
        if shown is None:
            return
        work, plane, (height, width) = shown
        corners = [to_pixels(work.image, plane, each) for each in (start, stop)]
        # A pixel's edges are half a pixel from its centre.
        (x0, y0), (x1, y1) = (
            (min(max(x + 0.5, 0), width), min(max(y + 0.5, 0), height)) for x, y in corners
        )
        if not finished:
            pixel = screen_pixel(controller.viewer, work)
            controller.layers.show_boxes(plane, [(x0, y0, x1, y1)], screen_pixel=pixel)
            return
        if abs(x1 - x0) >= 1 and abs(y1 - y0) >= 1:
            controller.editing.when_free(
                lambda session: session.add_box(x0, y0, x1, y1),
                commit=controller.options.box_to_object,
            )
        controller.paint_soon()

    def scribbled(self, stroke: list[Any], *, positive: bool, finished: bool) -> None:
        """A drag with Shift on the prompts."""
        controller, shown = self._controller, self._shown()
        if shown is None or not finished:
            return
        work, plane, (height, width) = shown
        spots = [to_pixels(work.image, plane, each) for each in stroke]
        inside = [(x, y) for x, y in spots if 0 <= x < width and 0 <= y < height]
        if len(inside) > 1:
            foreground = positive == controller.positive
            controller.editing.when_free(
                lambda session: session.add_scribble(inside, foreground=foreground)
            )

    def picked(self, position: Any) -> None:
        """A click with Ctrl on the prompts."""
        spot = self._inside(position)
        if spot is not None:
            self._controller.editing.when_free(partial(self._take_up, spot))

    def _take_up(self, spot: tuple[float, float], session: Session) -> None:
        found, status = session.take_up(*spot), self._controller.status
        if found is None:
            status.emit("There is no object to take up here")
        else:
            status.emit(f"Object {found.id} taken up: click to correct it, then N")

    def _shown(self) -> tuple[Work, Plane, tuple[int, int]] | None:
        """The image, the slice that is seen, and its height and width; None in 3D."""
        work, plane = self._controller.work, self._controller.plane
        if work is None or plane is None:
            return None
        return work, plane, plane_size(plane, work.shape)

    def _inside(self, position: Any) -> tuple[float, float] | None:
        """x, y of a position in pixels, if it lies on the slice."""
        shown = self._shown()
        if shown is None:
            self._controller.status.emit("Choose an image, shown in 2D")
            return None
        work, plane, (height, width) = shown
        x, y = to_pixels(work.image, plane, position)
        return (x, y) if -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5 else None
