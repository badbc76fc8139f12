"""What Label Studio keeps, as far as this project asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Project:
    """A project.

    Parameters
    ----------
    id : int
    title : str
    label_config : str
        Its labelling config, XML.
    task_count : int
    shows_predictions : bool
        Whether annotators see predictions when they open a task.
    """

    id: int
    title: str
    label_config: str
    task_count: int
    shows_predictions: bool


@dataclass(frozen=True)
class TaskSummary:
    """What a list says of a task.

    Parameters
    ----------
    id : int
    model_versions : frozenset of str
        Whose predictions it has.
    annotations : int
        How many it has.
    """

    id: int
    model_versions: frozenset[str]
    annotations: int


@dataclass(frozen=True)
class Prediction:
    """A prediction for one task.

    Parameters
    ----------
    task : int
        The task's id.
    result : sequence
        Regions in Label Studio's form.
    score : float
    model_version : str
    """

    task: int
    result: Sequence[Mapping[str, Any]]
    score: float
    model_version: str


@dataclass(frozen=True)
class MLBackend:
    """A model that is connected to a project.

    Parameters
    ----------
    id : int
    url : str
        As Label Studio reaches it.
    is_interactive : bool
        Whether it answers smart prompts.
    state : str
        ``"CO"`` if Label Studio reached it when it last tried.
    error : str
        What Label Studio says, if it did not.
    extra_params : mapping or str
        The project's settings for the model; JSON if they were typed into Label Studio's page.
    """

    id: int
    url: str
    is_interactive: bool
    state: str
    error: str = ""
    extra_params: Mapping[str, Any] | str = field(default_factory=dict)


def read_project(row: Mapping[str, Any]) -> Project:
    """A project as Label Studio describes it."""
    return Project(
        id=int(row["id"]),
        title=str(row.get("title") or ""),
        label_config=str(row.get("label_config") or ""),
        task_count=int(row.get("task_number") or 0),
        shows_predictions=bool(row.get("show_collab_predictions", True)),
    )


def read_backend(row: Mapping[str, Any]) -> MLBackend:
    """A connected model as Label Studio describes it."""
    extra = row.get("extra_params")
    return MLBackend(
        id=int(row["id"]),
        url=str(row["url"]).rstrip("/"),
        is_interactive=bool(row.get("is_interactive")),
        state=str(row.get("state") or ""),
        error=str(row.get("error_message") or ""),
        extra_params=extra if isinstance(extra, Mapping | str) else {},
    )


def read_task_summary(row: Mapping[str, Any]) -> TaskSummary:
    """A task as Label Studio lists it."""
    versions = str(row.get("predictions_model_versions") or "")
    return TaskSummary(
        id=int(row["id"]),
        model_versions=frozenset(filter(None, versions.split(","))),
        annotations=int(row.get("total_annotations") or 0),
    )
