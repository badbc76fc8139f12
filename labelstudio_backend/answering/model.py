"""``ServedModel``: the one model that answers, loaded when needed, replaced between answers."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sam_plugins.errors import SamPluginsError

if TYPE_CHECKING:
    from sam_plugins.batching import PromptBatcher
    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.predictor import Predictor

LOGGER = logging.getLogger(__name__)

# Hexadecimal digits of the weights' hash in a version: enough to tell any two apart.
DIGITS = 8


@dataclass(frozen=True, eq=False)
class Current:
    """A model in memory.

    Parameters
    ----------
    predictor : Predictor
    version : str
        See `version_of`.
    """

    predictor: Predictor
    version: str

    @cached_property
    def answers(self) -> Predictor | PromptBatcher:
        """Who answers prompts: on a GPU, those of several people at once."""
        from sam_plugins.batching import PromptBatcher

        on_cpu = self.predictor.device.type == "cpu"
        return self.predictor if on_cpu else PromptBatcher(self.predictor)


class ServedModel:
    """A model that all requests share.

    Parameters
    ----------
    model : str
        A model's name or the path of a checkpoint.
    device, precision : str
        As for `Predictor`.
    cache : EmbeddingCache, optional
        Where embeddings are kept; by default in memory and on disk.
    """

    def __init__(
        self,
        model: str = "lite",
        *,
        device: str = "auto",
        precision: str = "auto",
        cache: EmbeddingCache | None = None,
    ) -> None:
        self._source = model
        self._device, self._precision, self._cache = device, precision, cache
        self._current: Current | None = None
        # Held while a model is loaded, so that it is loaded once.
        self._loading = threading.Lock()

    @property
    def source(self) -> str:
        """Name or path of the model that answers now."""
        return self._source

    @property
    def loaded(self) -> bool:
        """Whether it is in memory."""
        return self._current is not None

    @property
    def current(self) -> Current:
        """What answers now; loaded now if nobody has asked for it before.

        Raises
        ------
        SamPluginsError
            If it cannot be loaded.
        """
        current = self._current
        if current is None:
            with self._loading:
                current = self._current or self._load(self._source)
                self._current = current
        return current

    @property
    def version(self) -> str:
        """Name of the model and its weights, known without loading it."""
        return version_of(self._source)

    def switch(self, model: str) -> None:
        """Answer with another model from now on; answers under way end with the one before.

        Parameters
        ----------
        model : str
            A model's name or the path of a checkpoint.

        Raises
        ------
        SamPluginsError
            If it cannot be loaded; the one before goes on answering.
        """
        current = self._load(model)
        with self._loading:
            self._current, self._source = current, model
        LOGGER.info("%s answers from now on", current.version)

    def _load(self, model: str) -> Current:
        from sam_plugins.cache import EmbeddingCache
        from sam_plugins.masks.streaming import prepare
        from sam_plugins.predictor import Predictor

        threading.Thread(target=prepare, name="compile", daemon=True).start()
        if self._cache is None:
            self._cache = EmbeddingCache()
        LOGGER.info("loading %s", model)
        predictor = Predictor(
            model, device=self._device, precision=self._precision, cache=self._cache
        )
        return Current(predictor, version_of(model))


@cache
def version_of(model: str) -> str:
    """Name a model for Label Studio: the same for the same weights, everywhere.

    Parameters
    ----------
    model : str
        A model's name or the path of a checkpoint.

    Returns
    -------
    str

    Raises
    ------
    SamPluginsError
        If there is no such model.

    Examples
    --------
    >>> version_of("lite").startswith("lite-")
    True
    """
    from sam_plugins.checkpoints.hashing import hash_file
    from sam_plugins.checkpoints.registry import REGISTRY

    entry = REGISTRY.get(model)
    if entry is not None and entry.sha256 is not None:
        return f"{model}-{entry.sha256[:DIGITS]}"
    path = Path(model) if entry is None else entry.path()
    if not path.is_file():
        raise SamPluginsError(
            f"there is no model {model!r}: give the path of a checkpoint, or one of "
            f"{', '.join(REGISTRY)}"
        )
    return f"{path.stem}-{hash_file(path)[:DIGITS]}"
