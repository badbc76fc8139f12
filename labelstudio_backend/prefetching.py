"""``Prefetcher``: images of the next tasks, embedded while the annotator works on this one."""

from __future__ import annotations

import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from labelstudio_backend.answering import PredictRequest, Service
from labelstudio_backend.client import LabelStudioClient
from sam_plugins.errors import SamPluginsError

LOGGER = logging.getLogger(__name__)

# Tasks that are waited for; more were opened meanwhile by people who are further on by now.
MOST_WAITING = 32
# Tasks that are remembered as opened: a few for each of many annotators.
MOST_KNOWN = 256

ClientOf = Callable[[str], LabelStudioClient | None]


class Prefetcher:
    """Embeds the images of tasks that will be opened next.

    Parameters
    ----------
    service : Service
    client_of : callable
        Who knows a project's tasks; None if Label Studio cannot be asked.
    ahead : int
        How many tasks.

    Notes
    -----
    One thread, and batches' turns: it never takes the model from people. What fails is logged at
    level INFO alone: nobody waits for it, and a click will tell.
    """

    def __init__(self, service: Service, client_of: ClientOf, *, ahead: int = 3) -> None:
        self._service, self._client_of, self._ahead = service, client_of, ahead
        self._opened: queue.Queue[tuple[PredictRequest, int] | None] = queue.Queue(MOST_WAITING)
        self._known: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def on_predict(self, request: PredictRequest) -> None:
        """Take note that a task was opened or prompted.

        Parameters
        ----------
        request : PredictRequest
        """
        number = request.tasks[0].get("id")
        if not self._ahead or len(request.tasks) != 1 or not isinstance(number, int):
            return
        if self._is_known((request.project, number)):
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="prefetch", daemon=True)
                self._thread.start()
        try:
            self._opened.put_nowait((request, number))
        except queue.Full:
            LOGGER.info("task %d: too many were opened to look ahead", number)

    def _is_known(self, opened: tuple[str, int]) -> bool:
        """Whether somebody looked at a task lately; they click on it many times, in turns."""
        with self._lock:
            known = opened in self._known
            self._known[opened] = None
            self._known.move_to_end(opened)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        return known

    def wait(self) -> None:
        """Wait until everything that was noted is done."""
        self._opened.join()

    def close(self) -> None:
        """End the thread; what waits is left."""
        if self._thread is not None:
            self._opened.put(None)
            self._thread.join(10)
            self._thread = None

    def _work(self) -> None:
        while True:
            opened = self._opened.get()
            try:
                if opened is None:
                    return
                self._look_ahead(*opened)
            except SamPluginsError as error:
                LOGGER.info("not looked ahead: %s", error)
            # A thread that ends would end looking ahead for everybody.
            except Exception:
                LOGGER.exception("looking ahead failed")
            finally:
                self._opened.task_done()

    def _look_ahead(self, request: PredictRequest, number: int) -> None:
        client = self._client_of(request.project)
        if client is None or not request.project.isdigit():
            return
        for task in client.tasks_after(int(request.project), number, count=self._ahead):
            self._embed(request, task)

    def _embed(self, request: PredictRequest, task: Mapping[str, Any]) -> None:
        try:
            self._service.embed_task(request, task)
        except SamPluginsError as error:
            LOGGER.info("task %s is not embedded ahead: %s", task.get("id"), error)
