"""``TextAnswer``: the masks that a phrase means, and how they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from sam_plugins.masks.records import MaskRecord

# Two masks are one object if so much of the smaller one lies in the larger one.
MOST_INSIDE = 0.7


@dataclass(frozen=True, eq=False)
class TextAnswer:
    """What a text prompt found.

    Parameters
    ----------
    records : tuple of MaskRecord
        All matching objects, the best first; none if there is no such object.
    scores : tuple of float
        How well each matches, 0 to 1.
    way : str
        ``"tower"`` (the text tower that ships), ``"similarity"`` (crops of automatic masks ranked
        by CLIP), ``"model"`` (text tokens of a text-trained checkpoint) or ``"detector"``.
    candidates : int
        Among how many masks they were chosen.
    """

    records: tuple[MaskRecord, ...]
    scores: tuple[float, ...]
    way: str
    candidates: int

    def __len__(self) -> int:
        return len(self.records)

    @property
    def told(self) -> str:
        """One line: how many objects were found, among what, by which way."""
        ways = {
            "tower": "by the built-in text tower",
            "similarity": "by image-text similarity of automatic masks",
            "model": "by the text-trained model",
            "detector": "by the detector",
        }
        count = f"{len(self)} object{'' if len(self) == 1 else 's'}"
        return f"{count} of {self.candidates} candidates, {ways[self.way]}"


def best_answer(
    records: Sequence[MaskRecord], scores: NDArray[np.floating], *, threshold: float, way: str
) -> TextAnswer:
    """Keep the records that score above a threshold, one an object.

    Parameters
    ----------
    records : sequence of MaskRecord
        N candidates.
    scores : ndarray of shape (N,), float
        Of each.
    threshold : float
        Lower scores are no matches.
    way : str
        See `TextAnswer`.

    Returns
    -------
    TextAnswer
        The best first; of two masks of which one lies in the other, the better one.
    """
    order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
    kept: list[int] = []
    for index in order:
        if not any(_inside(records[index], records[other]) > MOST_INSIDE for other in kept):
            kept.append(index)
    return TextAnswer(
        tuple(records[index] for index in kept),
        tuple(float(scores[index]) for index in kept),
        way,
        len(records),
    )


def _inside(first: MaskRecord, second: MaskRecord) -> float:
    """Share of the smaller mask that lies in the larger one."""
    both = coco.area(coco.merge([first.segmentation, second.segmentation], intersect=True))
    return float(both) / max(1, min(first.area, second.area))
