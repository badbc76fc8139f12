"""Answering one object's prompts: clicks one after the other, each refining the mask before."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.batching import PromptBatcher
    from sam_plugins.embedding import ImageEmbedding
    from sam_plugins.prediction import Prediction
    from sam_plugins.predictor import Predictor

# So many clicks are replayed one by one, the rest at once: more change little.
MOST_REPLAYED = 24
# Predictions that are remembered, of about half a megabyte each.
MOST_REMEMBERED = 128


class ClickMemory:
    """Answers prompts; remembers what came before the last click.

    A request holds all clicks so far. The answer is that of making them one by one (paper, §A: each
    with the mask before as a prompt), whoever answered the earlier ones; remembering saves time and
    changes nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._remembered: OrderedDict[tuple[object, ...], Prediction] = OrderedDict()

    def predict(
        self, predictor: Predictor | PromptBatcher, embedding: ImageEmbedding, prompt: Prompt
    ) -> Prediction:
        """Answer a prompt.

        Parameters
        ----------
        predictor : Predictor or PromptBatcher
        embedding : ImageEmbedding
        prompt : Prompt
            Clicks, a box or a mask, or clicks and a box about one object.

        Returns
        -------
        Prediction
        """
        points, labels = prompt.points, prompt.labels
        if points is None or labels is None or len(points) < 2 or not labels.any():
            return predictor.predict(embedding, prompt)
        # A background click alone is no object: what is wanted comes first.
        order = np.argsort(labels == 0, kind="stable") if labels[0] == 0 else np.arange(len(labels))
        points, labels = points[order], labels[order]
        answer: Prediction | None = None
        counts = [*range(1, min(len(points), MOST_REPLAYED)), len(points)]
        for count in counts:
            step = replace(prompt, points=points[:count], labels=labels[:count])
            key = (embedding.weights_hash, embedding.content_key, _key(step))
            found = self._recall(key)
            if found is None:
                asked = step if answer is None else answer.refine(step)
                found = predictor.predict(embedding, asked)
                self._remember(key, found)
            answer = found
        assert answer is not None  # there are at least two points
        return answer

    def _recall(self, key: tuple[object, ...]) -> Prediction | None:
        with self._lock:
            if key in self._remembered:
                self._remembered.move_to_end(key)
            return self._remembered.get(key)

    def _remember(self, key: tuple[object, ...], prediction: Prediction) -> None:
        with self._lock:
            self._remembered[key] = prediction
            while len(self._remembered) > MOST_REMEMBERED:
                self._remembered.popitem(last=False)


def _key(prompt: Prompt) -> tuple[bytes, ...]:
    parts = (prompt.points, prompt.labels, prompt.boxes)
    return tuple(b"" if part is None else np.asarray(part).tobytes() for part in parts)
