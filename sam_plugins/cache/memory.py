"""Embeddings in memory, bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding


class MemoryLevel:
    """Embeddings in main memory; those used longest ago go first. Safe for threads.

    Parameters
    ----------
    max_bytes : int
        Bound of all feature maps together; an embedding larger than it is not held.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._held: OrderedDict[str, ImageEmbedding] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> ImageEmbedding | None:
        """Give the embedding of a key, or None; it is the one used last now.

        Parameters
        ----------
        key : str
            Its name.

        Returns
        -------
        ImageEmbedding or None
        """
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: str, embedding: ImageEmbedding) -> None:
        """Hold an embedding, and drop others as the bound requires.

        Parameters
        ----------
        key : str
            Its name.
        embedding : ImageEmbedding
            On any device; it is held in main memory, because a GPU's is scarce.
        """
        fits = embedding.nbytes <= self.max_bytes
        own = embedding.to("cpu").compact() if fits else None
        with self._lock:
            self._drop(key)
            if own is None:
                return
            self._held[key] = own
            self._bytes += own.nbytes
            while self._bytes > self.max_bytes:
                self._drop(next(iter(self._held)))

    def _drop(self, key: str) -> None:
        dropped = self._held.pop(key, None)
        if dropped is not None:
            self._bytes -= dropped.nbytes

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._held

    def clear(self) -> None:
        """Drop all embeddings."""
        with self._lock:
            self._held.clear()
            self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all feature maps held."""
        with self._lock:
            return self._bytes
