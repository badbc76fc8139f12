"""Where journals are kept, one folder for all images, and which one belongs to whom."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sam_plugins.session.journal import KEPT, Journal, find_journals, journal_path, read_journal

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from sam_plugins.regions import ImageStack

# Names the folder in place of the platform's own convention.
SESSIONS_VARIABLE = "SAM_PLUGINS_SESSIONS"

# An image in memory is told from others by this many squares of this side, spread over it.
_SAMPLES, _SIDE = 16, 32


def sessions_directory() -> Path:
    """Give the folder of journals.

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
    """Tell an image from others in a millisecond, to find its journals.

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
        for start in _starts(array.shape):
            block = array[tuple(slice(each, each + _SIDE) for each in start)]
            digest.update(np.ascontiguousarray(block).tobytes())
    else:
        digest.update(source.encode())
    return digest.hexdigest()[:16]


def _starts(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    random = np.random.default_rng(0)
    for _ in range(_SAMPLES):
        yield tuple(int(random.integers(0, max(1, side - _SIDE + 1))) for side in shape)


class JournalFile:
    """The journal of one session, held so that no other window writes to it.

    Parameters
    ----------
    key : str
        From `image_key`.
    header : dict
        What describes the image.
    directory : path-like, optional
        In place of `sessions_directory`.

    Notes
    -----
    The file is made at the first action: opening an image leaves nothing behind.
    """

    def __init__(
        self,
        key: str,
        *,
        header: dict[str, Any],
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        self.directory = sessions_directory() if directory is None else Path(directory)
        self.key = key
        self._header = {**header, "key": key}
        self._journal: Journal | None = None
        self._lock: BaseFileLock | None = None

    @property
    def path(self) -> Path | None:
        """The file, once there is one."""
        return self._journal.path if self._journal else None

    def append(self, action: dict[str, Any]) -> None:
        """Write one action.

        Parameters
        ----------
        action : dict
            See `Journal.append`. Commits are brought onto the disk at once.
        """
        if self._journal is None:
            self._journal = self._claim()
        self._journal.append(action, durable=action["do"] != "hints")

    def _claim(self) -> Journal:
        """A journal of a number that nobody has, locked."""
        self.directory.mkdir(parents=True, exist_ok=True)
        known = find_journals(self.directory, self.key)
        number = int(known[-1].stem.rpartition("-")[2]) + 1 if known else 1
        while True:
            path = journal_path(self.directory, self.key, number)
            self._lock = _try_lock(path)
            if self._lock is not None and not path.exists():
                break
            _release(self._lock)
            number += 1
        for old in known[: -KEPT + 1]:
            _remove(old)
        return Journal(path, header=self._header)

    def earlier(self) -> Path | None:
        """The newest journal of the same image that holds commits and that no window writes to.

        Returns
        -------
        Path or None
        """
        for path in reversed(find_journals(self.directory, self.key)):
            if path == self.path:
                continue
            lock = _try_lock(path)
            _release(lock)
            with suppress(ValueError, OSError):
                if lock is not None and any(each["do"] == "commit" for each in read_journal(path)[1]):
                    return path
        return None

    def close(self) -> None:
        """Close the file, let go of it."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        _release(self._lock)
        self._lock = None


def _try_lock(path: Path) -> BaseFileLock | None:
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return None
    return lock


def _release(lock: BaseFileLock | None) -> None:
    if lock is not None:
        lock.release()
        with suppress(OSError):
            os.unlink(lock.lock_file)


def _remove(path: Path) -> None:
    lock = _try_lock(path)
    if lock is not None:
        with suppress(OSError):
            path.unlink()
        _release(lock)
