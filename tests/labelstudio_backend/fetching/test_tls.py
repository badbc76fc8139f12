"""https: the certificate must be for the name that was asked for, not for the address."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from labelstudio_backend.fetching import FetchError, FetchSettings, ImageFetcher
from tests.labelstudio_backend.fetching.servers import Reply, Request, Server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


class SecureServer(Server):
    """Has a certificate for ``images.example``, and remembers which name was asked for."""

    def __init__(self, authority: trustme.CA, png: bytes) -> None:
        self.names: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("images.example").configure_cert(context)
        context.sni_callback = lambda sock, name, own: self.names.append(name)

        def answer(request: Request) -> Reply:
            if request.path == "/to-http":
                return 302, {"Location": "http://images.example/a.png"}, b""
            return 200, {}, png

        super().__init__(answer, tls=context)


@pytest.fixture
def secure(authority: trustme.CA, png: bytes) -> Iterator[SecureServer]:
    with SecureServer(authority, png) as server:
        yield server


def fetcher(port: int, ca_file: Path | None, name: str) -> ImageFetcher:
    return ImageFetcher(
        FetchSettings(
            allowed_origins=(f"https://{name}:{port}",),
            ca_file=str(ca_file) if ca_file else None,
            seconds=3,
        ),
        resolve=lambda host, port: ["127.0.0.1"],
    )


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def test_name_in_the_handshake_and_in_the_header(
    secure: SecureServer, ca_file: Path, png: bytes
) -> None:
    opener = fetcher(secure.port, ca_file, "images.example")
    assert opener.open(f"https://images.example:{secure.port}/a.png") == png
    assert secure.names == ["images.example"]
    assert secure.requests[0].headers["Host"] == f"images.example:{secure.port}"


@pytest.mark.parametrize("name", ["other.example", "example", "127.0.0.1"])
def test_certificate_of_another_name(secure: SecureServer, ca_file: Path, name: str) -> None:
    with pytest.raises(FetchError, match="certificate"):
        fetcher(secure.port, ca_file, name).open(f"https://{name}:{secure.port}/a.png")
    assert not secure.requests


def test_certificate_of_an_unknown_authority(secure: SecureServer) -> None:
    with pytest.raises(FetchError, match="certificate"):
        fetcher(secure.port, None, "images.example").open(
            f"https://images.example:{secure.port}/a.png"
        )
    assert not secure.requests


def test_no_redirect_from_https_to_http(secure: SecureServer, ca_file: Path) -> None:
    with pytest.raises(FetchError, match="redirects to http"):
        fetcher(secure.port, ca_file, "images.example").open(
            f"https://images.example:{secure.port}/to-http"
        )
