"""Prompts that tasks hold already: boxes and points of people or of other models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from labelstudio_backend.protocol.prompting import Asked, read_prompts
from sam_plugins.prompts import Prompt

_PROMPTS = ("keypoint", "rectangle", "ellipse")


def regions_to_fill(task: Mapping[str, Any], model_version: str) -> list[Mapping[str, Any]]:
    """Find boxes and points of a task that may become masks.

    Parameters
    ----------
    task : mapping
        As Label Studio has it, with annotations and predictions.
    model_version : str
        Whose own predictions are left out.

    Returns
    -------
    list of mapping
        Of the newest annotation that has some, else of the newest prediction of another model.
    """
    for results in (_annotated(task), _predicted(task, model_version)):
        for result in results:
            found = [each for each in result if _is_prompt(each)]
            if found:
                return found
    return []


def read_existing(regions: Sequence[Mapping[str, Any]], image_size: tuple[int, int]) -> list[Asked]:
    """Turn them into prompts: each box and each foreground point is an object of its own.

    Parameters
    ----------
    regions : sequence of mapping
        From `regions_to_fill`.
    image_size : tuple of int
        (H, W).

    Returns
    -------
    list of Asked
        Background points go to all objects of their label.

    Raises
    ------
    InvalidPromptError
        If a region is malformed.
    """
    return [one for asked in read_prompts(regions, image_size) for one in _apart(asked)]


def _apart(asked: Asked) -> Iterator[Asked]:
    points, labels = asked.prompt.points, asked.prompt.labels
    if points is None or labels is None:
        yield asked
        return
    background = points[labels == 0]
    for point in points[labels == 1]:
        both = np.concatenate([point[None], background])
        prompt = Prompt(points=both, labels=np.array([1] + [0] * len(background)))
        yield replace(asked, prompt=prompt)


def _annotated(task: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    rows = [row for row in _rows(task, "annotations") if not row.get("was_cancelled")]
    yield from (_result(row) for row in reversed(rows))


def _predicted(task: Mapping[str, Any], model_version: str) -> Iterator[Sequence[Any]]:
    rows = [r for r in _rows(task, "predictions") if r.get("model_version") != model_version]
    yield from (_result(row) for row in reversed(rows))


def _rows(task: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = task.get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _result(row: Mapping[str, Any]) -> Sequence[Any]:
    result = row.get("result")
    return result if isinstance(result, list) else []


def _is_prompt(region: Any) -> bool:
    return isinstance(region, Mapping) and str(region.get("type", "")).startswith(_PROMPTS)
