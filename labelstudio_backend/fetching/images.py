"""The image of a task as bytes, wherever the task says that it lies."""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from labelstudio_backend.fetching.addresses import Resolve, system_resolve
from labelstudio_backend.fetching.content import check_image
from labelstudio_backend.fetching.data_uris import decode_data_uri
from labelstudio_backend.fetching.errors import BadURLError, FetchError, shown
from labelstudio_backend.fetching.local_files import read_below
from labelstudio_backend.fetching.origins import WebAddress
from labelstudio_backend.fetching.settings import FetchSettings
from labelstudio_backend.fetching.tokens import TokenSource
from labelstudio_backend.fetching.web import Answer, WebClient, image_of

# Storages of Label Studio, which makes addresses for their files.
CLOUD_SCHEMES = frozenset({"s3", "gs", "azure-blob", "azure_spi", "s3s", "dbfs"})
_LOCAL_FILES = "/data/local-files"
# What is asked of Label Studio with the token: its images, and nothing that a GET might change.
_IMAGE_PATHS = re.compile(
    r"/data/upload/.+|/data/local-files/?|/storage-data/.+"
    r"|/api/(tasks|projects)/\d+/(presign|resolve)/?|/(tasks|projects)/\d+/(presign|resolve)/?"
)


class ImageFetcher:
    """Gets the images of tasks.

    May be shared by threads. It keeps nothing of what it got.

    Parameters
    ----------
    settings : FetchSettings
        Where images may come from.
    tokens : TokenSource, optional
        By default one for the settings' token.
    resolve : callable
        ``(host, port)`` to addresses.
    """

    def __init__(
        self,
        settings: FetchSettings | None = None,
        *,
        tokens: TokenSource | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        self.settings = settings or FetchSettings.from_environment()
        self._tokens = tokens or TokenSource(
            self.settings.label_studio_url, self.settings.api_key or None
        )
        self._web = WebClient(
            private_origins=self.settings.named_origins,
            max_bytes=self.settings.max_bytes,
            seconds=self.settings.seconds,
            ca_file=self.settings.ca_file,
            resolve=resolve,
        )
        # Only what begins at Label Studio may end there: no redirect from elsewhere.
        own = self.settings.label_studio
        self._label_studio = replace(
            self._web, private_origins=self.settings.named_origins | ({own} if own else set())
        )

    def open(self, url: str, *, task: Mapping[str, Any] | None = None) -> bytes:
        """Get an image.

        Parameters
        ----------
        url : str
            As the task has it: ``/data/upload/...``, ``/data/local-files/?d=...``, ``http(s)://``,
            ``data:``, or a storage's URI such as ``s3://bucket/key``.
        task : mapping, optional
            The task; a storage's URI needs its ``id``.

        Returns
        -------
        bytes
            A whole file of one of `ALLOWED_FORMATS`, within the limits; not decoded.

        Raises
        ------
        FetchError
            Of the kind that says why not; its ``status`` is the HTTP status to answer with.
        """
        if not isinstance(url, str) or not url:
            raise BadURLError(f"{shown(url)} is no address of an image: expected a text")
        scheme = url.partition(":")[0].lower() if ":" in url else ""
        if scheme == "data":
            data = decode_data_uri(url, max_bytes=self.settings.max_bytes)
        elif scheme in CLOUD_SCHEMES:
            data = self._from_label_studio(self._presign(url, task))
        elif scheme in ("http", "https"):
            address = WebAddress.parse(url)
            if address.origin == self.settings.label_studio:
                data = self._from_label_studio(address)
            else:
                data = image_of(self._web.get(address))
        elif url.startswith("/") and not url.startswith("//"):
            data = self._relative(url)
        else:
            raise BadURLError(
                f"{shown(url)} is no address of an image: expected /data/..., http(s)://, data: or "
                "a storage's URI such as s3://"
            )
        check_image(data, max_bytes=self.settings.max_bytes, max_pixels=self.settings.max_pixels)
        return data

    def _relative(self, url: str) -> bytes:
        root, name = self.settings.local_files_root, _local_file_name(url)
        if root is not None and name is not None:
            return read_below(Path(root), name, max_bytes=self.settings.max_bytes)
        base = self._base(url)
        below = f"{base.path.rstrip('/')}/"
        # Label Studio below a path writes its uploads with that path, its local files without.
        path = url if url.startswith(below) else f"{below}{url[1:]}"
        return self._from_label_studio(WebAddress.parse(f"{base.origin}{path}"))

    def _presign(self, uri: str, task: Mapping[str, Any] | None) -> WebAddress:
        number = task.get("id") if isinstance(task, Mapping) else None
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise BadURLError(f"{shown(uri)} lies in a storage: its task needs a number as id")
        encoded = base64.urlsafe_b64encode(uri.encode("utf-8", "surrogatepass")).decode("ascii")
        base = str(self._base(uri)).rstrip("/")
        return WebAddress.parse(f"{base}/tasks/{number}/presign/?fileuri={encoded}")

    def _base(self, url: str) -> WebAddress:
        if not self.settings.label_studio_url:
            raise FetchError(
                f"{shown(url)} lies at Label Studio, whose address is not known: set "
                "LABEL_STUDIO_URL"
            )
        return WebAddress.parse(self.settings.label_studio_url)

    def _from_label_studio(self, address: WebAddress) -> bytes:
        """Ask Label Studio, with the token; once more if a personal access token had ended."""
        base = self._base(str(address)).path.rstrip("/")
        path = _plain_path(address.path)
        if path is None or not _IMAGE_PATHS.fullmatch(path.removeprefix(base)):
            raise BadURLError(
                f"{shown(address.path)} is no place of images in Label Studio: expected "
                "/data/upload/..., /data/local-files/?d=... or a storage's file"
            )
        answer = self._label_studio.get(address, headers_for=self._headers)
        if self._refused(answer) and self._tokens.forget():
            answer = self._label_studio.get(address, headers_for=self._headers)
        if self._refused(answer):
            raise self._tokens.refusal(answer.body.decode("utf-8", "replace"))
        return image_of(answer)

    def _headers(self, address: WebAddress) -> dict[str, str]:
        return self._tokens.headers() if address.origin == self.settings.label_studio else {}

    def _refused(self, answer: Answer) -> bool:
        """Whether it was Label Studio that refused; a person is sent to the login page instead."""
        if answer.address.origin != self.settings.label_studio:
            return False
        return answer.status in (401, 403) or "/user/login" in answer.address.path


def _local_file_name(url: str) -> str | None:
    """The file's path in ``/data/local-files/?d=path``; None for other addresses."""
    parts = urlsplit(url)
    if parts.path.rstrip("/").endswith(_LOCAL_FILES):
        return next(iter(parse_qs(parts.query, keep_blank_values=True).get("d", [])), "")
    return None


def _plain_path(path: str) -> str | None:
    """A path as every server reads it; None if some might read it in another way.

    Examples
    --------
    >>> _plain_path("/data/upload/1/a%20b.png"), _plain_path("/data/upload/%2e%2e/api/")
    ('/data/upload/1/a b.png', None)
    """
    plain = path
    # Encoded twice, what is harmless here may not be at the next server.
    for _ in range(3):
        plain = unquote(plain)
    if any(part in (".", "..") for part in plain.split("/")) or "\\" in plain or "\x00" in plain:
        return None
    if posixpath.normpath(plain).rstrip("/") != plain.rstrip("/"):
        return None
    return plain
