"""A real Label Studio, our backend and a browser: what the tests of this folder run on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from labelstudio_backend.sample import own_account
from labelstudio_backend.sample.images import write_images
from labelstudio_backend.sample.project import LABEL_CONFIG
from tests.e2e.annotator import Annotator, browsing
from tests.e2e.recorder import Recorder
from tests.e2e.team import (
    LabelStudio,
    Team,
    assemble,
    backend_running,
    chromium,
    label_studio_running,
    missing,
)

HERE = Path(__file__).parent
# Names the folder where screenshots are kept, if somebody wants to look at them.
ALBUM = "SAM_PLUGINS_SCREENSHOTS"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need the same."""
    reason = missing()
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.e2e)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """Label Studio with an empty database."""
    folder = tmp_path_factory.mktemp("label-studio")
    with label_studio_running(folder, own_account(folder)) as running:
        yield running


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees or leaves anything in the user's cache, or obeys their environment."""
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(tmp_path / "cache"))
    for name in [each for each in os.environ if each.startswith(("LABEL_STUDIO_", "BASIC_AUTH_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The sample's images: coins first."""
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def backend(tmp_path: Path, own_cache: None) -> Iterator[tuple[Recorder, str]]:
    """Our backend, and its address."""
    with backend_running(tmp_path / "backend") as running:
        yield running


@pytest.fixture
def new_team(
    label_studio: LabelStudio, backend: tuple[Recorder, str], images: Sequence[Path]
) -> Callable[..., Team]:
    """Makes a project with the first of the images, and connects our backend."""

    def make(count: int = 1, *, label_config: str = LABEL_CONFIG) -> Team:
        return assemble(label_studio, backend, images[:count], label_config=label_config)

    return make


# Not for the session: while a browser runs, no other test could use asyncio.
@pytest.fixture(scope="module")
def annotator(
    label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Annotator]:
    """A person who is logged in."""
    album = Path(os.environ.get(ALBUM) or tmp_path_factory.mktemp("screenshots"))
    album.mkdir(parents=True, exist_ok=True)
    browser = chromium()
    assert browser is not None
    with browsing(browser) as page:
        person = Annotator(page, label_studio.url, album)
        person.log_in(label_studio.account)
        yield person
