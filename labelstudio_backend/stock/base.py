"""The base class that is there: the SDK's, of either generation, or our own like them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sam_plugins.checkpoints.locations import cache_directory

LOGGER = logging.getLogger(__name__)


class PlainMLBase:
    """What both generations of ``LabelStudioMLBase`` have in common.

    Parameters
    ----------
    project_id : str, optional
    label_config : str, optional
    **kwargs
        Whatever a server passes beside: ``hostname``, ``access_token`` ...
    """

    def __init__(
        self, project_id: str | None = None, label_config: str | None = None, **kwargs: Any
    ) -> None:
        self.project_id = project_id or ""
        self.label_config = label_config or ""
        self.hostname = str(kwargs.get("hostname") or "")
        self.access_token = str(kwargs.get("access_token") or "")

    def predict(
        self,
        tasks: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer; see `SamBackend.predict`."""
        raise NotImplementedError

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Take note of an event; see `SamBackend.fit`."""
        raise NotImplementedError


def find_base() -> type[Any]:
    """The SDK's base class, or ours if there is no SDK that can be imported.

    Returns
    -------
    type
    """
    # The SDK makes a database at import: in its own folder, not in the one that it is started in.
    os.environ.setdefault("MODEL_DIR", str(_folder()))
    try:
        from label_studio_ml.model import LabelStudioMLBase
    except ImportError as error:
        LOGGER.info("no SDK of Label Studio (%s): our own base class is used", error)
        return PlainMLBase
    base: type[Any] = LabelStudioMLBase
    return base


def _folder() -> str:
    folder = cache_directory() / "label-studio" / "stock"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)
