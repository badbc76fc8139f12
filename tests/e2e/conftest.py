"""A real Label Studio, our backend and a browser: what the tests of this folder run on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labelstudio_backend.building import build
from labelstudio_backend.client import LabelStudioClient
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.sample import (
    Account,
    find_label_studio,
    own_account,
    running_label_studio,
)
from labelstudio_backend.sample.images import write_images
from labelstudio_backend.sample.project import LABEL_CONFIG
from labelstudio_backend.server.run import serving
from labelstudio_backend.server.settings import ServerSettings
from sam_plugins.errors import SamPluginsError
from tests.e2e.annotator import Annotator, browsing
from tests.e2e.recorder import Recorder

HERE = Path(__file__).parent
# Where screenshots are kept, if somebody wants to look at them.
ALBUM = "SAM_PLUGINS_SCREENSHOTS"


def missing() -> str:
    """What these tests need and this machine lacks; empty if nothing."""
    try:
        find_label_studio()
    except SamPluginsError as error:
        return str(error)
    return "" if chromium() else "no chromium on the PATH: apt install chromium"


def chromium() -> str | None:
    """The system's browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need the same."""
    reason = missing()
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class LabelStudio:
    """A running Label Studio, and its first user."""

    url: str
    account: Account
    client: LabelStudioClient


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


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """Label Studio with an empty database."""
    folder = tmp_path_factory.mktemp("label-studio")
    account = own_account(folder)
    with running_label_studio(find_label_studio(), folder, account) as url:
        yield LabelStudio(url, account, LabelStudioClient(url, account.token))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or leaves anything in the user's cache, or obeys his environment."""
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(tmp_path / "cache"))
    for name in [each for each in os.environ if each.startswith(("LABEL_STUDIO_", "BASIC_AUTH_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sample's images: coins first."""
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def backend(tmp_path: Path, own_cache: None) -> Iterator[tuple[Recorder, str]]:
    """Our backend, which knows of Label Studio what /setup tells it; and its address."""
    application = build(
        ServerSettings(port=0), folder=tmp_path / "backend", fetch=FetchSettings(), prefetch=0
    )
    recorder = Recorder(application)
    with serving(recorder) as url:  # type: ignore[arg-type]
        yield recorder, url


@pytest.fixture
def assemble(
    label_studio: LabelStudio, backend: tuple[Recorder, str], images: Sequence[Path]
) -> Callable[..., Team]:
    """Make a project with the first of the images, and connect our backend."""
    recorder, url = backend

    def make(*, count: int = 1, label_config: str = LABEL_CONFIG) -> Team:
        client = label_studio.client
        project = client.create_project("A team's own", label_config).id
        for path in images[:count]:
            client.upload(project, path)
        client.connect_ml_backend(project, url)
        tasks = tuple(summary.id for summary in client.task_summaries(project))
        return Team(project, tasks, recorder, url, label_studio)

    return make


@pytest.fixture(scope="module")
def annotator(
    label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Annotator]:
    """A person who is logged in."""
    album = Path(os.environ.get(ALBUM) or tmp_path_factory.mktemp("screenshots"))
    album.mkdir(parents=True, exist_ok=True)
    with browsing(Path(chromium() or "")) as page:
        person = Annotator(page, label_studio.url, album)
        person.log_in(label_studio.account)
        yield person
