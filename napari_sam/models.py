"""Predictors: loaded once a process, shared by all windows."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import Thread
from typing import TYPE_CHECKING

from napari_sam.importing import import_torch
from napari_sam.settings import read_preferences
from sam_plugins.checkpoints.registry import find_entry

if TYPE_CHECKING:
    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.predictor import Predictor

# Models that stay in memory: going back to the one before takes no time.
LOADED = 2


@lru_cache(maxsize=1)
def embedding_cache() -> EmbeddingCache:
    """The cache that all predictors share, in memory and on disk."""
    from sam_plugins.cache import EmbeddingCache

    return EmbeddingCache(disk_bytes=read_preferences().cache.disk_bytes)


@lru_cache(maxsize=LOADED)
def _loaded(name: str, device: str) -> Predictor:
    from sam_plugins.masks.streaming import prepare
    from sam_plugins.predictor import Predictor

    Thread(target=prepare, name="sam-compile", daemon=True).start()
    return Predictor(name, device=device, cache=embedding_cache())


def get_predictor(
    name: str, device: str, *, progress: Callable[[int, int], None] | None = None
) -> Predictor:
    """Load a model, downloading it if need be. Takes seconds: not for the window's thread.

    Parameters
    ----------
    name : str
        Of the registry.
    device : str
        ``"auto"`` or a torch device.
    progress : callable, optional
        Called with (done, total) bytes; what it raises stops the download, to be resumed later.

    Returns
    -------
    Predictor
    """
    from sam_plugins.checkpoints.downloading import download

    import_torch()
    if not find_entry(name).present:
        download(name, progress=progress)
    return _loaded(name, device)
