"""What a session knows at one moment, apart from its history."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sam_plugins.session.answers import Answer
from sam_plugins.session.cutouts import Cutout
from sam_plugins.session.objects import ObjectRecord
from sam_plugins.session.patches import Patch
from sam_plugins.session.prompts import PromptState
from sam_plugins.session.regions import Region
from sam_plugins.session.targets import Target


@dataclass(eq=False)
class Step:
    """The current object after one more prompt.

    Parameters
    ----------
    prompts : PromptState
        All that was said so far.
    answer : Answer, optional
        The model's, once it is there.
    candidate : int
        Which of its masks is shown.
    score : float, optional
        The predicted IoU of a proposal or of an object that was taken up.
    """

    prompts: PromptState
    answer: Answer | None = None
    candidate: int = 0
    score: float | None = None

    @property
    def cutout(self) -> Cutout | None:
        """The mask that is shown; None while the model has not answered."""
        if self.answer is not None:
            return self.answer.cutout(self.candidate)
        said = self.prompts
        # A mask alone (a proposal, an object taken up) needs no model.
        return None if said.points or said.boxes else said.mask

    @property
    def predicted_iou(self) -> float | None:
        """The shown mask's; None if no model was asked."""
        return self.score if self.answer is None else self.answer.predicted_iou(self.candidate)


@dataclass(eq=False)
class State:
    """The current object, the committed ones, and the label image.

    Parameters
    ----------
    target : Target
        The label image.
    objects : dict of int to ObjectRecord
        Committed objects by id, in the order of their commits.
    steps : list of Step
        One a prompt about the current object.
    editing : int, optional
        The object that was taken up again.
    version : int
        Another one after each change of the prompts.
    """

    target: Target
    objects: dict[int, ObjectRecord] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    editing: int | None = None
    version: int = 0

    @property
    def step(self) -> Step | None:
        """The current object as it is now; None if nothing was said about one."""
        return self.steps[-1] if self.steps else None

    def logits(self, region: Region) -> NDArray[np.float32] | None:
        """The logits of the answer before the last prompt, if it was about the same region.

        Parameters
        ----------
        region : Region
            What is asked about now.

        Returns
        -------
        ndarray of shape (h, w), float32, or None
            The chosen candidate's.
        """
        before = self.steps[-2] if len(self.steps) > 1 else None
        if before is None or before.answer is None or before.answer.region != region:
            return None
        return before.answer.logits(before.candidate)

    def label_at(self, column: int, row: int) -> int:
        """The label of a pixel.

        Parameters
        ----------
        column, row : int

        Returns
        -------
        int
            0 outside of the image, too.
        """
        height, width = self.target.shape
        if not (0 <= column < width and 0 <= row < height):
            return 0
        return int(self.target.read((column, row, column + 1, row + 1))[0, 0])

    def cutout_of(self, label: int) -> Cutout:
        """Where a label is in the label image.

        Parameters
        ----------
        label : int

        Returns
        -------
        Cutout
        """
        height, width = self.target.shape
        known = self.objects.get(label)
        box = (0, 0, width, height) if known is None else known.box
        return Cutout(self.target.read(box) == label, box[:2]).tight()

    def write(self, patch: Patch) -> None:
        """Write a patch, but for pixels that somebody else has changed in the meantime.

        Parameters
        ----------
        patch : Patch
        """
        if patch.empty:
            return
        untouched = (self.target.read(patch.box) == patch.before) | ~patch.where.mask
        patch = patch if untouched.all() else patch.only(untouched)
        if not patch.empty:
            self.target.write(patch)

    def put(self, object_id: int, record: ObjectRecord | None) -> None:
        """Set or remove a record.

        Parameters
        ----------
        object_id : int
        record : ObjectRecord or None
        """
        if record is None:
            self.objects.pop(object_id, None)
        else:
            self.objects[object_id] = record
