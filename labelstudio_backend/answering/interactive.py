"""Smart prompts: the regions that a person has drawn, answered with masks."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.protocol.prompting import Asked
from sam_plugins.prompts import Prompt

# A box belongs to the clicks that follow it within this time, in seconds.
SECONDS = 120.0
MOST_REMEMBERED = 1000


def image_asked_about(regions: Sequence[Any]) -> str | None:
    """The name of the image that regions lie on.

    Parameters
    ----------
    regions : sequence
        See `read_prompts`.

    Returns
    -------
    str or None
        None if they do not say.
    """
    names = (region.get("to_name") for region in regions if isinstance(region, Mapping))
    return next((name for name in names if isinstance(name, str)), None)


class BoxMemory:
    """Joins clicks with the box that was drawn about the same object.

    Label Studio sends points and boxes apart, and each answer replaces the one before: without
    this, clicks that were meant to correct a box's mask begin anew.

    Parameters
    ----------
    clock : callable
        Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._boxes: OrderedDict[tuple[str, str, str | None], tuple[float, NDArray[Any]]] = (
            OrderedDict()
        )

    def join(self, asked: Sequence[Asked], *, project: str, task: object) -> list[Asked]:
        """Remember boxes; give clicks the box in which their first one lies.

        Parameters
        ----------
        asked : sequence of Asked
            Of one request.
        project : str
        task : object
            The task's number.

        Returns
        -------
        list of Asked
        """
        return [self._joined(each, (project, str(task), each.label)) for each in asked]

    def _joined(self, asked: Asked, key: tuple[str, str, str | None]) -> Asked:
        prompt = asked.prompt
        with self._lock:
            if prompt.boxes is not None:
                self._boxes[key] = (self._clock() + SECONDS, prompt.boxes)
                self._boxes.move_to_end(key)
                while len(self._boxes) > MOST_REMEMBERED:
                    self._boxes.popitem(last=False)
                return asked
            until, boxes = self._boxes.get(key, (0.0, np.empty((0, 4))))
        if prompt.points is None or self._clock() > until or not _within(prompt, boxes):
            return asked
        return replace(asked, prompt=replace(prompt, boxes=boxes))


def _within(prompt: Prompt, boxes: NDArray[Any]) -> bool:
    if prompt.points is None or not len(boxes):
        return False
    x, y = prompt.points[0]
    x0, y0, x1, y1 = boxes[0]
    return bool(x0 <= x <= x1 and y0 <= y <= y1)
