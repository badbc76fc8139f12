"""``Turns``: how much is computed at once, and who waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sam_plugins.errors import SamPluginsError


class BusyError(SamPluginsError):
    """More is asked than can be answered in time."""

    status = 503


class Turns:
    """Lets a few compute at a time; the others wait. Batches do not keep people waiting.

    Parameters
    ----------
    at_once : int
        How many compute at once for people, and as many for batches.
    waiting : int
        How many may wait.
    patience : float
        Seconds that they wait.
    """

    def __init__(self, at_once: int, *, waiting: int = 64, patience: float = 90.0) -> None:
        self._free = {True: at_once, False: at_once}
        self._most_waiting, self._patience = waiting, patience
        self._waiting = {True: 0, False: 0}
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return sum(self._waiting.values())

    @contextmanager
    def __call__(self, urgent: bool) -> Iterator[None]:
        """Wait for a turn, and hold it in the block.

        Parameters
        ----------
        urgent : bool
            Whether a person waits.

        Raises
        ------
        BusyError
            If too many wait, or it took too long.
        """
        self._begin(urgent)
        try:
            yield
        finally:
            with self._changed:
                self._free[urgent] += 1
                self._changed.notify_all()

    def _begin(self, urgent: bool) -> None:
        until = time.monotonic() + self._patience
        with self._changed:
            if not self._free[urgent] and self.waiting >= self._most_waiting:
                raise BusyError(f"{self.waiting} requests are waiting already: try again later")
            self._waiting[urgent] += 1
            try:
                while not self._free[urgent]:
                    left = until - time.monotonic()
                    if left <= 0:
                        raise BusyError(f"no turn within {self._patience:g} seconds")
                    self._changed.wait(left)
                self._free[urgent] -= 1
            finally:
                self._waiting[urgent] -= 1
