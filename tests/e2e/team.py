"""A running Label Studio, and teams that work with it: projects with our backend connected."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from labelstudio_backend.building import build
from labelstudio_backend.client import LabelStudioClient
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.sample import Account, find_label_studio, running_label_studio
from labelstudio_backend.sample.project import LABEL_CONFIG
from labelstudio_backend.server.run import serving
from labelstudio_backend.server.settings import ServerSettings
from sam_plugins.errors import SamPluginsError
from tests.e2e.recorder import Recorder


def chromium() -> Path | None:
    """The system's browser; None if it has none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    return Path(found) if found else None


def missing() -> str:
    """What is needed and this machine lacks; empty if nothing."""
    try:
        find_label_studio()
    except SamPluginsError as error:
        return str(error)
    return "" if chromium() else "no chromium on the PATH: apt install chromium"


@dataclass(frozen=True)
class LabelStudio:
    """A running Label Studio, and its first user."""

    url: str
    account: Account
    client: LabelStudioClient

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        """What the client has no method for, because only tests and people do it."""
        headers = {"Authorization": f"Token {self.account.token}"}
        return requests.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=60)


@dataclass(frozen=True)
class Team:
    """A project with our backend connected, and the backend."""

    project: int
    tasks: tuple[int, ...]
    recorder: Recorder
    backend: str
    label_studio: LabelStudio

    def annotations(self, task: int) -> list[list[dict[str, Any]]]:
        """The results that people have submitted for a task."""
        whole = self.label_studio.client.task(task)
        return [each["result"] for each in whole["annotations"]]

    def predictions(self, task: int) -> list[dict[str, Any]]:
        """The predictions that are stored for a task."""
        return list(self.label_studio.client.task(task)["predictions"])

    def configure(self, extra_params: Mapping[str, Any]) -> None:
        """Set the extra parameters of the project's model."""
        (model,) = self.label_studio.client.ml_backends(self.project)
        body = {"url": model.url, "project": self.project, "extra_params": dict(extra_params)}
        self.label_studio.ask("PATCH", f"/api/ml/{model.id}", body).raise_for_status()

    def retrieve(self) -> None:
        """Let Label Studio retrieve predictions for all tasks, as from the list of tasks."""
        action = f"/api/dm/actions?project={self.project}&id=retrieve_tasks_predictions"
        chosen = {"selectedItems": {"all": True, "excluded": []}, "project": self.project}
        self.label_studio.ask("POST", action, chosen).raise_for_status()


@contextmanager
def label_studio_running(folder: Path, account: Account, *, port: int = 0) -> Iterator[LabelStudio]:
    """Label Studio with the database of a folder."""
    with running_label_studio(find_label_studio(), folder, account, port=port) as url:
        yield LabelStudio(url, account, LabelStudioClient(url, account.token))


@contextmanager
def backend_running(
    folder: Path, *, port: int = 0, fetch: FetchSettings | None = None, **options: Any
) -> Iterator[tuple[Recorder, str]]:
    """Our backend, which knows of Label Studio what /setup tells it; and its address."""
    application = build(
        ServerSettings(port=port),
        folder=folder,
        fetch=fetch or FetchSettings(),
        **{"prefetch": 0, **options},
    )
    recorder = Recorder(application)
    with serving(recorder) as url:  # type: ignore[arg-type]
        yield recorder, url


def assemble(
    label_studio: LabelStudio,
    backend: tuple[Recorder, str],
    images: Iterable[Path],
    *,
    label_config: str = LABEL_CONFIG,
) -> Team:
    """Make a project of images, and connect our backend."""
    recorder, url = backend
    client = label_studio.client
    project = client.create_project("Cells and objects", label_config).id
    for path in images:
        client.upload(project, path)
    client.connect_ml_backend(project, url)
    tasks = tuple(summary.id for summary in client.task_summaries(project))
    return Team(project, tasks, recorder, url, label_studio)
