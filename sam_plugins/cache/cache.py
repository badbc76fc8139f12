"""``EmbeddingCache``: embeddings in memory and on disk, each computed once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sam_plugins.cache.disk import DiskLevel
from sam_plugins.cache.keys import check_key
from sam_plugins.cache.memory import MemoryLevel

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding

MEMORY_BYTES = 1 << 30
DISK_BYTES = 10 << 30


@dataclass(frozen=True)
class CacheStatistics:
    """What became of the requests to a cache since it was made.

    Parameters
    ----------
    memory_hits : int
        Requests answered from memory, or by a computation that was under way already.
    disk_hits : int
        Requests answered from the folder.
    misses : int
        Requests for which the embedding was computed.
    """

    memory_hits: int = 0
    disk_hits: int = 0
    misses: int = 0

    @property
    def hits(self) -> int:
        """Requests for which nothing was computed."""
        return self.memory_hits + self.disk_hits


class EmbeddingCache:
    """Keep embeddings so that no image is encoded twice.

    Parameters
    ----------
    directory : path-like, optional
        Folder on disk; by default ``embeddings`` in the project's cache folder. It is made when
        the first embedding is written.
    memory_bytes : int
        Bound of what is held in main memory; 0 holds nothing.
    disk_bytes : int
        Bound of the folder; 0 leaves the disk alone.

    Raises
    ------
    ValueError
        If a bound is negative.

    Notes
    -----
    Safe for several threads and processes. Two that want the same embedding at the same moment
    cause one encoding: threads share the one result, processes wait by a lock file for each key.
    Whatever is wrong with the disk (full, read-only, damaged entries) costs speed, never a result:
    it is logged as a warning, and the embedding is computed.

    Examples
    --------
    >>> cache = EmbeddingCache(memory_bytes=100 << 20, disk_bytes=0)
    >>> "ab12" in cache, cache.memory_usage(), cache.disk_usage()
    (False, 0, 0)
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
        self._given_directory = directory
        self._memory = MemoryLevel(memory_bytes)
        self._disk = DiskLevel(self.directory, disk_bytes) if disk_bytes else None
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[ImageEmbedding]] = {}
        self._counts = {"memory_hits": 0, "disk_hits": 0, "misses": 0}

    @cached_property
    def directory(self) -> Path:
        """The folder on disk, whether it exists or not."""
        if self._given_directory is not None:
            return Path(self._given_directory).expanduser()
        from sam_plugins.checkpoints.locations import cache_directory

        return cache_directory() / "embeddings"

    def get_or_compute(self, key: str, compute: Callable[[], ImageEmbedding]) -> ImageEmbedding:
        """Give the embedding of a key; compute and keep it if there is none.

        Parameters
        ----------
        key : str
            From `embedding_key`.
        compute : callable
            Makes the embedding. What it raises goes to its own caller; nothing is kept then, and
            whoever waited for it calls its own ``compute``.

        Returns
        -------
        ImageEmbedding
            The same object for all threads that asked at the same time. From memory and from disk
            its feature maps are on the CPU.

        Raises
        ------
        ValueError
            If the key cannot be the name of a file.
        """
        check_key(key)
        while True:
            found = self._from_memory(key)
            if found is not None:
                return found
            with self._lock:
                others = self._under_way.get(key)
                if others is None:
                    own: Future[ImageEmbedding] = Future()
                    self._under_way[key] = own
            if others is None:
                return self._carry_out(key, compute, own)
            if others.exception() is None:
                self._count("memory_hits")
                return others.result()

    def _carry_out(
        self, key: str, compute: Callable[[], ImageEmbedding], promise: Future[ImageEmbedding]
    ) -> ImageEmbedding:
        """Look on the disk, else compute; tell the threads that wait for the promise."""
        try:
            found = self._from_memory(key) or self._from_disk(key)
            if found is None:
                with self._disk.alone(key) if self._disk else nullcontext():
                    # Another process may have written it while this one waited.
                    found = self._from_disk(key)
                    if found is None:
                        self._count("misses")
                        found = compute()
                        self.put(key, found)
        except BaseException as error:
            self._finish(key)
            promise.set_exception(error)
            raise
        self._finish(key)
        promise.set_result(found)
        return found

    def _finish(self, key: str) -> None:
        with self._lock:
            del self._under_way[key]

    def get(self, key: str) -> ImageEmbedding | None:
        """Give the embedding of a key, or None.

        Parameters
        ----------
        key : str
            From `embedding_key`.

        Returns
        -------
        ImageEmbedding or None
            Its feature maps are on the CPU.
        """
        check_key(key)
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
        check_key(key)
        self._memory.put(key, embedding)
        if self._disk:
            self._disk.put(key, embedding)

    def __contains__(self, key: str) -> bool:
        check_key(key)
        return key in self._memory or (self._disk is not None and key in self._disk)

    def clear(self) -> None:
        """Forget all embeddings, in memory and, unless ``disk_bytes`` is 0, on disk.

        Raises
        ------
        OSError
            If an entry on disk cannot be removed.
        """
        self._memory.clear()
        if self._disk:
            self._disk.clear()

    def memory_usage(self) -> int:
        """Bytes held in memory."""
        return self._memory.nbytes

    def disk_usage(self) -> int:
        """Bytes kept on disk, by all processes; 0 if ``disk_bytes`` is."""
        return self._disk.nbytes if self._disk else 0

    @property
    def statistics(self) -> CacheStatistics:
        """Hits and misses so far."""
        with self._lock:
            return CacheStatistics(**self._counts)

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _from_memory(self, key: str) -> ImageEmbedding | None:
        found = self._memory.get(key)
        if found is not None:
            self._count("memory_hits")
            if self._disk:
                self._disk.touch(key)
        return found

    def _from_disk(self, key: str) -> ImageEmbedding | None:
        found = self._disk.get(key) if self._disk else None
        if found is not None:
            self._count("disk_hits")
            self._memory.put(key, found)
        return found
