"""Asking a model about a draft: hints in, candidate masks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sam_plugins.masks.cropped import CroppedMask
from sam_plugins.session.hints import Hints
from sam_plugins.session.states import Candidate

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding
    from sam_plugins.predictor import Predictor


def answer_hints(
    predictor: Predictor,
    embedding: ImageEmbedding,
    hints: Hints,
    region: tuple[int, int, int, int],
    *,
    previous: Candidate | None = None,
) -> tuple[list[Candidate], int]:
    """Predict candidate masks from hints.

    Parameters
    ----------
    predictor : Predictor
        The model.
    embedding : ImageEmbedding
        Of the region.
    hints : Hints
        What was said, in pixels of the plane.
    region : tuple of int
        x0, y0, x1, y1 of what was embedded, in pixels of the plane.
    previous : Candidate, optional
        The answer to the hints before, which is refined if it is about the same region.

    Returns
    -------
    candidates : list of Candidate
        Three for a single hint, which may be ambiguous, else one.
    best : int
        The one with the highest predicted IoU.
    """
    logits = previous.logits if previous is not None and previous.region == region else None
    prediction = predictor.predict(embedding, hints.to_prompt(region, logits=logits))
    candidates = [
        Candidate(
            mask=CroppedMask.from_logits(
                each,
                prediction.frame,
                threshold=prediction.threshold,
                origin=(region[0], region[1]),
            ),
            predicted_iou=float(iou),
            logits=each,
            region=region,
        )
        for each, iou in zip(
            prediction.low_resolution_logits, prediction.predicted_iou, strict=True
        )
    ]
    return candidates, prediction.best
