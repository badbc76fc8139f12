"""Where journals are kept: a folder for each time that an image was worked on, one file a slice."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sam_plugins.files import atomic_path
from sam_plugins.session.journal import Journal, JournalError, read_journal

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from sam_plugins.regions import ImageStack, Plane

# Names the folder in place of the platform's own convention.
SESSIONS_VARIABLE = "SAM_PLUGINS_SESSIONS"

# How many sessions of one image are kept.
KEPT = 5

# An image in memory is told from others by this many squares of this side, spread over it.
_SAMPLES, _SIDE = 16, 32


def sessions_directory() -> Path:
    """Give the folder of all sessions.

    Returns
    -------
    Path
        The folder that the environment variable ``SAM_PLUGINS_SESSIONS`` names, else
        ``sessions`` in the platform's own folder for data. It need not exist, and is not made.
    """
    named = os.environ.get(SESSIONS_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_data_path

    return user_data_path("sam-plugins", appauthor=False) / "sessions"


def image_key(stack: ImageStack, *, source: str = "") -> str:
    """Tell an image from others in a millisecond, to find its sessions.

    Parameters
    ----------
    stack : ImageStack
        The image. Only samples are read, and none if it is not in memory.
    source : str
        Where it came from: a path or a name.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    array = stack.levels[0]
    digest = hashlib.sha256(f"{tuple(array.shape)} {np.dtype(array.dtype).str}".encode())
    if isinstance(array, np.ndarray):
        random = np.random.default_rng(0)
        for _ in range(_SAMPLES):
            starts = [int(random.integers(0, max(1, side - _SIDE + 1))) for side in array.shape]
            block = array[tuple(slice(start, start + _SIDE) for start in starts)]
            digest.update(np.ascontiguousarray(block).tobytes())
    else:
        digest.update(source.encode())
    return digest.hexdigest()[:16]


class SessionFolder:
    """The journals of one image in one window, held so that no other window writes to them.

    Parameters
    ----------
    key : str
        From `image_key`.
    directory : path-like, optional
        In place of `sessions_directory`.
    complain : callable, optional
        Told, once, that the disk does not take a journal; annotating goes on.

    Notes
    -----
    Nothing is written before the first action: opening an image leaves nothing behind.
    """

    def __init__(
        self,
        key: str,
        *,
        directory: str | os.PathLike[str] | None = None,
        complain: Callable[[OSError], None] | None = None,
    ) -> None:
        parent = sessions_directory() if directory is None else Path(directory)
        self._images = parent / key
        self._complain = complain
        self._folder: Path | None = None
        self._lock: BaseFileLock | None = None

    @property
    def path(self) -> Path | None:
        """The folder, once there is one."""
        return self._folder

    def journal(self, plane: Plane) -> Journal:
        """Give the journal of a slice, which is made at its first action.

        Parameters
        ----------
        plane : tuple of int or None
            The slice.

        Returns
        -------
        Journal
        """
        return _LateJournal(lambda: self._claim() / _file_name(plane), self._failed)

    def _failed(self, error: OSError) -> None:
        if self._complain is not None:
            self._complain(error)
            self._complain = None

    def _claim(self) -> Path:
        """A new folder, locked."""
        if self._folder is None:
            self._images.mkdir(parents=True, exist_ok=True)
            known = self._known()
            number = int(known[-1].name) + 1 if known else 1
            while self._folder is None:
                folder = self._images / f"{number:04d}"
                with suppress(FileExistsError):
                    folder.mkdir()
                    self._lock = _try_lock(folder)
                    self._folder = folder if self._lock is not None else None
                number += 1
            for old in known[: -KEPT + 1]:
                lock = _try_lock(old)
                if lock is not None:
                    lock.release()
                    shutil.rmtree(old, ignore_errors=True)
        return self._folder

    def _known(self) -> list[Path]:
        return sorted(path for path in self._images.glob("[0-9][0-9][0-9][0-9]") if path.is_dir())

    def earlier(self) -> Path | None:
        """Find the newest session of the same image that no window holds.

        Returns
        -------
        Path or None
            Its folder; None if there is none with an object.
        """
        for folder in reversed(self._known()):
            if folder == self._folder:
                continue
            lock = _try_lock(folder)
            if lock is not None:
                lock.release()
                if journals_in(folder):
                    return folder
        return None

    def adopt(self, folder: Path) -> None:
        """Go on with an earlier session.

        Parameters
        ----------
        folder : Path
            From `earlier`.

        Raises
        ------
        JournalError
            If another window holds it by now.
        """
        lock = _try_lock(folder)
        if lock is None:
            raise JournalError(f"another window works on the session {folder}")
        self.close()
        self._folder, self._lock = folder, lock

    def write_classes(self, names: list[str]) -> None:
        """Keep the names of classes.

        Parameters
        ----------
        names : list of str
            That of class 1 first.
        """
        if self._folder is not None:
            with atomic_path(self._folder / "classes.json") as temporary:
                temporary.write_text(json.dumps(names), encoding="utf-8")

    def read_classes(self) -> list[str]:
        """Give the names of classes that were kept.

        Returns
        -------
        list of str
            Empty if there are none.
        """
        if self._folder is None:
            return []
        with suppress(OSError, ValueError):
            names = json.loads((self._folder / "classes.json").read_text(encoding="utf-8"))
            return [str(name) for name in names]
        return []

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._folder = None


def journals_in(folder: Path) -> dict[Plane, Path]:
    """Find the journals of a session that hold objects.

    Parameters
    ----------
    folder : Path
        From `SessionFolder.earlier`.

    Returns
    -------
    dict of tuple to Path
        By slice.
    """
    found: dict[Plane, Path] = {}
    for path in sorted(folder.glob("*.jsonl")):
        with suppress(ValueError, OSError):
            if any(entry.get("do", {}).get("records") for entry in read_journal(path)):
                found[_plane_of(path)] = path
    return found


def _file_name(plane: Plane) -> str:
    return "-".join("x" if index is None else str(index) for index in plane) + ".jsonl"


def _plane_of(path: Path) -> Plane:
    return tuple(None if part == "x" else int(part) for part in path.stem.split("-"))


def _try_lock(folder: Path) -> BaseFileLock | None:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return None
    return lock


class _LateJournal(Journal):
    """A journal whose file is made at the second entry: the first only describes the image."""

    def __init__(self, where: Callable[[], Path], failed: Callable[[OSError], None]) -> None:
        self._where = where
        self._failed = failed
        self._head: dict[str, Any] | None = None
        self._open: Journal | None = None

    def write(self, entry: dict[str, Any]) -> None:
        if self._open is None and self._head is None:
            self._head = entry
            return
        try:
            if self._open is None and self._head is not None:
                self._open = Journal(self._where())
                self._open.write(self._head)
            if self._open is not None:
                self._open.write(entry)
        except OSError as error:
            self._failed(error)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
