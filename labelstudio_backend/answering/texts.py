"""Answering text prompts: one mask for each object that a phrase names."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sam_plugins.masks.records import MaskRecord

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor
    from sam_plugins.text.answers import TextAnswer
    from sam_plugins.text.finding import TextFinder


class TextMemory:
    """Answers texts; remembers the candidates of images that were asked about lately.

    What it remembers saves time and changes no answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._finder: TextFinder | None = None

    def find(self, predictor: Predictor, image: Any, text: str) -> TextAnswer:
        """Find the objects that a text names.

        Parameters
        ----------
        predictor : Predictor
        image : ndarray of shape (H, W) or (H, W, C)
            Decoded, in the file's own depth.
        text : str

        Returns
        -------
        TextAnswer

        Raises
        ------
        InvalidPromptError
            If the text is not understood; the message tells what is.
        """
        from sam_plugins.prompts import Prompt
        from sam_plugins.text.finding import TextFinder

        with self._lock:
            if self._finder is None or self._finder.predictor is not predictor:
                self._finder = TextFinder(predictor)
            return self._finder.find(image, Prompt(text=text))


def check_text(text: str) -> None:
    """Check that a text is understood, before an image is fetched for it.

    Parameters
    ----------
    text : str

    Raises
    ------
    InvalidPromptError
        If it is not.
    """
    from sam_plugins.phrases import parse

    parse(text)


def score_of(record: MaskRecord, match: float) -> float:
    """How sure an answer is: both of the mask and of the words.

    Parameters
    ----------
    record : MaskRecord
    match : float
        How well it matches the text, 0 to 1.

    Returns
    -------
    float
    """
    return min(match, float(record.predicted_iou))
