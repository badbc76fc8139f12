"""Webhooks: what happens in Label Studio, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labelstudio_backend.answering import BadRequestError
from labelstudio_backend.learning.collecting import Collector
from labelstudio_backend.learning.training import Trainer

_ACCEPTED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")


def on_event(event: Mapping[str, Any], collector: Collector, trainer: Trainer) -> dict[str, Any]:
    """Do what an event asks for.

    Parameters
    ----------
    event : mapping
        A webhook's body.
    collector : Collector
    trainer : Trainer

    Returns
    -------
    dict
        The answer.

    Raises
    ------
    BadRequestError
        If it is malformed.
    """
    action = event.get("action")
    if not isinstance(action, str):
        raise BadRequestError("a webhook needs an action")
    if action in _ACCEPTED:
        project = _number(event, "project", "id")
        collector.note(project, _number(event, "annotation", "task"))
        return {"status": "noted"}
    if action == "ANNOTATIONS_DELETED":
        # It names annotations and not their tasks.
        collector.note(_number(event, "project", "id"), None)
        return {"status": "noted"}
    if action == "START_TRAINING":
        started = trainer.start(_number(event, "project", "id"))
        return {"status": "started" if started else "a training is under way already"}
    return {"status": "ignored"}


def _number(event: Mapping[str, Any], *names: str) -> int:
    value: Any = event
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BadRequestError(f"the webhook's {'.'.join(names)} must be a number")
    return value
