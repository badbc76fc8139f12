"""Moving the bytes of one URL into one file, going on after breaks.

The transport is pooch's; what is added is resuming: pooch itself begins each download anew.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sam_plugins.errors import DownloadError

if TYPE_CHECKING:
    from requests import RequestException, Response

Progress = Callable[[int, int], None]

CHUNK_BYTES = 1 << 20
CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a single byte
# Attempts in a row that may fail without bringing the file further, and the first pause between.
FRUITLESS_ATTEMPTS = 3
FIRST_PAUSE = 0.5  # seconds, doubled each time
# Answers that may change when one asks again; all other errors of a server are final.
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416


def transfer(
    url: str, partial: Path, *, size: int | None = None, progress: Progress | None = None
) -> None:
    """Fill a file from a URL, after the bytes that it has already.

    Parameters
    ----------
    url : str
        An HTTP(S) address.
    partial : Path
        The file. It is made if it is missing, and stays, as far as it came, if an error is raised.
    size : int, optional
        The complete file's size in bytes, if it is known.
    progress : callable, optional
        Called with (done, total) bytes after each chunk; total is 0 while it is unknown.

    Raises
    ------
    DownloadError
        If the server cannot be reached, refuses, sends a web page or a file of another size, or
        if the disk has no room for the file.
    OSError
        If the file cannot be written.
    """
    from requests import RequestException

    furthest, fruitless, pause = -1, 0, FIRST_PAUSE
    with _Receiver(url, partial, size=size, progress=progress) as receiver:
        while not receiver.complete:
            try:
                receiver.receive()
                continue
            except RequestException as error:
                reason, passing = _explain(error)
                failure: Exception = error
            if receiver.done > furthest:
                furthest, fruitless, pause = receiver.done, 0, FIRST_PAUSE
            fruitless += 1
            if not passing or fruitless >= FRUITLESS_ATTEMPTS:
                kept = f"; the {receiver.done} bytes received are kept" if receiver.done else ""
                raise DownloadError(f"cannot download {url}: {reason}{kept}") from failure
            time.sleep(pause)
            pause *= 2


class _Receiver:
    """The file that a download grows in: takes the server's answers, begins anew when it must.

    To pooch's downloader it is the output file; to its HTTP session the hook that sees an answer
    before its body comes.
    """

    def __init__(
        self, url: str, partial: Path, *, size: int | None, progress: Progress | None
    ) -> None:
        self.url = url
        self.partial = partial
        self.size = size
        self.progress = progress
        self.total = size  # what the server said, if nothing is known beforehand
        self.done = 0
        self.finished = False
        self.version: str | None = None  # the server's name for the file's present content

    def __enter__(self) -> _Receiver:
        self.file: BinaryIO = open(self.partial, "ab")
        self.done = self.partial.stat().st_size
        if self.size is not None and self.done > self.size:
            self._begin_anew()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                # On the disk before the file gets its name, also if the power fails.
                self.file.flush()
                os.fsync(self.file.fileno())
        finally:
            self.file.close()

    @property
    def complete(self) -> bool:
        """Whether all bytes are there."""
        return self.done == self.size if self.size is not None else self.finished

    def receive(self) -> None:
        """Ask the server once for what is missing."""
        from pooch import HTTPDownloader
        from requests import ConnectionError as Broken

        # Compressed on the way, the bytes could be neither counted nor resumed.
        headers = {"Accept-Encoding": "identity"}
        if self.done:
            headers["Range"] = f"bytes={self.done}-"
            if self.version:
                headers["If-Range"] = self.version
        get = HTTPDownloader(
            chunk_size=CHUNK_BYTES,
            headers=headers,
            timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
            hooks={"response": self._on_answer},
        )
        get(self.url, self, None)
        if self.total is not None and self.done < self.total:
            raise Broken(f"the connection closed after {self.done} of {self.total} bytes")
        self._check_size(self.done)
        self.finished = True

    def write(self, chunk: bytes) -> None:
        """Append a chunk and report it."""
        self.file.write(chunk)
        self.file.flush()
        self.done += len(chunk)
        if self.progress is not None:
            self.progress(self.done, self.total or 0)

    def flush(self) -> None:
        """Do nothing: `write` has flushed."""

    def _on_answer(self, response: Response, **_: Any) -> None:
        """Prepare the file for the body that follows, or refuse the answer."""
        if response.status_code == RANGE_NOT_SATISFIABLE:
            # There is nothing after our last byte: the file on the server is another one, or
            # it was complete. Only a fresh start tells.
            self._begin_anew()
            return
        if response.status_code not in (200, PARTIAL_CONTENT):
            return  # a redirection is followed, an error is raised by the transport
        if "text/html" in response.headers.get("Content-Type", ""):
            raise DownloadError(f"{self.url} is a web page and not a checkpoint")
        if response.status_code == PARTIAL_CONTENT:
            start, total = _content_range(response.headers.get("Content-Range", ""))
            if start != self.done:
                self._begin_anew()
                raise _broken(f"the server went on at byte {start}")
        else:
            total = _length(response)
            self._begin_anew()
        if total is not None:
            self._check_size(total)
            self.total = total
            self._check_room(total - self.done)
        self.version = _version(response)

    def _begin_anew(self) -> None:
        if self.done:
            self.file.truncate(0)
        self.done = 0
        self.version = None

    def _check_size(self, size: int) -> None:
        if self.size is not None and size != self.size:
            raise DownloadError(
                f"{self.url} is not the expected file: it has {size} bytes and not {self.size}"
            )

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self.partial.parent).free
        if needed > free:
            raise DownloadError(
                f"cannot download {self.url} to {self.partial.parent}: the disk is full "
                f"({needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free)"
            )


def _broken(message: str) -> RequestException:
    from requests import ConnectionError as Broken

    return Broken(message)


def _content_range(header: str) -> tuple[int | None, int | None]:
    """First byte and total size of ``Content-Range: bytes 100-199/200``.

    >>> _content_range("bytes 100-199/200")
    (100, 200)
    >>> _content_range("bytes 100-199/*")
    (100, None)
    """
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", header.strip())
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _length(response: Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _version(response: Response) -> str | None:
    """What If-Range takes: a strong entity tag, else the date."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag
    return response.headers.get("Last-Modified")


def _explain(error: RequestException) -> tuple[str, bool]:
    """One line for a failed request, and whether it is worth another attempt."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        reason = f"the server answered {status} {error.response.reason}".rstrip()
        return reason, status in PASSING_STATUS | {RANGE_NOT_SATISFIABLE}
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate was not accepted", False
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {CONNECT_TIMEOUT:g} s", True
    if isinstance(error, requests.exceptions.ReadTimeout):
        return f"nothing came for {READ_TIMEOUT:g} s", True
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke", True
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server, or it broke", True
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return first_line, False
