"""``Background``: what goes on beside the answers: looking ahead, collecting, training."""

from __future__ import annotations

from typing import Any

from labelstudio_backend.answering import PredictRequest
from labelstudio_backend.learning import Collector, Trainer
from labelstudio_backend.learning.events import on_event
from labelstudio_backend.prefetching import Prefetcher


class Background:
    """Listens to the server.

    Parameters
    ----------
    prefetcher : Prefetcher
    collector : Collector or None
        None if nothing is to be learned.
    trainer : Trainer or None
        Goes with the collector.
    """

    def __init__(
        self, prefetcher: Prefetcher, collector: Collector | None, trainer: Trainer | None
    ) -> None:
        self.prefetcher, self.collector, self.trainer = prefetcher, collector, trainer

    def on_predict(self, request: PredictRequest) -> None:
        """Somebody looks at a task.

        Parameters
        ----------
        request : PredictRequest
        """
        self.prefetcher.on_predict(request)

    def on_event(self, event: dict[str, Any]) -> dict[str, Any]:
        """A webhook came.

        Parameters
        ----------
        event : dict
            Its body.

        Returns
        -------
        dict
            The answer.

        Raises
        ------
        BadRequestError
            If it is malformed.
        """
        if self.collector is None or self.trainer is None:
            return {"status": "nothing is learned here"}
        return on_event(event, self.collector, self.trainer)

    def close(self) -> None:
        """End everything that goes on."""
        self.prefetcher.close()
        for each in (self.collector, self.trainer):
            if each is not None:
                each.close()
