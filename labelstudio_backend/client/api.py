"""Label Studio's own API: what this project asks of it, in types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labelstudio_backend.client.connection import Connection, LabelStudioError
from labelstudio_backend.client.records import (
    MLBackend,
    Prediction,
    Project,
    TaskSummary,
    read_backend,
    read_project,
    read_task_summary,
)
from labelstudio_backend.fetching import TokenKind

PAGE_SIZE = 100


class LabelStudioClient:
    """Asks one Label Studio.

    Parameters
    ----------
    url : str
        Its address, with its path if it is not served from the root.
    token : str or None
        Legacy or personal access token.

    Examples
    --------
    >>> client = LabelStudioClient("http://localhost:8080", "...")
    >>> client.project(1).label_config  # doctest: +SKIP
    '<View>...'
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._connection = Connection(url, token)

    @property
    def url(self) -> str:
        """Label Studio's address, without a slash at its end."""
        return self._connection.url

    @property
    def token_kind(self) -> TokenKind:
        """Which kind of token this is."""
        return self._connection.tokens.kind

    def version(self) -> str:
        """Label Studio's version, which it tells without a token.

        Raises
        ------
        LabelStudioError
            If there is no Label Studio.
        """
        answer = self._send("GET", "/api/version", authorized=False)
        release = answer.get("release") if isinstance(answer, dict) else None
        if not isinstance(release, str):
            raise LabelStudioError(f"what answers at {self.url} is no Label Studio")
        return release

    def whoami(self) -> str:
        """The e-mail address of the token's user."""
        return str(self._send("GET", "/api/current-user/whoami")["email"])

    def project(self, number: int) -> Project:
        """A project by its number."""
        return read_project(self._send("GET", f"/api/projects/{number}/"))

    def projects(self) -> list[Project]:
        """All projects that the token's user sees."""
        found, page = [], 1
        while True:
            answer = self._send("GET", "/api/projects/", params={"page": page, "page_size": 100})
            found += [read_project(entry) for entry in answer["results"]]
            if not answer.get("next"):
                return found
            page += 1

    def create_project(self, title: str, label_config: str) -> Project:
        """Make a project."""
        body = {"title": title, "label_config": label_config}
        return read_project(self._send("POST", "/api/projects/", json=body))

    def upload(self, project: int, path: Path) -> None:
        """Upload an image, as a task of its own."""
        with path.open("rb") as stream:
            self._send("POST", f"/api/projects/{project}/import", files={"file": stream})

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Make tasks, with any annotations and predictions that they have."""
        self._send("POST", f"/api/projects/{project}/import", json=list(tasks))

    def task_summaries(
        self, project: int, *, only: Sequence[int] | None = None
    ) -> Iterator[TaskSummary]:
        """List the tasks of a project, without their data: a mask may take megabytes.

        Parameters
        ----------
        project : int
        only : sequence of int, optional
            The ids of those to list.

        Yields
        ------
        TaskSummary
            In Label Studio's order.
        """
        fields = "id,predictions_model_versions,total_annotations"
        for entry in self._pages(project, only, include=fields):
            yield read_task_summary(entry)

    def tasks(self, project: int, *, only: Sequence[int] | None = None) -> Iterator[dict[str, Any]]:
        """List the tasks of a project whole, with annotations and predictions.

        Parameters
        ----------
        project : int
        only : sequence of int, optional
            The ids of those to list.

        Yields
        ------
        dict
            As Label Studio has them.
        """
        yield from self._pages(project, only)

    def tasks_after(self, project: int, task: int, *, count: int) -> list[dict[str, Any]]:
        """The tasks that follow one in a project, by their numbers.

        Parameters
        ----------
        project, task : int
        count : int
            How many, at most.

        Returns
        -------
        list of dict
            As Label Studio has them, without annotations.
        """
        later = {
            "filter": "filter:tasks:id",
            "operator": "greater",
            "type": "Number",
            "value": task,
        }
        chosen = {"filters": {"conjunction": "and", "items": [later]}, "ordering": ["tasks:id"]}
        query = {"project": project, "page_size": count, "query": json.dumps(chosen)}
        answer = self._send("GET", "/api/tasks/", params=query)
        return list(answer["tasks"])

    def task(self, number: int) -> dict[str, Any]:
        """A task with its annotations, as Label Studio has it."""
        return dict(self._send("GET", f"/api/tasks/{number}/"))

    def import_predictions(self, project: int, predictions: Sequence[Prediction]) -> None:
        """Add predictions to tasks, all or none of them. Not tried again if the answer is lost."""
        body = [
            {
                "task": each.task,
                "result": list(each.result),
                "score": each.score,
                "model_version": each.model_version,
            }
            for each in predictions
        ]
        self._send("POST", f"/api/projects/{project}/import/predictions", json=body)

    def ml_backends(self, project: int) -> list[MLBackend]:
        """The models that are connected to a project; Label Studio asks each how it is."""
        return [
            read_backend(row) for row in self._send("GET", "/api/ml/", params={"project": project})
        ]

    def connect_ml_backend(
        self,
        project: int,
        url: str,
        *,
        title: str = "Segment Anything",
        basic_auth: tuple[str, str] | None = None,
    ) -> MLBackend:
        """Connect a model to a project, for smart prompts as well.

        Parameters
        ----------
        project : int
        url : str
            The model's server, as Label Studio reaches it.
        title : str
            What people see.
        basic_auth : tuple of str, optional
            User and password of the model's server.

        Returns
        -------
        MLBackend
        """
        body: dict[str, Any] = {
            "url": url,
            "project": project,
            "title": title,
            "is_interactive": True,
        }
        if basic_auth:
            user, password = basic_auth
            body |= {
                "auth_method": "BASIC_AUTH",
                "basic_auth_user": user,
                "basic_auth_pass": password,
            }
        return read_backend(self._send("POST", "/api/ml/", json=body))

    def disconnect_ml_backend(self, number: int) -> None:
        """Take a model off its project; its predictions stay."""
        self._send("DELETE", f"/api/ml/{number}")

    def webhook_urls(self, project: int) -> list[str]:
        """Whom Label Studio tells of what happens in a project."""
        rows = self._send("GET", "/api/webhooks/", params={"project": project})
        return [str(row["url"]) for row in rows if row.get("is_active")]

    def _send(self, method: str, path: str, **more: Any) -> Any:
        return self._connection.send(method, path, **more)

    def _pages(
        self, project: int, only: Sequence[int] | None, **fields: str
    ) -> Iterator[dict[str, Any]]:
        if only is not None and not only:
            return
        query: dict[str, Any] = {"project": project, "fields": "all", "page_size": PAGE_SIZE}
        if only is not None:
            chosen = {"selectedItems": {"all": False, "included": list(only)}}
            query["query"] = json.dumps(chosen)
        page, seen = 1, 0
        while True:
            answer = self._send("GET", "/api/tasks/", params={**query, **fields, "page": page})
            yield from answer["tasks"]
            seen += len(answer["tasks"])
            if not answer["tasks"] or seen >= answer["total"]:
                return
            page += 1
