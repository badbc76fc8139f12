"""``PromptBatcher``: prompts of many people at one moment, answered in one call of the decoder."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sam_plugins.errors import SamPluginsError

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding
    from sam_plugins.prediction import Prediction
    from sam_plugins.predictor import Predictor
    from sam_plugins.prompts import Prompt

# Nobody notices so much, and a GPU that answers one prompt answers a dozen in the same time.
SECONDS = 0.003


@dataclass(eq=False)
class _Question:
    embedding: ImageEmbedding
    prompt: Prompt
    multimask: bool | None
    answer: Future[Prediction] = field(default_factory=Future)


class PromptBatcher:
    """Answers as `Predictor.predict` does, for many threads at once.

    Parameters
    ----------
    predictor : Predictor
    seconds : float
        How long the first one waits for others. Those who come while a batch is answered wait for
        its end and are the next batch, so that 0 batches as well whenever there is a queue.

    Notes
    -----
    There is no thread of its own: the first to come answers for all.
    """

    def __init__(self, predictor: Predictor, *, seconds: float = SECONDS) -> None:
        self.predictor = predictor
        self._seconds = seconds
        self._lock = threading.Lock()
        self._deciding = threading.Lock()
        self._waiting: list[_Question] = []

    def predict(
        self, embedding: ImageEmbedding, prompt: Prompt, *, multimask: bool | None = None
    ) -> Prediction:
        """Answer one prompt; see `Predictor.predict`.

        Parameters
        ----------
        embedding : ImageEmbedding
        prompt : Prompt
        multimask : bool, optional

        Returns
        -------
        Prediction

        Raises
        ------
        InvalidPromptError, SamPluginsError
            About the caller's own prompt alone.
        """
        self.predictor.check(embedding, prompt)
        question = _Question(embedding, prompt, multimask)
        with self._lock:
            self._waiting.append(question)
        with self._deciding:
            if not question.answer.done():
                if self._seconds:
                    time.sleep(self._seconds)
                with self._lock:
                    batch, self._waiting = self._waiting, []
                self._answer(batch)
        return question.answer.result()

    def _answer(self, batch: list[_Question]) -> None:
        for multimask in {question.multimask for question in batch}:
            alike = [each for each in batch if each.multimask == multimask]
            try:
                pairs = [(each.embedding, each.prompt) for each in alike]
                answers = self.predictor.predict_many(pairs, multimask=multimask)
            except SamPluginsError:
                # What the check did not see is wrong with one of them: each by itself.
                for each in alike:
                    self._answer_alone(each)
                continue
            except BaseException as error:
                for each in alike:
                    each.answer.set_exception(error)
                continue
            for each, answer in zip(alike, answers, strict=True):
                each.answer.set_result(answer)

    def _answer_alone(self, question: _Question) -> None:
        try:
            answer = self.predictor.predict(
                question.embedding, question.prompt, multimask=question.multimask
            )
        except BaseException as error:
            question.answer.set_exception(error)
        else:
            question.answer.set_result(answer)
