"""What Label Studio asks, checked once: bodies of requests as dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sam_plugins.errors import SamPluginsError

# "Retrieve predictions" sends all tasks that were selected; within Label Studio's 100 seconds
# no model answers more.
MOST_TASKS = 10_000
MOST_PROJECT_CHARACTERS = 200


class BadRequestError(SamPluginsError, ValueError):
    """A request is malformed.

    Parameters
    ----------
    message : str
        One line.
    status : int
        The HTTP status to answer with.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class SetupRequest:
    """Label Studio introduces a project.

    Parameters
    ----------
    project : str
        Its number.
    label_config : str
    hostname, access_token : str
        Label Studio's own address and the owner's legacy token; empty if it has none.
    extra_params : object
        The project's settings for the model: text, an object or None.
    """

    project: str
    label_config: str
    hostname: str
    access_token: str
    extra_params: Any

    @classmethod
    def read(cls, body: Any) -> SetupRequest:
        """Read the body of a request to ``/setup``.

        Parameters
        ----------
        body : object
            From JSON.

        Returns
        -------
        SetupRequest

        Raises
        ------
        BadRequestError
            If it is malformed.
        """
        body = _mapping(body, "the request")
        return cls(
            project=_project(body.get("project")),
            label_config=_text(body.get("schema", body.get("label_config")), "schema"),
            hostname=_text(body.get("hostname"), "hostname"),
            access_token=_text(body.get("access_token"), "access_token"),
            extra_params=body.get("extra_params"),
        )


@dataclass(frozen=True)
class PredictRequest:
    """Label Studio asks for masks.

    Parameters
    ----------
    project : str
        The project's number; empty if the request does not say.
    label_config : str
        Empty if the request does not say.
    tasks : tuple of mapping
        As Label Studio has them.
    context : tuple or None
        The regions that were drawn with smart tools, which may be none; None if nobody prompts:
        tasks are to be annotated as they are.
    """

    project: str
    label_config: str
    tasks: tuple[Mapping[str, Any], ...]
    context: tuple[Any, ...] | None

    @classmethod
    def read(cls, body: Any) -> PredictRequest:
        """Read the body of a request to ``/predict``.

        Parameters
        ----------
        body : object
            From JSON.

        Returns
        -------
        PredictRequest

        Raises
        ------
        BadRequestError
            If it is malformed.
        """
        body = _mapping(body, "the request")
        params = _mapping(body.get("params") or {}, "params")
        return cls.of(
            body.get("tasks"),
            params.get("context", body.get("context")),
            project=body.get("project"),
            label_config=body.get("label_config"),
        )

    @classmethod
    def of(
        cls, tasks: Any, context: Any, *, project: Any = None, label_config: Any = None
    ) -> PredictRequest:
        """Check the parts of a request.

        Parameters
        ----------
        tasks, context, project, label_config : object
            From JSON.

        Returns
        -------
        PredictRequest

        Raises
        ------
        BadRequestError
            If one of them is malformed.
        """
        if not isinstance(tasks, list | tuple) or not tasks:
            raise BadRequestError("tasks must be a list with at least one task")
        if len(tasks) > MOST_TASKS:
            raise BadRequestError(f"{len(tasks)} tasks are more than {MOST_TASKS}", 413)
        for task in tasks:
            _mapping(_mapping(task, "a task").get("data"), "a task's data")
        drawn = None
        if context is not None:
            regions = _mapping(context, "context").get("result")
            if not isinstance(regions, list | tuple | None):
                raise BadRequestError("the context's result must be a list of regions")
            drawn = tuple(regions or ())
        if drawn is not None and len(tasks) != 1:
            raise BadRequestError(f"prompts are about one task, got {len(tasks)}")
        return cls(
            project=_project(project),
            label_config=_text(label_config, "label_config"),
            tasks=tuple(tasks),
            context=drawn,
        )


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadRequestError(f"{name} must be an object, got {type(value).__name__}")
    return value


def _text(value: Any, name: str) -> str:
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"{name} must be a text, got {type(value).__name__}")
    return value or ""


def _project(value: Any) -> str:
    """The project's number: Label Studio adds when it was made, as in ``1.1795412716``."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise BadRequestError(f"project must be a text, got {type(value).__name__}")
    return str("" if value is None else value).partition(".")[0][:MOST_PROJECT_CHARACTERS]
