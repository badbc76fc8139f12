"""``Editing``: what a person says about the object under way, and the keys that keep or drop it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sam_plugins.session import Session

if TYPE_CHECKING:
    from napari_sam.controller import Controller


class Editing:
    """Says things to the session of the slice that is shown, one after the other.

    An object that is to be kept before its mask is there is kept once the model has answered; what
    is said in the meantime is about the next object, and waits.

    Parameters
    ----------
    controller : Controller
        Whose session.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._waiting: deque[Callable[[], None]] = deque()
        self._commit_at: int | None = None  # the version whose answer is committed
        self._with_prompts = False

    @property
    def committing(self) -> bool:
        """Whether an object is about to be kept, as soon as the model has answered."""
        return self._commit_at is not None

    def when_free(self, say: Callable[[Session], Any], *, commit: bool = False) -> None:
        """Say something now, or after the object that is about to be kept.

        Parameters
        ----------
        say : callable
            Called with the session.
        commit : bool
            Whether the object is to be kept with it.
        """
        if self.committing:
            self._waiting.append(partial(self._say, say, commit))
        else:
            self._say(say, commit)

    def _say(self, say: Callable[[Session], Any], commit: bool) -> None:
        session = self._controller.session
        if session is None:
            return
        say(session)
        if commit:
            self._commit_at, self._with_prompts = session.version, True
        self._controller.ask()
        self._controller.show()

    def answered(self) -> None:
        """Keep the object that waited for the model's answer, and say what waited for that."""
        session = self._controller.session
        if session is not None and self._commit_at == session.version:
            self._commit_at = None
            self._controller.run("commit")
            while self._waiting and not self.committing:
                self._waiting.popleft()()

    def drop_queue(self) -> None:
        """Forget what waits to be kept or said."""
        self._waiting.clear()
        self._commit_at = None
        self._with_prompts = False

    # ---- keys ------------------------------------------------------------------------------

    def commit(self) -> None:
        """Keep the mask as an object; if its answer is under way, as soon as it comes."""
        controller, session = self._controller, self._controller.session
        if session is None or controller.work is None:
            return
        if self.committing:
            self._waiting.append(partial(controller.run, "commit"))
            return
        if session.waiting:
            self._commit_at = session.version
            if not controller.worker.busy("click"):
                controller.ask()
            return
        together, self._with_prompts = self._with_prompts, False
        session.overlap = controller.options.overlap
        record = session.commit(with_prompts=together)
        if record is None:
            controller.status.emit("Nothing to keep yet: click on an object")
            return
        controller.status.emit(f"Object {record.id} kept")
        controller.recheck_soon()
        controller.show()

    def undo(self) -> None:
        """Take back the last hint or, if there is none, the last commit."""
        controller, session = self._controller, self._controller.session
        if session is None:
            return
        self.drop_queue()
        controller.worker.cancel("click")
        name = session.undo()
        controller.status.emit("Nothing to undo" if name is None else f"Undone: {name}")
        controller.ask()
        controller.recheck_soon()
        controller.show()

    def clear(self) -> None:
        """Drop the object under way; an undo brings it back."""
        controller, session = self._controller, self._controller.session
        if session is not None:
            self.drop_queue()
            controller.worker.cancel("click")
            session.clear()
            controller.show()

    def cycle(self) -> None:
        """Show the next candidate."""
        controller, session = self._controller, self._controller.session
        if session is not None:
            if session.candidates < 2:
                controller.status.emit(
                    "There is no other mask: one more click tells which is meant"
                )
            session.cycle()
            controller.show()
