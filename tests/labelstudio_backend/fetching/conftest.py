"""Real servers on this machine: a small Label Studio, a hostile one, one that none may ask."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.labelstudio_backend.fetching.servers import HostileServer, LabelStudioServer, Server


def picture(width: int = 32, height: int = 24, image_format: str = "PNG") -> bytes:
    """An image file of noise."""
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format)
    return stream.getvalue()


@pytest.fixture(scope="session")
def png() -> bytes:
    return picture()


@pytest.fixture
def label_studio(png: bytes) -> Iterator[LabelStudioServer]:
    """What the fetcher asks of Label Studio, with both kinds of token."""
    with LabelStudioServer(png) as server:
        yield server


@pytest.fixture
def hostile(png: bytes) -> Iterator[HostileServer]:
    """A server that sends what is asked of it, well or badly."""
    with HostileServer(png) as server:
        yield server


@pytest.fixture
def inner(png: bytes) -> Iterator[Server]:
    """A server of the private network. Asking it anything is the failure of a test."""
    with Server(lambda request: (200, {}, png)) as server:
        yield server


@pytest.fixture
def image_root(tmp_path: Path, png: bytes) -> Path:
    """A folder of images, beside files that must not be read."""
    root = tmp_path / "images"
    (root / "a folder").mkdir(parents=True)
    (root / "a.png").write_bytes(png)
    (root / "a folder" / "ü ß.png").write_bytes(png)
    (tmp_path / "secret.png").write_bytes(png)
    (tmp_path / "images-secret").mkdir()
    (tmp_path / "images-secret" / "b.png").write_bytes(png)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "linked").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    (root / "inside.png").symlink_to(root / "a.png")
    return root


@pytest.fixture
def rebinding() -> Callable[..., Callable[[str, int], list[str]]]:
    """A resolver whose answers change from one question to the next, as in DNS rebinding."""

    def make(*answers: list[str]) -> Callable[[str, int], list[str]]:
        left = list(answers)

        def resolve(host: str, port: int) -> list[str]:
            return left.pop(0) if len(left) > 1 else left[0]

        return resolve

    return make
