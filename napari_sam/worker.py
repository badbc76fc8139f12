"""``Worker``: one thread that does everything with the model; the window never waits for it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QObject, Signal

from sam_plugins.errors import CancelledError

# Asked for first: a click does not wait for a long job to end, see `Task.pause`.
URGENT = "click"

# Seconds after which the worker gives the interpreter to the window, which asks for it dozens of
# times while it draws once; Python's own 5 ms would add up to a window that stands still.
SWITCH_SECONDS = 0.0005


@dataclass(eq=False)
class Task:
    """A job under way.

    Parameters
    ----------
    kind : str
        Of two jobs of one kind, the newer replaces the older.
    job : callable
        Called with this task, in the worker's thread.
    done, failed : callable
        Called with the result or the exception, in the window's thread.
    worker : Worker
        Who does it.
    """

    kind: str
    job: Callable[[Task], Any]
    done: Callable[[Any], None]
    failed: Callable[[Exception], None]
    worker: Worker
    _cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the result any more."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Drop the result, and stop at the next `pause`."""
        self._cancelled.set()

    def pause(self) -> None:
        """Stop if the job was cancelled; else answer the clicks that came meanwhile.

        Raises
        ------
        CancelledError
            If the job was cancelled.
        """
        if self.cancelled:
            raise CancelledError("cancelled")
        if self.kind != URGENT:
            self.worker.run_urgent()

    def progress(self, done: int, total: int) -> None:
        """Tell how far the job is, and `pause`.

        Parameters
        ----------
        done, total : int
            In units of the job's own.
        """
        self.pause()
        self.worker.progressed.emit(self.kind, done, total)


class Worker(QObject):
    """One thread, in which a newer job replaces an older one of its kind."""

    progressed = Signal(str, int, int)
    started = Signal(str)
    ended = Signal(str)
    _finished = Signal(object, object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._wake = threading.Condition()
        self._pending: dict[str, Task] = {}
        self._running: dict[str, Task] = {}
        self._closed = False
        self._thread: threading.Thread | None = None
        self._finished.connect(self._deliver)

    def submit(
        self,
        kind: str,
        job: Callable[[Task], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Do a job as soon as possible.

        Parameters
        ----------
        kind : str
            An older job of this kind is cancelled.
        job : callable
            Called with its `Task`, in the worker's thread.
        done, failed : callable
            Called with the result or the exception, in the window's thread; neither is called if
            the job was cancelled.
        """
        self.cancel(kind)
        with self._wake:
            if self._closed:
                return
            self._pending[kind] = Task(kind, job, done, failed, self)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="sam", daemon=True)
                self._thread.start()
            self._wake.notify()

    def cancel(self, kind: str) -> None:
        """Cancel the job of a kind, whether it waits or runs.

        Parameters
        ----------
        kind : str
        """
        with self._wake:
            for task in (self._pending.pop(kind, None), self._running.get(kind)):
                if task is not None:
                    task.cancel()

    def busy(self, kind: str | None = None) -> bool:
        """Whether a job waits, runs or is not delivered yet.

        Parameters
        ----------
        kind : str, optional
            Any kind if omitted.

        Returns
        -------
        bool
        """
        with self._wake:
            tasks = [*self._pending.values(), *self._running.values()]
            return any(kind in (None, task.kind) and not task.cancelled for task in tasks)

    def run_urgent(self) -> None:
        """Do the job of the kind ``"click"`` if one waits; called from within a longer job."""
        with self._wake:
            task = self._pending.pop(URGENT, None)
        if task is not None:
            self._run(task)

    def close(self, *, wait: float = 0) -> None:
        """Cancel everything and end the thread once the job that runs lets it.

        Parameters
        ----------
        wait : float
            For how many seconds at most.
        """
        with self._wake:
            self._closed = True
            for task in (*self._pending.values(), *self._running.values()):
                task.cancel()
            self._pending.clear()
            self._wake.notify()
        if self._thread is not None and wait:
            self._thread.join(wait)

    def _work(self) -> None:
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        while True:
            with self._wake:
                while not self._pending and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                kind = URGENT if URGENT in self._pending else next(iter(self._pending))
                task = self._pending.pop(kind)
            self._run(task)

    def _run(self, task: Task) -> None:
        with self._wake:
            self._running[task.kind] = task
        self.started.emit(task.kind)
        result, problem = None, None
        try:
            result = task.job(task)
        except CancelledError:
            task.cancel()
        except Exception as error:
            problem = error
        # It counts as running until the window has its result.
        if not self._closed:
            self._finished.emit(task, result, problem)

    def _deliver(self, task: Task, result: Any, problem: Exception | None) -> None:
        if self._closed:
            return
        with self._wake:
            if self._running.get(task.kind) is task:
                del self._running[task.kind]
        self.ended.emit(task.kind)
        if task.cancelled:
            return
        if problem is None:
            task.done(result)
        else:
            task.failed(problem)
