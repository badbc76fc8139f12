"""``EmbeddingCache``: embeddings in memory and on disk, bounded in bytes, shared by processes."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sam_plugins.errors import EmbeddingFileError

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding

logger = logging.getLogger(__name__)

MEMORY_BYTES = 1 << 30
DISK_BYTES = 10 << 30

# A temporary file of this age, in seconds, was left by a process that died.
STALE_AFTER = 3600.0

# Encoding an image with the largest model on a slow processor takes minutes; whoever waits longer
# than this for another process computes by itself.
LONGEST_WAIT = 600.0


def embedding_key(
    *,
    content_key: str,
    weights_hash: str,
    normalization_key: str,
    frame_size: int,
    precision: str,
) -> str:
    """Name under which an embedding is kept: whatever changes the embedding changes the name.

    Parameters
    ----------
    content_key : str
        Identity of the image's content.
    weights_hash : str
        Identity of the model's weights.
    normalization_key : str
        How the image's values are normalised.
    frame_size : int
        Side of the model's frame, in pixels.
    precision : str
        In which the encoder runs.

    Returns
    -------
    str
        40 hexadecimal digits.
    """
    parts = [content_key, weights_hash, normalization_key, str(frame_size), precision]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


class EmbeddingCache:
    """Keep embeddings so that no image is encoded twice.

    Parameters
    ----------
    directory : path-like, optional
        Folder on disk; by default ``embeddings`` in the project's cache folder.
    memory_bytes : int
        Bound of what is held in memory; 0 holds nothing.
    disk_bytes : int
        Bound of the folder; 0 keeps nothing on disk.

    Notes
    -----
    Safe for several threads and processes. Two that want the same embedding at the same moment
    cause one encoding: threads wait for each other by a lock in memory, processes by a lock file.
    Whatever is wrong with the disk (full, read-only, damaged entries) costs speed, never a result:
    it is logged as a warning, and the embedding is computed.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        memory_bytes: int = MEMORY_BYTES,
        disk_bytes: int = DISK_BYTES,
    ) -> None:
        if memory_bytes < 0 or disk_bytes < 0:
            raise ValueError(
                f"bounds must be 0 bytes or more, got {memory_bytes} in memory and "
                f"{disk_bytes} on disk"
            )
        self.memory_bytes = memory_bytes
        self.disk_bytes = disk_bytes
        self.hits = 0
        self.misses = 0
        self._directory = None if directory is None else Path(directory)
        self._held: OrderedDict[str, ImageEmbedding] = OrderedDict()
        self._lock = threading.Lock()
        self._working: dict[str, tuple[threading.Lock, int]] = {}
        self._warned: set[str] = set()

    @property
    def directory(self) -> Path:
        """The folder on disk, whether it exists or not."""
        if self._directory is None:
            from sam_plugins.checkpoints.locations import cache_directory

            self._directory = cache_directory() / "embeddings"
        return self._directory

    # ---- use -------------------------------------------------------------------------------

    def get_or_compute(self, key: str, compute: Callable[[], ImageEmbedding]) -> ImageEmbedding:
        """Give the embedding of a key; compute and keep it if there is none.

        Parameters
        ----------
        key : str
            From `embedding_key`.
        compute : callable
            Makes the embedding. If it raises, nothing is kept, and the next caller tries again.

        Returns
        -------
        ImageEmbedding
        """
        found = self._from_memory(key)
        if found is not None:
            return found
        with self._alone_in_process(key):
            found = self._from_memory(key) or self._from_disk(key)
            if found is not None:
                return found
            with self._alone_among_processes(key):
                found = self._from_disk(key) if self.disk_bytes else None
                if found is None:
                    self.misses += 1
                    found = compute()
                    self.put(key, found)
            return found

    def get(self, key: str) -> ImageEmbedding | None:
        """The embedding of a key, or None."""
        return self._from_memory(key) or self._from_disk(key)

    def put(self, key: str, embedding: ImageEmbedding) -> None:
        """Keep an embedding.

        Parameters
        ----------
        key : str
            From `embedding_key`.
        embedding : ImageEmbedding
            What to keep. One larger than a bound is not kept there.
        """
        self._hold(key, embedding)
        if not self.disk_bytes or embedding.nbytes > self.disk_bytes:
            return
        try:
            embedding.save(self._path(key))
            self._make_room()
        except OSError as error:
            self._warn_once(f"embeddings are not kept on disk: {error}")

    def __contains__(self, key: str) -> bool:
        with self._lock:
            if key in self._held:
                return True
        return bool(self.disk_bytes) and self._path(key).is_file()

    def clear(self) -> None:
        """Forget all embeddings, in memory and on disk."""
        with self._lock:
            self._held.clear()
        for path, *_ in self._entries():
            path.unlink(missing_ok=True)

    def memory_usage(self) -> int:
        """Bytes held in memory."""
        with self._lock:
            return sum(embedding.nbytes for embedding in self._held.values())

    def disk_usage(self) -> int:
        """Bytes kept on disk."""
        return sum(size for _, size, _ in self._entries())

    # ---- memory ----------------------------------------------------------------------------

    def _from_memory(self, key: str) -> ImageEmbedding | None:
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
                self.hits += 1
            return found

    def _hold(self, key: str, embedding: ImageEmbedding) -> None:
        with self._lock:
            self._held.pop(key, None)
            if embedding.nbytes > self.memory_bytes:
                return
            self._held[key] = embedding
            total = sum(each.nbytes for each in self._held.values())
            while total > self.memory_bytes:
                _, oldest = self._held.popitem(last=False)
                total -= oldest.nbytes

    # ---- disk ------------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.safetensors"

    def _from_disk(self, key: str) -> ImageEmbedding | None:
        if not self.disk_bytes:
            return None
        from sam_plugins.embedding import ImageEmbedding

        path = self._path(key)
        try:
            found = ImageEmbedding.load(path)
        except FileNotFoundError:
            return None
        except EmbeddingFileError as error:
            logger.warning("%s; it is computed again", error)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        except OSError as error:
            self._warn_once(f"the embedding cache cannot be read: {error}")
            return None
        # The folder is bounded by when entries were used last.
        with contextlib.suppress(OSError):
            os.utime(path)
        self.hits += 1
        self._hold(key, found)
        return found

    def _entries(self) -> list[tuple[Path, int, float]]:
        """Path, size in bytes and time of last use of each entry; others may remove them."""
        found = []
        try:
            paths = list(self.directory.glob("*.safetensors")) if self.disk_bytes else []
        except OSError:
            return []
        for path in paths:
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((path, status.st_size, status.st_mtime))
        return [entry for entry in found if not entry[0].name.startswith(".")]

    def _make_room(self) -> None:
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        total = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if total <= self.disk_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
        for left in self.directory.glob(".*.partial*"):
            with contextlib.suppress(OSError):
                if time.time() - left.stat().st_mtime > STALE_AFTER:
                    left.unlink()

    # ---- one computation at a time ---------------------------------------------------------

    @contextmanager
    def _alone_in_process(self, key: str) -> Iterator[None]:
        with self._lock:
            lock, users = self._working.get(key, (threading.Lock(), 0))
            self._working[key] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._lock:
                users = self._working[key][1] - 1
                if users:
                    self._working[key] = lock, users
                else:
                    del self._working[key]

    @contextmanager
    def _alone_among_processes(self, key: str) -> Iterator[None]:
        if not self.disk_bytes:
            yield
            return
        from filelock import FileLock, Timeout

        # One of 256 lock files, so that they need not be removed, which could not be done safely.
        lock = FileLock(self.directory / "locks" / key[:2])
        try:
            (self.directory / "locks").mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=LONGEST_WAIT)
        except (OSError, NotImplementedError, Timeout) as error:
            self._warn_once(f"processes cannot wait for each other: {error}")
        try:
            yield
        finally:
            lock.release()

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning("%s", message)
