"""``Timers``: what is done a little later, once."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer


class Timers:
    """Timers that run once each time they are started, and stop together.

    Parameters
    ----------
    parent : QObject
        Owns them.
    """

    def __init__(self, parent: QObject) -> None:
        self._parent = parent
        self._all: list[QTimer] = []
        self._lazy: set[QTimer] = set()

    def single(self, interval: int, slot: Callable[[], None], *, lazy: bool = False) -> QTimer:
        """Make a timer.

        Parameters
        ----------
        interval : int
            Milliseconds from a start on; a start before that begins anew.
        slot : callable
            Called without arguments.
        lazy : bool
            For work that nobody waits for.

        Returns
        -------
        QTimer
        """
        timer = QTimer(self._parent)
        timer.setSingleShot(True)
        timer.setInterval(interval)
        timer.timeout.connect(slot)
        self._all.append(timer)
        if lazy:
            self._lazy.add(timer)
        return timer

    @property
    def pending(self) -> bool:
        """Whether something is still to be done that somebody waits for."""
        return any(timer.isActive() for timer in self._all if timer not in self._lazy)

    @property
    def active(self) -> bool:
        """Whether anything is still to be done."""
        return any(timer.isActive() for timer in self._all)

    def stop(self) -> None:
        """Stop all."""
        for timer in self._all:
            timer.stop()
