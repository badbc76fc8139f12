"""``Looking``: embeds what a person looks at, before the first click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam.controller import Controller

# The window waits this long for the view to come to rest before it embeds what is seen.
SETTLED_MS = 250

# napari knows what is seen once it has drawn it, which may come after the camera's event and even
# after an embedding that was known already: look again this long after one was asked for.
DRAWN_BY_MS = 100


class Looking:
    """Embeds what is seen, so that the first click is answered at once.

    Parameters
    ----------
    controller : Controller
        Whose view.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._settling = controller.timers.single(SETTLED_MS, self.embed)
        self._checking = controller.timers.single(DRAWN_BY_MS, self._check)
        self._visible: Any = None  # what was seen when an embedding was asked for last

    def settle(self) -> None:
        """Embed once the view has come to rest."""
        self._settling.start()

    def embed(self) -> None:
        """Embed now, unless something was said about another view already."""
        self._settling.stop()
        controller = self._controller
        view = controller.view()
        if view is not None and controller.session is not None and controller.session.prompts.empty:
            controller.status.emit("Encoding the image ...")
            self._visible = view.visible
            self._checking.start()
            controller.asking.embed(view, self._embedded, controller.failed)

    def _embedded(self) -> None:
        self._controller.status.emit("Ready: click on an object")
        self._check()

    def _check(self) -> None:
        """Embed anew if something else is seen by now."""
        view = self._controller.view()
        if view is not None and view.visible != self._visible:
            self.settle()
