"""``Collector``: fetches what annotators accepted, after a webhook said that there is something.

Webhooks carry no password, so that nothing in them is believed: they only say where to look, and
what is learned from is read from Label Studio with our own token.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.client import LabelStudioClient
from labelstudio_backend.fetching import decode_image
from labelstudio_backend.learning.examples import ExampleStore
from labelstudio_backend.protocol.labelling_config import read_labelling_config
from labelstudio_backend.protocol.masks import read_masks
from sam_plugins.errors import SamPluginsError

LOGGER = logging.getLogger(__name__)

MOST_WAITING = 10_000
# What was noted and is not done yet, in a project's folder: so that no kill loses it.
_NOTED, _ALL = "noted", "all"

ClientOf = Callable[[str], LabelStudioClient | None]


class Collector:
    """Keeps the examples of each project as Label Studio has them.

    Parameters
    ----------
    folder : Path
        With a folder for each project.
    projects : Projects
        Who gets the images.
    client_of : callable
        Who knows a project's tasks; None if Label Studio cannot be asked.
    """

    def __init__(self, folder: Path, projects: Projects, client_of: ClientOf) -> None:
        self._folder, self._projects, self._client_of = folder, projects, client_of
        self._changed: queue.Queue[tuple[int, int | None] | None] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        for mark in sorted(folder.glob(f"*/{_NOTED}/*")):
            # From before a kill, or while Label Studio was not there.
            if mark.parts[-3].isdigit() and (mark.name.isdigit() or mark.name == _ALL):
                self.note(int(mark.parts[-3]), None if mark.name == _ALL else int(mark.name))

    def store(self, project: int) -> ExampleStore:
        """The examples of a project.

        Parameters
        ----------
        project : int

        Returns
        -------
        ExampleStore
        """
        return ExampleStore(self._folder / str(project))

    def note(self, project: int, task: int | None) -> None:
        """Look at a task again soon.

        Parameters
        ----------
        project : int
        task : int or None
            None for all that are kept of the project.
        """
        try:
            mark = self._mark(project, task)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        except OSError as error:
            LOGGER.warning("task %s of project %d is not noted down: %s", task, project, error)
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="collect", daemon=True)
                self._thread.start()
        try:
            self._changed.put_nowait((project, task))
        except queue.Full:
            LOGGER.warning("task %s of project %d is not collected: too many wait", task, project)

    def wait(self) -> None:
        """Wait until everything that was noted is done."""
        self._changed.join()

    def close(self) -> None:
        """End the thread; what waits is left."""
        if self._thread is not None:
            self._changed.put(None)
            self._thread.join(10)
            self._thread = None

    def collect(self, project: int, task: int) -> int:
        """Bring a task's examples up to date, now.

        Parameters
        ----------
        project, task : int

        Returns
        -------
        int
            How many masks it has.

        Raises
        ------
        SamPluginsError
            If Label Studio or the image is not reached, or a mask is malformed.
        """
        client = self._client_of(str(project))
        if client is None:
            raise SamPluginsError(
                "Label Studio cannot be asked for annotations: set LABEL_STUDIO_URL and "
                "LABEL_STUDIO_API_KEY"
            )
        # From the list of tasks: asked for one by itself, Label Studio would have it predicted.
        found = next(client.tasks(project, only=[task]), None)
        store, regions = self.store(project), _accepted(found or {})
        if found is None or not regions:
            store.remove(task)
            return 0
        config = read_labelling_config(client.project(project).label_config)
        _, field = config.image_of(None)
        image = self._projects.fetcher(str(project)).open(found["data"].get(field), task=found)
        height, width = decode_image(image).shape[:2]
        masks = read_masks(regions, (height, width))
        if masks:
            store.put(task, image, masks)
        else:
            store.remove(task)
        return len(masks)

    def _mark(self, project: int, task: int | None) -> Path:
        """A file that is there until what was noted is done."""
        return self._folder / str(project) / _NOTED / (_ALL if task is None else str(task))

    def _work(self) -> None:
        while True:
            noted = self._changed.get()
            try:
                if noted is None:
                    return
                project, task = noted
                for number in [task] if task is not None else self.store(project).tasks():
                    self.collect(project, number)
                self._mark(project, task).unlink(missing_ok=True)
            except SamPluginsError as error:
                LOGGER.warning("task %s of project %d is not collected: %s", task, project, error)
            # A thread that ends would end collecting for everybody.
            except Exception:
                LOGGER.exception("collecting failed")
            finally:
                self._changed.task_done()


def _accepted(task: Mapping[str, Any]) -> list[Any]:
    """The regions of the newest annotation that was not cancelled."""
    rows = [row for row in task.get("annotations") or [] if not row.get("was_cancelled")]
    rows.sort(key=lambda row: str(row.get("updated_at") or ""))
    return list(rows[-1].get("result") or []) if rows else []
