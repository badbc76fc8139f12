"""``SamBackend``: one subclass for ``label-studio-ml`` 1.0.9, for 2.x, and without either."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from labelstudio_backend.answering import PredictRequest, ServedModel, Service, SetupRequest
from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.building import state_folder
from labelstudio_backend.server.settings import ServerSettings
from labelstudio_backend.server.turns import Turns
from labelstudio_backend.stock.base import find_base

_Base = find_base()

# The model that is served: a name or the path of a checkpoint.
MODEL_VARIABLE = "SAM_PLUGINS_MODEL"


@cache
def shared_service() -> Service:
    """The one service of this process: stock servers make a new `SamBackend` again and again.

    Returns
    -------
    Service
    """
    model = ServedModel(os.environ.get(MODEL_VARIABLE) or "lite")
    turns = Turns(ServerSettings().turns)
    return Service(model, Projects(state_folder()), turns)


class SamBackend(_Base):  # type: ignore[misc, valid-type]
    """Segment Anything behind a server of the SDK.

    Parameters
    ----------
    **kwargs
        What the base class takes, of either generation; what it does not take is left out.
        ``hostname`` and ``access_token`` are used by the first generation alone.
    """

    def __init__(self, **kwargs: Any) -> None:
        taken = inspect.signature(_Base.__init__).parameters
        anything = any(each.kind is each.VAR_KEYWORD for each in taken.values())
        super().__init__(**{k: v for k, v in kwargs.items() if anything or k in taken})
        self._given = kwargs

    def setup(self) -> None:
        """Tell the SDK's second generation which model this is."""
        if hasattr(self, "set"):
            self.set("model_version", shared_service().model_version(self._project()))

    def predict(
        self,
        tasks: Sequence[Mapping[str, Any]],
        context: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer smart prompts, or annotate tasks.

        Parameters
        ----------
        tasks : sequence of mapping
            As Label Studio has them.
        context : mapping, optional
            With the regions that were drawn as ``result``.
        **kwargs
            Of no use here.

        Returns
        -------
        list
            Of dicts, valid for both generations; see `Service.predict`.

        Raises
        ------
        SamPluginsError
            See `Service.predict`.
        """
        body = _current_body()
        service, project = shared_service(), self._project(body)
        # The first generation keeps one model for all projects: what the request says counts.
        config = body.get("label_config") or self._given.get("label_config") or ""
        config = str(config or getattr(self, "label_config", "") or "")
        self._introduce(service, project, config)
        request = PredictRequest.of(list(tasks), context, project=project, label_config=config)
        return list(service.predict(request))

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Do nothing: the backend's own server learns, see ``sam-plugins label-studio serve``.

        Parameters
        ----------
        *args, **kwargs
            As either generation calls it.

        Returns
        -------
        dict
            Empty.
        """
        return {}

    def _project(self, body: Mapping[str, Any] | None = None) -> str:
        named = (body or {}).get("project") or getattr(self, "project_id", None)
        return str(named or self._given.get("project_id") or "").partition(".")[0]

    def _introduce(self, service: Service, project: str, config: str) -> None:
        """Let the service know where the first generation says that Label Studio is."""
        host, token = (str(self._given.get(name) or "") for name in ("hostname", "access_token"))
        if host and not service.projects.get(project).hostname:
            service.projects.set_up(SetupRequest(project, config, host, token, None))


def _current_body() -> Mapping[str, Any]:
    """The body of the request that is being answered by Flask; empty outside of one."""
    try:
        import flask
    except ImportError:
        return {}
    if not flask.has_request_context():
        return {}
    body = flask.request.get_json(silent=True)
    return body if isinstance(body, Mapping) else {}
