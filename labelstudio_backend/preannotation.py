"""Masks for whole projects, outside of the time that Label Studio waits for an answer.

What is done is known from Label Studio alone: a task is done when it has a prediction of the model.
So a run that was killed is resumed by running it again, and nothing is written twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from filelock import FileLock, Timeout

from labelstudio_backend.client import LabelStudioClient, Prediction, Project
from labelstudio_backend.model_server import ModelServer, ModelServerError
from sam_plugins.checkpoints.locations import cache_directory
from sam_plugins.errors import SamPluginsError

Progress = Callable[[int, int], None]
Report = Callable[[int, Exception], None]


class BusyError(SamPluginsError):
    """Another run annotates this project at this moment."""


@dataclass(frozen=True)
class Tally:
    """What became of the tasks of a project.

    Parameters
    ----------
    done : int
        Tasks that got masks now.
    kept : int
        Tasks that had predictions of this model before.
    empty : int
        Tasks for which the model had nothing to do.
    failed : int
        Tasks that could not be annotated.
    regions : int
        Regions written now.
    model_version : str
        Under which name.
    """

    done: int = 0
    kept: int = 0
    empty: int = 0
    failed: int = 0
    regions: int = 0
    model_version: str = ""


@dataclass(frozen=True)
class Preannotator:
    """Writes a model's predictions for all tasks of a project.

    Parameters
    ----------
    client : LabelStudioClient
        Where the tasks are.
    server : ModelServer
        Who annotates: the backend that also answers the annotators, so that the image embeddings
        that this makes are there when they begin.
    chunk : int
        Tasks in one request; a killed run does that many again.
    unlabelled_only : bool
        Leave out tasks that people have annotated.
    progress : callable
        Called with ``(tasks looked at, tasks in all)``.
    report : callable
        Called with a task's id and why it could not be annotated.
    """

    client: LabelStudioClient
    server: ModelServer
    chunk: int = 4
    unlabelled_only: bool = False
    progress: Progress = field(default=lambda done, total: None, repr=False)
    report: Report = field(default=lambda task, error: None, repr=False)

    def run(self, number: int) -> Tally:
        """Annotate a project.

        Parameters
        ----------
        number : int
            The project's id.

        Returns
        -------
        Tally

        Raises
        ------
        BusyError
            If another run on this machine does so now: both would write the same.
        LabelStudioError, TokenRefusedError
            If Label Studio does not answer, or not well. What was written stays.
        ModelServerError
            If the backend is not reached.
        """
        with _alone(self.client.url, number):
            project = self.client.project(number)
            self.server.health()
            version = self.server.model_version(project, self._extra_params(number))
            tasks = list(self.client.task_summaries(number))
            wanted = [task for task in tasks if not (self.unlabelled_only and task.annotations)]
            todo = [task.id for task in wanted if version not in task.model_versions]
            tally = Tally(kept=len(wanted) - len(todo), model_version=version)
            self.progress(tally.kept, len(wanted))
            for start in range(0, len(todo), self.chunk):
                ids = todo[start : start + self.chunk]
                tally = self._annotate(project, ids, tally)
                self.progress(tally.kept + start + len(ids), len(wanted))
            return tally

    def _extra_params(self, number: int) -> Mapping[str, Any] | str:
        """What the project's owner has set for the model, as far as it is connected."""
        rows = self.client.ml_backends(number)
        same = [row for row in rows if row.url == self.server.url]
        # Its address may be another one for Label Studio than for us.
        chosen = same or (rows if len(rows) == 1 else [])
        return chosen[0].extra_params if chosen else {}

    def _annotate(self, project: Project, ids: Sequence[int], tally: Tally) -> Tally:
        made, failed = self._predict(project, ids, tally.model_version)
        full = [prediction for prediction in made if prediction.result]
        # Looked at again just before writing: annotators' own clicks on "retrieve predictions", or
        # the last request of a run that was killed, may have been quicker.
        late = {
            task.id
            for task in self.client.task_summaries(project.id, only=[each.task for each in full])
            if tally.model_version in task.model_versions
        }
        new = [prediction for prediction in full if prediction.task not in late]
        if new:
            self.client.import_predictions(project.id, new)
        return replace(
            tally,
            done=tally.done + len(new),
            kept=tally.kept + len(late),
            empty=tally.empty + len(made) - len(full),
            failed=tally.failed + failed,
            regions=tally.regions + sum(len(prediction.result) for prediction in new),
        )

    def _predict(
        self, project: Project, ids: Sequence[int], version: str
    ) -> tuple[list[Prediction], int]:
        """Predictions for tasks, and how many failed: one of them must not spoil the others."""
        tasks = list(self.client.tasks(project.id, only=ids))
        try:
            answers = self.server.predict(project, tasks)
        except ModelServerError as error:
            if error.status is None:
                self.server.health()
            if len(ids) > 1:
                parts = [self._predict(project, [number], version) for number in ids]
                return [each for made, _ in parts for each in made], sum(bad for _, bad in parts)
            self.report(ids[0], error)
            return [], 1
        made = [
            Prediction(int(task["id"]), regions, score, version)
            for task, (regions, score) in zip(tasks, answers, strict=True)
        ]
        return made, 0


@contextmanager
def _alone(url: str, project: int) -> Iterator[None]:
    name = hashlib.sha256(f"{url}\n{project}".encode()).hexdigest()[:16]
    folder = cache_directory() / "label-studio"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"preannotate-{name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise BusyError(
            f"another preannotate of project {project} at {url} is under way: wait for it, or "
            "stop it"
        ) from error
