"""A journal on disk, from which a session comes back after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sam_plugins.errors import SamPluginsError

VERSION = 1


class JournalError(SamPluginsError, ValueError):
    """A file is no journal, or one of another image."""


class Journal:
    """A file that is only appended to: one line of JSON an entry.

    Each line is handed to the operating system at once, so that a process that is killed loses at
    most the entry that it was writing.

    Parameters
    ----------
    path : path-like
        Made, with its folder, if it is missing; appended to if it is there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
        self._file = self.path.open("ab", buffering=0)
        if torn:
            self._file.write(b"\n")  # the next entry must not continue a torn one

    def write(self, entry: dict[str, Any]) -> None:
        """Append an entry.

        Parameters
        ----------
        entry : dict
            JSON values.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Read a journal's entries.

    Parameters
    ----------
    path : path-like

    Yields
    ------
    dict
        Entries in order; a torn one (the process was killed while it wrote) is left out.

    Raises
    ------
    JournalError
        If the file is no journal.
    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(file):
            try:
                entry = json.loads(line)
            except ValueError as error:
                if number == 0:
                    raise JournalError(f"{path} is no journal of a session") from error
                continue
            if number == 0 and (not isinstance(entry, dict) or entry.get("journal") != VERSION):
                raise JournalError(f"{path} is no journal of a session of version {VERSION}")
            yield entry
