"""What a task must not make the server do: read other files, ask other hosts, take all memory.

Each case ends in a `FetchError` of the 4xx kind within a second or so, nothing outside was read or
asked, and the same fetcher goes on to serve.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labelstudio_backend.fetching import FetchError, FetchSettings, ImageFetcher
from labelstudio_backend.fetching.addresses import is_public
from tests.labelstudio_backend.fetching import hostile_cases as cases
from tests.labelstudio_backend.fetching.servers import (
    LEGACY_TOKEN,
    HostileServer,
    LabelStudioServer,
    Server,
)

SECONDS = 2.0


def refused(fetcher: ImageFetcher, url: Any, **more: Any) -> FetchError:
    """The error that an address gives; it is of the right kind, short and quick."""
    began = time.monotonic()
    with pytest.raises(FetchError) as caught:
        fetcher.open(url, **more)
    assert time.monotonic() - began < SECONDS
    assert 400 <= caught.value.status < 500
    message = str(caught.value)
    assert 10 < len(message) < 600
    assert message.isprintable()
    assert LEGACY_TOKEN not in message
    return caught.value


@pytest.fixture
def local(label_studio: LabelStudioServer, image_root: Path) -> ImageFetcher:
    """A fetcher with everything configured."""
    return ImageFetcher(
        FetchSettings(
            label_studio_url=label_studio.url,
            api_key=LEGACY_TOKEN,
            local_files_root=image_root,
            seconds=1.0,
            max_bytes=1_000_000,
        )
    )


@pytest.fixture
def opened(hostile: HostileServer) -> ImageFetcher:
    """A fetcher that may ask the hostile server."""
    return ImageFetcher(
        FetchSettings(allowed_origins=(hostile.url,), seconds=1.0, max_bytes=1_000_000)
    )


ROOT_PLACEHOLDER = Path("/nowhere/images")


@pytest.mark.parametrize("index", range(len(list(cases.traversals(ROOT_PLACEHOLDER)))))
def test_no_file_outside_of_the_folder(
    local: ImageFetcher, label_studio: LabelStudioServer, image_root: Path, index: int
) -> None:
    name = list(cases.traversals(image_root))[index]
    error = refused(local, f"/data/local-files/?d={name}")
    assert error.status in (400, 403, 404)
    assert not label_studio.requests


def test_no_pipe_and_no_device(local: ImageFetcher, image_root: Path) -> None:
    import os

    os.mkfifo(image_root / "pipe.png")
    (image_root / "zero.png").symlink_to("/dev/zero")
    assert refused(local, "/data/local-files/?d=pipe.png").status == 403
    assert refused(local, "/data/local-files/?d=zero.png").status == 403


def test_no_large_file(local: ImageFetcher, image_root: Path) -> None:
    with (image_root / "large.png").open("wb") as stream:
        stream.truncate(10**10)
    assert refused(local, "/data/local-files/?d=large.png").status == 413


@pytest.mark.parametrize("host", cases.PRIVATE_HOSTS)
def test_no_private_address(local: ImageFetcher, inner: Server, host: str) -> None:
    assert refused(local, f"http://{host}:{inner.port}/a.png").status in (400, 403, 422)
    assert not inner.requests


@pytest.mark.parametrize("host", cases.PRIVATE_HOSTS)
def test_no_redirect_to_a_private_address(
    opened: ImageFetcher, hostile: HostileServer, inner: Server, host: str
) -> None:
    url = f"{hostile.url}/redirect?to=http://{host}:{inner.port}/a.png"
    refused(opened, url.replace("[", "%5B").replace("]", "%5D"))
    assert hostile.requests
    assert not inner.requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to", ["//127.0.0.1:{port}/", "http://127.0.0.1:{port}/", "file:///etc/passwd", "ftp://a/"]
)
def test_every_redirect_is_checked(
    opened: ImageFetcher, hostile: HostileServer, inner: Server, status: int, to: str
) -> None:
    refused(opened, f"{hostile.url}/redirect?status={status}&to={to.format(port=inner.port)}")
    assert not inner.requests


def test_no_redirect_from_elsewhere_to_label_studio(
    hostile: HostileServer, label_studio: LabelStudioServer
) -> None:
    fetcher = ImageFetcher(
        FetchSettings(
            label_studio_url=label_studio.url, api_key=LEGACY_TOKEN, allowed_origins=(hostile.url,)
        )
    )
    refused(fetcher, f"{hostile.url}/redirect?to={label_studio.url}/data/upload/1/a.png")
    assert not label_studio.requests


def test_storage_must_not_be_private(
    local: ImageFetcher, label_studio: LabelStudioServer, inner: Server
) -> None:
    label_studio.storage_url = f"{inner.url}/bucket/a.png"
    assert refused(local, "s3://bucket/a.png", task={"id": 7}).status == 403
    assert not inner.requests


@pytest.mark.parametrize("number", [None, True, -1, 1.5, "7", "../../api", [], {}])
def test_storage_needs_a_number_of_the_task(
    local: ImageFetcher, label_studio: LabelStudioServer, number: object
) -> None:
    assert refused(local, "s3://bucket/a.png", task={"id": number}).status == 400
    assert not label_studio.requests


@pytest.mark.parametrize("url", cases.BAD_ADDRESSES, ids=lambda url: repr(url)[:40])
def test_malformed_address(
    local: ImageFetcher, label_studio: LabelStudioServer, inner: Server, url: str
) -> None:
    assert refused(local, url).status in (400, 403, 415, 422)
    assert not label_studio.requests
    assert not inner.requests


@pytest.mark.parametrize("value", cases.WRONG_TYPES, ids=repr)
def test_wrong_type(local: ImageFetcher, value: object) -> None:
    assert refused(local, value).status == 400


@pytest.mark.parametrize("place", cases.OTHER_PLACES)
@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_token_goes_to_images_alone(
    local: ImageFetcher, label_studio: LabelStudioServer, place: str, absolute: bool
) -> None:
    refused(local, f"{label_studio.url}{place}" if absolute else place)
    assert not label_studio.requests


@pytest.mark.parametrize(
    "answers",
    [
        [["93.184.216.34"], ["127.0.0.1"]],
        [["2606:2800:220:1::1"], ["::1"]],
        [["93.184.216.34", "127.0.0.1"]],
        [["127.0.0.1", "93.184.216.34"]],
        [["::ffff:127.0.0.1"]],
        [["not an address"]],
        [[]],
    ],
    ids=str,
)
def test_name_is_resolved_once(
    inner: Server, rebinding: Callable[..., Any], answers: list[list[str]]
) -> None:
    fetcher = ImageFetcher(FetchSettings(seconds=1.0), resolve=rebinding(*answers))
    refused(fetcher, f"http://rebind.example:{inner.port}/a.png")
    assert not inner.requests


@pytest.mark.parametrize(
    "path",
    [
        "/no-http", "/silent", "/cut", "/huge-length", "/bad-chunks", "/long-line",
        "/many-headers", "/no-status", "/redirect-nowhere", "/drip-head", "/drip-body", "/endless",
        "/hang", "/loop", "/gzip", "/status/204", "/status/206", "/status/304", "/status/401",
        "/status/403", "/status/404", "/status/418", "/status/500", "/status/503",
    ],
)  # fmt: skip
def test_server_that_misbehaves(opened: ImageFetcher, hostile: HostileServer, path: str) -> None:
    refused(opened, hostile.url + path)
    assert opened.open(f"{hostile.url}/a.png") == hostile.png


BAD_FILES = cases.bad_files(cases.png_header(8, 8))


@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("way", ["web", "data", "local"])
def test_what_is_no_usual_image(
    name: str, way: str, hostile: HostileServer, image_root: Path
) -> None:
    data = BAD_FILES[name]
    hostile.bodies["/bad"] = data
    (image_root / "bad.png").write_bytes(data)
    fetcher = ImageFetcher(
        FetchSettings(allowed_origins=(hostile.url,), local_files_root=image_root)
    )
    where = {
        "web": f"{hostile.url}/bad",
        "data": cases.data_uri(data),
        "local": "/data/local-files/?d=bad.png",
    }
    tracemalloc.start()
    try:
        error = refused(fetcher, where[way])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.status in (400, 413, 415)
    assert peak < 20 * len(data) + 20_000_000


def test_data_uri_beyond_the_limit(local: ImageFetcher) -> None:
    assert refused(local, cases.data_uri(b"\x89PNG\r\n\x1a\n" + b"\0" * 2_000_000)).status == 413
    assert refused(local, "data:image/png," + "%00" * 2_000_000).status == 413


def test_there_are_at_least_200_cases(image_root: Path) -> None:
    tables = (
        list(cases.traversals(image_root)), cases.PRIVATE_HOSTS, cases.BAD_ADDRESSES,
        cases.WRONG_TYPES, cases.OTHER_PLACES, BAD_FILES,
    )  # fmt: skip
    assert sum(len(table) for table in tables) >= 200


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)
