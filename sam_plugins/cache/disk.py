"""Embeddings in a folder, bounded in bytes, shared by processes.

No process knows what another did to the folder, so nothing about it is remembered: the folder is
looked at anew for each question, and files may vanish between two looks.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sam_plugins.embedding import ImageEmbedding
from sam_plugins.errors import EmbeddingFileError

if TYPE_CHECKING:
    from filelock import BaseFileLock

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"

# A temporary file or a lock of this age, in seconds, was left by a process that died.
STALE_AFTER = 3600.0

# Encoding an image with the largest model on a slow processor takes minutes; whoever waits longer
# than this, in seconds, for another process computes by itself.
LONGEST_WAIT = 600.0

# What the header of an embedding's file takes at most, in bytes, beside the feature maps.
HEADER_BYTES = 4096

# flock(2) on a file system that has none, as some network file systems.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class DiskLevel:
    """Embeddings in a folder; those used longest ago go first. Safe for processes and threads.

    Parameters
    ----------
    directory : Path
        The folder; made when the first embedding is written.
    max_bytes : int
        Bound of all entries together; an embedding larger than it is not written.

    Notes
    -----
    Whatever is wrong with the folder (full, read-only, not a folder, damaged entries) is logged as
    a warning, once for each kind of trouble, and looks like an empty folder to the caller.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self.directory = directory
        self.max_bytes = max_bytes
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    # ---- entries ---------------------------------------------------------------------------

    def path(self, key: str) -> Path:
        """Where the embedding of a key is, or would be.

        Parameters
        ----------
        key : str
            The embedding's key; see `embedding_key`.

        Returns
        -------
        Path
            In this level's folder; the file need not exist.
        """
        return self.directory / f"{key}{SUFFIX}"

    def get(self, key: str) -> ImageEmbedding | None:
        """Read the embedding of a key; it is the one used last now.

        Parameters
        ----------
        key : str
            Its name.

        Returns
        -------
        ImageEmbedding or None
            None also if the entry is damaged: a new one takes its place when it is written.
        """
        try:
            found = ImageEmbedding.load(self.path(key), key=key)
        except FileNotFoundError:
            return None
        except EmbeddingFileError as error:
            self._warn_once(f"entry {key}", f"cached embedding: {error}; it is computed again")
            return None
        except OSError as error:
            self._warn_about_disk(error)
            return None
        self.touch(key)
        return found

    def put(self, key: str, embedding: ImageEmbedding) -> None:
        """Write an embedding, and remove others as the bound requires.

        Parameters
        ----------
        key : str
            Its name.
        embedding : ImageEmbedding
            What to write.
        """
        try:
            if embedding.nbytes + HEADER_BYTES > self.max_bytes:
                self.path(key).unlink(missing_ok=True)
                return
            embedding.save(self.path(key), key=key)
        except OSError as error:
            self._warn_about_disk(error)
            return
        self.touch(key)
        # After writing, so that the last of several writers sees what all others wrote.
        self._make_room()

    def touch(self, key: str) -> None:
        """Note that an entry was used now: what was used longest ago is removed first.

        Parameters
        ----------
        key : str
            The entry's key. An entry that is not there, or may not be changed, is left alone.
        """
        now = time.time_ns()
        # In a shared folder the file may be another user's: then it only counts as older.
        with contextlib.suppress(OSError):
            os.utime(self.path(key), ns=(now, now))

    def __contains__(self, key: str) -> bool:
        with contextlib.suppress(OSError):
            return self.path(key).is_file()
        return False

    def clear(self) -> None:
        """Remove all entries.

        Raises
        ------
        OSError
            If an entry cannot be removed.
        """
        for path, *_ in self._entries():
            path.unlink(missing_ok=True)
        self._remove_leftovers()

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return sum(size for _, size, _ in self._entries())

    def _entries(self) -> list[tuple[Path, int, int]]:
        """Path, size in bytes and time of last use, in nanoseconds, of each entry."""
        found = []
        for path in _files(self.directory):
            if path.suffix == SUFFIX and not path.name.startswith("."):
                with contextlib.suppress(OSError):
                    status = path.stat()
                    found.append((path, status.st_size, status.st_mtime_ns))
        return found

    def _make_room(self) -> None:
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        excess = sum(size for _, size, _ in entries) - self.max_bytes
        for path, size, _ in entries:
            if excess <= 0:
                break
            # An entry that cannot be removed (open elsewhere on Windows) is left for the next time.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                excess -= size
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        temporary = [path for path in _files(self.directory) if path.name.startswith(".")]
        for path in [*temporary, *_files(self._locks)]:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE_AFTER:
                    path.unlink()

    # ---- one process at a time -------------------------------------------------------------

    @property
    def _locks(self) -> Path:
        return self.directory / "locks"

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """While the block runs, other processes wait before theirs for the same key.

        Where that is impossible (a read-only folder, a file system without locks) the block runs
        all the same: an image is encoded twice then, which costs time and nothing else.

        Parameters
        ----------
        key : str
            Name of the embedding that the block makes and writes.

        Yields
        ------
        None
            Once no other process holds the key's lock, or at once where there can be none.
        """
        from filelock import FileLock

        path = self._locks / f"{key}.lock"
        lock = FileLock(path)
        self._acquire(lock, path)
        try:
            yield
        finally:
            # Whoever still waits for the removed file finds the entry, and needs no lock. Without
            # an entry the file stays, so that those who wait and those who come share one lock.
            if lock.is_locked and key in self:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            # The lock ends with the process at the latest; the block's result must not be lost.
            with contextlib.suppress(OSError):
                lock.release()

    def _acquire(self, lock: BaseFileLock, path: Path) -> None:
        try:
            self._locks.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=LONGEST_WAIT)
            os.utime(path)
        except (OSError, RuntimeError) as error:
            # filelock tells of a file system without locks by NotImplementedError, and of too long
            # a wait by a TimeoutError.
            if isinstance(error, RuntimeError | TimeoutError) or error.errno in _NO_LOCKS:
                self._warn_once(
                    "locks", f"{self.directory}: processes cannot wait for each other: {error}"
                )
            else:
                self._warn_about_disk(error)

    # ---- trouble ---------------------------------------------------------------------------

    def _warn_about_disk(self, error: OSError) -> None:
        reason = error.strerror or error
        self._warn_once("disk", f"embeddings are not cached on disk in {self.directory}: {reason}")

    def _warn_once(self, kind: str, message: str) -> None:
        with self._lock:
            known = kind in self._warned
            self._warned.add(kind)
        if not known:
            logger.warning("%s", message)


def _files(directory: Path) -> list[Path]:
    """The files of a folder; none if there is no such folder, or it cannot be read."""
    try:
        with os.scandir(directory) as entries:
            return [Path(entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError:
        return []
