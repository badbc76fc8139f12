"""Committed objects."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from sam_plugins.session.cutouts import Box
from sam_plugins.session.prompts import PromptState

Source = Literal["prompt", "proposal"]


@dataclass(frozen=True)
class ObjectRecord:
    """One committed object.

    Parameters
    ----------
    id : int
        Its label.
    class_id : int
        Its class.
    area : int
        In pixels, as far as this session has written them.
    predicted_iou : float or None
        The model's own estimate of the mask's quality; None if no model was asked.
    box : tuple of int
        x0, y0, x1, y1 of what was committed; the last row and column are not in it.
    prompts : PromptState
        What it was made from.
    source : str
        ``"prompt"`` or ``"proposal"``.
    """

    id: int
    class_id: int
    area: int
    predicted_iou: float | None
    box: Box
    prompts: PromptState
    source: Source = "prompt"

    def as_json(self) -> dict[str, Any]:
        """Write it as JSON values."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**content, "prompts": self.prompts.as_json()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> ObjectRecord:
        """Read what `as_json` wrote.

        Parameters
        ----------
        content : dict

        Returns
        -------
        ObjectRecord
        """
        prompts = PromptState.from_json(content["prompts"])
        return cls(**{**content, "box": tuple(content["box"]), "prompts": prompts})
