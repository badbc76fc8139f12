"""Every place of an image, with real servers; what must not be asked is in test_hostile.py."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from labelstudio_backend.fetching import (
    FetchError,
    FetchSettings,
    ImageFetcher,
    ImageNotFoundError,
    TokenRefusedError,
    TokenSource,
)
from tests.labelstudio_backend.fetching.servers import (
    LEGACY_TOKEN,
    PERSONAL_TOKEN,
    HostileServer,
    LabelStudioServer,
    Server,
)


def fetcher(
    server: LabelStudioServer, token: str = LEGACY_TOKEN, **settings: object
) -> ImageFetcher:
    return ImageFetcher(
        FetchSettings(label_studio_url=server.url, api_key=token, seconds=5, **settings)  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("token", [LEGACY_TOKEN, PERSONAL_TOKEN], ids=["legacy", "personal"])
@pytest.mark.parametrize(
    "url",
    [
        "/data/upload/1/a.png",
        "/data/upload/1/a b.png".replace(" ", "%20"),
        "/data/local-files/?d=a.png",
        "{url}/data/upload/1/a.png",
    ],
)
def test_images_at_label_studio(
    label_studio: LabelStudioServer, png: bytes, token: str, url: str
) -> None:
    assert fetcher(label_studio, token).open(url.format(url=label_studio.url)) == png


@pytest.mark.parametrize("url", ["/data/upload/1/a.png", "/label/data/upload/1/a.png"])
def test_label_studio_below_a_path(png: bytes, url: str) -> None:
    with LabelStudioServer(png, base="/label") as server:
        settings = FetchSettings(label_studio_url=f"{server.url}/label", api_key=LEGACY_TOKEN)
        assert ImageFetcher(settings).open(url) == png
        assert server.requests[0].path == "/label/data/upload/1/a.png"


@pytest.mark.parametrize("uri", ["s3://bucket/a b/ü.png", "gs://b/k.png", "azure-blob://c/k.png"])
def test_storages_by_presigned_address_without_the_token(
    label_studio: LabelStudioServer, hostile: HostileServer, png: bytes, uri: str
) -> None:
    label_studio.storage_url = f"{hostile.url}/bucket/a.png?X-Amz-Signature=1%2F2"
    opened = fetcher(label_studio, allowed_origins=(hostile.url,)).open(uri, task={"id": 7})
    assert opened == png
    asked, got = label_studio.requests[-1], hostile.requests[-1]
    assert base64.urlsafe_b64decode(asked.query["fileuri"][0]).decode() == uri
    assert asked.headers["Authorization"] == f"Token {LEGACY_TOKEN}"
    assert "Authorization" not in got.headers
    # A signature is of the address as it was written.
    assert got.target == "/bucket/a.png?X-Amz-Signature=1%2F2"


def test_web_image_without_the_token(
    label_studio: LabelStudioServer, hostile: HostileServer, png: bytes
) -> None:
    opener = fetcher(label_studio, allowed_origins=(hostile.url,))
    assert opener.open(f"{hostile.url}/a.png") == png
    assert opener.open(f"{hostile.url}/redirect?to=/b.png") == png
    assert all("Authorization" not in request.headers for request in hostile.requests)
    assert not label_studio.requests


def test_data_uri(label_studio: LabelStudioServer, png: bytes) -> None:
    encoded = base64.b64encode(png).decode()
    assert fetcher(label_studio).open(f"data:image/png;base64,{encoded}") == png


@pytest.mark.parametrize(
    "name",
    ["a.png", "a%20folder/%C3%BC%20%C3%9F.png", "a+folder/ü%20ß.png", "inside.png", "/a.png"],
)
def test_local_files_are_read_here(
    label_studio: LabelStudioServer, image_root: Path, png: bytes, name: str
) -> None:
    opener = fetcher(label_studio, local_files_root=image_root)
    assert opener.open(f"/data/local-files/?d={name}") == png
    assert not label_studio.requests


def test_personal_token_is_exchanged_once_and_renewed(
    label_studio: LabelStudioServer,
) -> None:
    now = [0.0]
    tokens = TokenSource(label_studio.url, PERSONAL_TOKEN, clock=lambda: now[0])
    first = tokens.headers()
    assert tokens.headers() == first
    now[0] = 269
    assert tokens.headers() == first
    now[0] = 271
    assert tokens.headers() != first
    assert len(label_studio.tokens.exchanged) == 2


def test_personal_token_is_renewed_when_label_studio_forgot_it(
    label_studio: LabelStudioServer, png: bytes
) -> None:
    opener = fetcher(label_studio, PERSONAL_TOKEN)
    opener.open("/data/upload/1/a.png")
    label_studio.tokens.accepted.clear()
    assert opener.open("/data/upload/1/a.png") == png
    assert len(label_studio.tokens.exchanged) == 2


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("", "LABEL_STUDIO_API_KEY"),
        ("f" * 40, "personal access token"),
        (LEGACY_TOKEN, "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true"),
        (PERSONAL_TOKEN, "expired or was revoked"),
        (PERSONAL_TOKEN + "x", "expired or was revoked"),
    ],
)
def test_refused_token_says_which_setting_to_change(
    label_studio: LabelStudioServer, token: str, says: str
) -> None:
    label_studio.tokens.legacy_enabled = label_studio.tokens.personal_enabled = False
    with pytest.raises(TokenRefusedError, match=says) as caught:
        fetcher(label_studio, token).open("/data/upload/1/a.png")
    assert caught.value.status == 424
    assert not token or token not in str(caught.value)


def test_missing_image(label_studio: LabelStudioServer, image_root: Path) -> None:
    with pytest.raises(ImageNotFoundError):
        fetcher(label_studio).open("/data/upload/1/none.png")
    with pytest.raises(ImageNotFoundError):
        fetcher(label_studio, local_files_root=image_root).open("/data/local-files/?d=none.png")


def test_unknown_label_studio_says_which_setting() -> None:
    with pytest.raises(FetchError, match="LABEL_STUDIO_URL"):
        ImageFetcher(FetchSettings()).open("/data/upload/1/a.png")


def test_setup_fills_only_what_is_not_configured() -> None:
    bare = FetchSettings().with_setup("http://ls:8080/", "t")
    assert (bare.label_studio_url, bare.api_key) == ("http://ls:8080", "t")
    url = FetchSettings(label_studio_url="http://ls").with_setup("http://other", "t")
    assert (url.label_studio_url, url.api_key) == ("http://ls", "t")
    key = FetchSettings(api_key="mine").with_setup("http://other", "t")
    assert (key.label_studio_url, key.api_key) == ("", "mine")


def test_secrets_are_not_shown() -> None:
    assert "mine" not in repr(FetchSettings(api_key="mine"))


def test_name_is_kept_for_the_server(
    hostile: HostileServer, png: bytes, rebinding: Callable[..., object]
) -> None:
    """Connected to the address, but asked under the name, as a server of many names needs."""
    origin = f"http://images.example:{hostile.port}"
    opener = ImageFetcher(
        FetchSettings(allowed_origins=(origin,)),
        resolve=rebinding(["127.0.0.1"]),  # type: ignore[arg-type]
    )
    assert opener.open(f"{origin}/a.png") == png
    assert hostile.requests[0].headers["Host"] == f"images.example:{hostile.port}"


def test_second_address_is_tried(hostile: HostileServer, inner: Server, png: bytes) -> None:
    origin = f"http://images.example:{hostile.port}"
    opener = ImageFetcher(
        FetchSettings(allowed_origins=(origin,)),
        resolve=lambda host, port: ["127.0.0.2", "127.0.0.1"],
    )
    assert opener.open(f"{origin}/a.png") == png
