"""``TaskImages``: the image of a task as an embedding, fetched and encoded once."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from labelstudio_backend.fetching import ImageFetcher, decode_image

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding
    from sam_plugins.predictor import Predictor

# For so long an address is taken to hold the same image. Uploads never change; files of a storage
# may, and a click must not wait for them to be fetched again.
SECONDS = 600.0
MOST_ADDRESSES = 10_000

Turn = Callable[[], AbstractContextManager[None]]


class TaskImages:
    """Remembers which image lies at which address.

    Parameters
    ----------
    clock : callable
        Seconds.

    Notes
    -----
    Embeddings are kept by the predictor's cache, by the image's content; here are only their names.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._names: OrderedDict[tuple[str, ...], tuple[float, str]] = OrderedDict()

    def embed(
        self,
        predictor: Predictor,
        fetcher: ImageFetcher,
        url: Any,
        *,
        task: Mapping[str, Any],
        scope: str,
        turn: Turn,
    ) -> ImageEmbedding:
        """Give the embedding of a task's image.

        Parameters
        ----------
        predictor : Predictor
        fetcher : ImageFetcher
            Of the task's project.
        url : object
            As the task has it.
        task : mapping
        scope : str
            The project: what one was allowed to see, another may not be.
        turn : callable
            Gives the context in which to compute.

        Returns
        -------
        ImageEmbedding

        Raises
        ------
        FetchError
            If the image cannot be had.
        InvalidImageError
            If it cannot be decoded.
        """
        address = hashlib.sha256(str(url).encode("utf-8", "surrogatepass")).hexdigest()
        number = str(task.get("id")) if "://" in str(url)[:40] else ""
        key = (scope, address, number, predictor.weights_hash)
        known = self._known(key)
        found = None if known is None else predictor.cache.get(known)
        if found is not None:
            return found.to(predictor.device)
        data = fetcher.open(url, task=task)
        with turn():
            embedding = predictor.embed(decode_image(data))
        with self._lock:
            self._names[key] = (self._clock() + SECONDS, _name_of(predictor, embedding))
            while len(self._names) > MOST_ADDRESSES:
                self._names.popitem(last=False)
        return embedding

    def _known(self, key: tuple[str, ...]) -> str | None:
        with self._lock:
            until, name = self._names.get(key, (0.0, ""))
            return name if name and self._clock() < until else None


def _name_of(predictor: Predictor, embedding: ImageEmbedding) -> str:
    from sam_plugins.cache import embedding_key

    return embedding_key(
        content_key=embedding.content_key,
        weights_hash=embedding.weights_hash,
        normalization_key=embedding.normalization_key,
        frame_size=predictor.model.frame_size,
        precision=embedding.precision,
    )
