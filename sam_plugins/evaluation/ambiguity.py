"""Ambiguity (paper, §3): is one of the three masks of a click the whole, and one the part?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam_plugins.evaluation.clicks import centre_of, iou
from sam_plugins.evaluation.rendering import Table
from sam_plugins.evaluation.sets import WHOLE_AND_PART, read_set
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from pathlib import Path

    from sam_plugins.predictor import Predictor

# Masks of this IoU are taken for the object.
FOUND = 0.75
# Sets whose objects are parts of one thing, which is all of them together.
PARTS_OF_ONE = ("carparts",)


@dataclass(frozen=True, eq=False)
class Nested:
    """A part and the whole that it lies in.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    whole, part : ndarray of shape (H, W), bool
        The part lies in the whole and is not all of it.
    """

    image: NDArray[np.uint8]
    whole: NDArray[np.bool_]
    part: NDArray[np.bool_]


@dataclass(frozen=True)
class Answer:
    """What three masks of one click are.

    Parameters
    ----------
    whole, part : tuple of float
        IoU of each mask with the whole and with the part.
    ranked : int
        The mask with the highest predicted IoU.
    """

    whole: tuple[float, ...]
    part: tuple[float, ...]
    ranked: int

    def has(self, name: str, *, least: float = FOUND) -> bool:
        """Tell whether some mask is the whole or the part.

        Parameters
        ----------
        name : str
            ``"whole"`` or ``"part"``.
        least : float
            IoU from which it counts.

        Returns
        -------
        bool
        """
        return max(getattr(self, name)) >= least

    @property
    def first(self) -> float:
        """IoU of the first-ranked mask with whichever of the two it is nearer to."""
        return max(self.whole[self.ranked], self.part[self.ranked])

    @property
    def best(self) -> float:
        """The same of the best of the three masks."""
        return max(*self.whole, *self.part)


def is_nested(folder: Path) -> bool:
    """Whether a set is known to hold wholes and parts.

    Parameters
    ----------
    folder : Path
        The set; its name tells.

    Returns
    -------
    bool
    """
    return folder.resolve().name in (*WHOLE_AND_PART, *PARTS_OF_ONE)


def read_nested(
    folder: str | os.PathLike[str], *, limit: int = 60, seed: int = 0
) -> Iterator[Nested]:
    """Read parts with their wholes.

    Parameters
    ----------
    folder : path-like
        A set. Where an image has an object inside another one, these are the pair; elsewhere each
        object is a part of all of them together.
    limit : int
        Parts, at most; at most two an image.
    seed : int
        Of the choice.

    Yields
    ------
    Nested
    """
    left = limit
    for sample in read_set(folder, limit=10**9, seed=seed):
        everything = np.any(sample.masks, axis=0)
        pairs = [
            (whole, part)
            for part in sample.masks
            for whole in sample.masks
            if (whole & part).sum() == part.sum() < whole.sum()
        ]
        pairs = pairs or [(everything, x) for x in sample.masks if x.sum() < everything.sum()]
        for whole, part in pairs[: min(2, left)]:
            yield Nested(sample.image, whole, part)
            left -= 1
        if left <= 0:
            return


def answer_of(predictor: Predictor, nested: Nested) -> Answer:
    """Click in the middle of the part, and look at the three masks.

    Parameters
    ----------
    predictor : Predictor
        The model.
    nested : Nested
        The part and its whole.

    Returns
    -------
    Answer
    """
    embedding = predictor.embed(nested.image)
    click = Prompt(points=np.array([centre_of(nested.part)[0]]))
    found = predictor.predict(embedding, click, multimask=True)
    return Answer(
        tuple(iou(mask, nested.whole) for mask in found.masks),
        tuple(iou(mask, nested.part) for mask in found.masks),
        found.best,
    )


def ambiguity_table(answers: Mapping[str, Sequence[Answer]], *, least: float = FOUND) -> Table:
    """Count wholes and parts.

    Parameters
    ----------
    answers : mapping of str to sequence of Answer
        By set.
    least : float
        The IoU from which on a mask is taken for the object.

    Returns
    -------
    Table
        Sets without an answer are left out.
    """
    rows = []
    for name, found in answers.items():
        if not found:
            continue
        known = [each for each in found if each.best >= least]
        right = float(np.mean([each.first >= least for each in known])) if known else None
        whole, part = (
            np.array([each.has(kind, least=least) for each in found]) for kind in ("whole", "part")
        )
        shares = [float(np.mean(each)) for each in (whole, part, whole & part)]
        means = [float(np.mean([getattr(x, kind) for x in found])) for kind in ("first", "best")]
        rows.append((name, len(found), *shares, right, *means))
    columns = ("set", "clicks", "whole", "part", "both", "ranked right", "first IoU", "best IoU")
    note = (
        f"One click in the middle of the part. Whole, part, both: how often they are among the "
        f"three masks (IoU of {least:g}). Ranked right: of the clicks where either is, how often "
        "the mask with the highest predicted IoU is one of them."
    )
    return Table("Wholes and parts", columns, tuple(rows), note)
