"""What a session is made of: candidate masks, states of a draft, committed objects."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.masks.cropped import CroppedMask
from sam_plugins.session.hints import Hints
from sam_plugins.session.planes import Plane

_serials = count(1)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One mask that may be the object.

    Parameters
    ----------
    mask : CroppedMask
        In pixels of the plane.
    predicted_iou : float
        The model's own estimate of its quality; NaN if no model made it.
    logits : ndarray of shape (h, w), float32, optional
        Low-resolution logits, to be refined by the next hint.
    region : tuple of int, optional
        x0, y0, x1, y1 of the region that the logits cover.
    """

    mask: CroppedMask
    predicted_iou: float = float("nan")
    logits: NDArray[np.float32] | None = None
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class DraftState:
    """An object that is not committed yet, at one moment.

    Parameters
    ----------
    hints : Hints
        What was said so far.
    editing : int, optional
        Identifier of the committed object that was taken up again.
    class_name : str, optional
        That object's class.
    candidates : tuple of Candidate
        The answer; empty while there is none.
    chosen : int
        Which candidate is shown.
    serial : int
        Identity of the state: an answer that comes late finds the state it belongs to.
    """

    hints: Hints = field(default_factory=Hints)
    editing: int | None = None
    class_name: str | None = None
    candidates: tuple[Candidate, ...] = ()
    chosen: int = 0
    serial: int = field(default_factory=lambda: next(_serials))

    @property
    def candidate(self) -> Candidate | None:
        """The candidate that is shown, if there is an answer."""
        return self.candidates[self.chosen] if self.candidates else None

    @property
    def waiting(self) -> bool:
        """Whether a model has to be asked."""
        return not self.hints.empty and not self.candidates

    def next(self, hints: Hints) -> DraftState:
        """The state after more was said.

        Parameters
        ----------
        hints : Hints
            All hints.

        Returns
        -------
        DraftState
            Without candidates, unless the hints are a mask, which is its own candidate.
        """
        candidates: tuple[Candidate, ...] = ()
        if hints.only_mask and hints.mask is not None:
            candidates = (Candidate(hints.mask),)
        return replace(
            self, hints=hints, candidates=candidates, chosen=0, serial=next(_serials)
        )


@dataclass(frozen=True, eq=False)
class CommittedObject:
    """An object of the label image, and how it came about.

    Parameters
    ----------
    id : int
        Its value in the label image.
    plane : tuple of int or None
        Where it lies.
    class_name : str
        May be empty.
    area : int
        In pixels; 0 once others have taken all of them.
    predicted_iou : float
        The model's own estimate when it was committed; NaN if no model made it.
    box : tuple of int
        x0, y0, x1, y1 around it when it was committed, x1 and y1 exclusive.
    hints : Hints
        What was said about it.
    """

    id: int
    plane: Plane
    class_name: str
    area: int
    predicted_iou: float
    box: tuple[int, int, int, int]
    hints: Hints

    def to_json(self) -> dict[str, Any]:
        """A form for JSON; area and plane stand elsewhere in a journal.

        Returns
        -------
        dict
        """
        iou = self.predicted_iou
        return {
            "id": self.id,
            "class": self.class_name,
            "iou": None if np.isnan(iou) else round(iou, 4),
            "hints": self.hints.to_json(),
        }
