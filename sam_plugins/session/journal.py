"""``Journal``: what was done, line by line, so that a crash loses nothing that was finished.

A journal is a text file of JSON lines. The first describes the image, each other is one action.
Lines are only ever appended, each by one write to the operating system, so that a process that is
killed leaves at most one torn line, the last; `read_journal` leaves it out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sam_plugins.errors import SamPluginsError

FORMAT = "sam-plugins session 1"

# How many old journals of one image are kept.
KEPT = 5


class JournalError(SamPluginsError, ValueError):
    """The file is no journal, or of another version."""


class Journal:
    """Append actions to a file.

    Parameters
    ----------
    path : path-like
        The file. It is made, with its folder, when the first action is written.
    header : dict, optional
        What describes the image, kept in the first line.

    Notes
    -----
    The operating system has an action as soon as `append` returns: killing this process does not
    lose it. It is on the disk, safe from a power cut, moments later: a thread of its own waits for
    that, because it may take longer than a person should wait for a click.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, header: dict[str, Any] | None = None
    ) -> None:
        self.path = Path(path)
        self._header = {"format": FORMAT, **(header or {})}
        self._descriptor: int | None = None
        self._syncing: ThreadPoolExecutor | None = None

    def append(self, action: dict[str, Any], *, durable: bool = False) -> None:
        """Write one action.

        Parameters
        ----------
        action : dict
            What was done, as JSON takes it.
        durable : bool
            Whether to bring it onto the disk now and not when the operating system finds time.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        if self._descriptor is None:
            self._descriptor = self._open()
        os.write(self._descriptor, _line(action))
        if durable:
            if self._syncing is None:
                self._syncing = ThreadPoolExecutor(1, thread_name_prefix="journal")
            self._syncing.submit(os.fsync, self._descriptor)

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        size = os.fstat(descriptor).st_size
        if not size:
            os.write(descriptor, _line(self._header))
            return descriptor
        os.lseek(descriptor, size - 1, os.SEEK_SET)
        if os.read(descriptor, 1) != b"\n":
            # What was torn stays a line of its own, which is left out when reading.
            os.write(descriptor, b"\n")
        return descriptor

    def close(self) -> None:
        """Bring everything onto the disk and close the file; the next action opens it again."""
        if self._syncing is not None:
            self._syncing.shutdown(wait=True)
            self._syncing = None
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def read_journal(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read a journal; torn lines, which a killed process may leave, are left out.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    header : dict
        What describes the image.
    actions : list of dict
        In the order in which they were done.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    JournalError
        If it is something else.
    """
    name = Path(path).name
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no session file at {os.fspath(path)}") from None
    lines = _parsed(content)
    header = next(lines, None)
    if header is None or header.get("format") != FORMAT:
        raise JournalError(f"{name} is no session file of this version")
    return header, [line for line in lines if "do" in line]


def _parsed(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.split(b"\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def journal_path(directory: str | os.PathLike[str], key: str, number: int) -> Path:
    """Where an image's journals lie.

    Parameters
    ----------
    directory : path-like
        The folder of all journals.
    key : str
        Identity of the image.
    number : int
        Journals of one image are counted.

    Returns
    -------
    Path
    """
    return Path(directory) / f"{key}-{number:04d}.jsonl"


def find_journals(directory: str | os.PathLike[str], key: str) -> list[Path]:
    """The journals of an image, the oldest first.

    Parameters
    ----------
    directory : path-like
        The folder of all journals; it need not exist.
    key : str
        Identity of the image.

    Returns
    -------
    list of Path
    """
    return sorted(Path(directory).glob(f"{key}-[0-9][0-9][0-9][0-9].jsonl"))
