"""``Session``: one image, or one slice of one, under annotation."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_plugins.errors import SamPluginsError
from sam_plugins.prediction import Prediction
from sam_plugins.prompts import Prompt
from sam_plugins.session.actions import Action, Change, Drop, Say, action_from_json
from sam_plugins.session.answers import Answer
from sam_plugins.session.changes import class_change, commit_change, delete_change
from sam_plugins.session.cutouts import Cutout
from sam_plugins.session.journal import VERSION, Journal, JournalError, read_journal
from sam_plugins.session.objects import ObjectRecord, Source
from sam_plugins.session.patches import Overlap
from sam_plugins.session.prompts import PromptState
from sam_plugins.session.regions import Region
from sam_plugins.session.state import State, Step
from sam_plugins.session.targets import Target


class Session:
    """Prompts, candidates, committed objects, and the way back through all of them.

    Parameters
    ----------
    target : Target
        The label image, owned by the host.
    journal : Journal, optional
        Where each action is written. It must be new: see `Session.restore` for one that is not.
    overlap : Overlap
        What happens where a new object lies on others; may be set at any time.
    class_id : int
        Of new objects; may be set at any time.
    key : str
        Tells the image, and a stack's slice, in the journal.

    Attributes
    ----------
    version : int
        Another one after each change of the prompts: answers to earlier ones are refused.

    Examples
    --------
    >>> from sam_plugins.session import ArrayTarget
    >>> labels = np.zeros((40, 50), dtype=np.uint16)
    >>> session = Session(ArrayTarget(labels))
    >>> session.propose_mask(Cutout(np.ones((4, 5), dtype=bool), (10, 20)), score=0.9)
    >>> session.commit().area, int(labels.sum())
    (20, 20)
    >>> session.undo(), int(labels.sum())
    ('object 1', 0)
    """

    def __init__(
        self,
        target: Target,
        *,
        journal: Journal | None = None,
        overlap: Overlap = Overlap.KEEP,
        class_id: int = 1,
        key: str = "",
    ) -> None:
        self.overlap = overlap
        self.class_id = class_id
        self.key = key
        self.version = 0
        self._state = State(target)
        self._done: list[Action] = []
        self._undone: list[Action] = []
        self._journal = journal
        if journal is not None:
            journal.write({"journal": VERSION, "key": key, "size": list(target.shape)})

    @classmethod
    def restore(
        cls, target: Target, path: str | os.PathLike[str], *, overlap: Overlap = Overlap.KEEP
    ) -> Session:
        """Bring a session back from its journal, and go on with it.

        Parameters
        ----------
        target : Target
            The label image. What it has of the objects already stays; what it lacks is written.
        path : path-like
            The journal.
        overlap : Overlap
            See `Session`.

        Returns
        -------
        Session
            In the same state, but for the model's answer to the last prompts.

        Raises
        ------
        JournalError
            If the file is no journal, or one of an image of another size.
        """
        entries = read_journal(path)
        head = next(entries, None)
        if head is None:
            raise JournalError(f"{path} is empty")
        if tuple(head["size"]) != tuple(target.shape):
            raise JournalError(
                f"{path} is of an image of {tuple(head['size'])}, not of {tuple(target.shape)}"
            )
        session = cls(target, overlap=overlap, key=head["key"])
        for entry in entries:
            if entry.get("undo"):
                session.undo()
            elif entry.get("redo"):
                session.redo()
            else:
                session._do(action_from_json(entry["do"]))
        session._journal = Journal(path)
        return session

    def close(self) -> None:
        """Close the journal; the session goes on without one."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # ---- the current object ----------------------------------------------------------------

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the label image."""
        return self._state.target.shape

    @property
    def prompts(self) -> PromptState:
        """All that was said about the current object."""
        return self._state.steps[-1].prompts if self._state.steps else PromptState()

    @property
    def editing(self) -> int | None:
        """The object that was taken up again, if one was."""
        return self._state.editing

    def add_point(self, x: float, y: float, *, foreground: bool = True) -> None:
        """Click.

        Parameters
        ----------
        x, y : float
            In pixels of the image.
        foreground : bool
            In the object, or beside it.
        """
        self._say("point", self.prompts.with_point(x, y, foreground=foreground))

    def add_box(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a box.

        Parameters
        ----------
        x0, y0, x1, y1 : float
            Two opposite corners, in pixels of the image.
        """
        self._say("box", self.prompts.with_box((x0, y0, x1, y1)))

    def add_scribble(self, path: ArrayLike, *, foreground: bool = True) -> None:
        """Scribble, see `PromptState.with_scribble`.

        Parameters
        ----------
        path : array-like of shape (N, 2)
            x, y in pixels of the image.
        foreground : bool
            In the object, or beside it.
        """
        said = self.prompts.with_scribble(path, self.image_size, foreground=foreground)
        self._say("scribble", said)

    def propose_mask(self, cutout: Cutout, *, score: float | None = None) -> None:
        """Make a mask the current object: it can be committed as it is, or corrected by clicks.

        Parameters
        ----------
        cutout : Cutout
            The mask.
        score : float, optional
            Its predicted IoU.
        """
        self.clear()
        self._do(Say("proposal", PromptState(mask=cutout), score=score))

    def take_up(self, x: float, y: float) -> ObjectRecord | None:
        """Take up the object under a pixel again: its mask is the mask prompt, its id stays.

        Parameters
        ----------
        x, y : float
            In pixels of the image.

        Returns
        -------
        ObjectRecord or None
            None if there is no object.
        """
        height, width = self.image_size
        column, row = round(x), round(y)
        if not (0 <= column < width and 0 <= row < height):
            return None
        target = self._state.target
        label = int(target.read((column, row, column + 1, row + 1))[0, 0])
        if not label:
            return None
        known = self.objects.get(label)
        box = (0, 0, width, height) if known is None else known.box
        cutout = Cutout(target.read(box) == label, box[:2]).tight()
        if known is None:
            known = ObjectRecord(label, self.class_id, cutout.area, None, cutout.box, PromptState())
        self.clear()
        said = PromptState(mask=cutout)
        self._do(Say(f"object {label}", said, editing=label, score=known.predicted_iou))
        return known

    def clear(self) -> None:
        """Forget the current object's prompts."""
        if self._state.steps:
            self._do(Drop())

    def prompt(self, region: Region | None = None) -> Prompt | None:
        """Say what there is to ask a model.

        Parameters
        ----------
        region : Region, optional
            What is embedded; the whole image if omitted.

        Returns
        -------
        Prompt or None
            In pixels of the region. It carries the logits of the last answer about this object, if
            that was about the same region. None if there is nothing to ask, because nothing was
            said or the mask is there already.
        """
        steps = self._state.steps
        if not steps or steps[-1].cutout is not None:
            return None
        region = region or Region.whole(self.image_size)
        before = steps[-2].answer if len(steps) > 1 else None
        logits = None
        if before is not None and before.region == region:
            logits = before.logits(steps[-2].candidate)
        return self.prompts.prompt(region, logits)

    def answer(
        self, prediction: Prediction | Answer, version: int, *, region: Region | None = None
    ) -> bool:
        """Take a model's answer.

        Parameters
        ----------
        prediction : Prediction or Answer
            To `prompt`. An answer knows its region, and may have made its masks elsewhere.
        version : int
            The session's when it was asked.
        region : Region, optional
            What was embedded; the whole image if omitted.

        Returns
        -------
        bool
            False if the prompts have changed since: the answer is not taken.
        """
        if version != self.version or not self._state.steps:
            return False
        step = self._state.steps[-1]
        if not isinstance(prediction, Answer):
            prediction = Answer(prediction, region or Region.whole(self.image_size))
        step.answer = prediction
        step.candidate = step.answer.best
        return True

    @property
    def waiting(self) -> bool:
        """Whether something was said that no model has answered yet."""
        return bool(self._state.steps) and self._state.steps[-1].cutout is None

    def forget_answers(self) -> None:
        """Drop the model's answers about the current object: another model is to be asked."""
        for step in self._state.steps:
            step.answer, step.candidate = None, 0
        self.version += 1

    @property
    def candidates(self) -> int:
        """How many masks there are to choose from."""
        step = self._step
        if step is None:
            return 0
        return len(step.answer) if step.answer is not None else int(step.cutout is not None)

    @property
    def candidate(self) -> int:
        """Which of them is chosen."""
        return 0 if self._step is None else self._step.candidate

    def cycle(self) -> int:
        """Choose the next candidate.

        Returns
        -------
        int
            Which.
        """
        step = self._step
        if step is not None and step.answer is not None:
            step.candidate = (step.candidate + 1) % len(step.answer)
        return self.candidate

    @property
    def cutout(self) -> Cutout | None:
        """The chosen mask; None if there is none, or none yet."""
        return None if self._step is None else self._step.cutout

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """The chosen mask at the image's size, (H, W)."""
        cutout = self.cutout
        return None if cutout is None else cutout.whole(self.image_size)

    @property
    def predicted_iou(self) -> float | None:
        """The chosen mask's."""
        return None if self._step is None else self._step.predicted_iou

    @property
    def _step(self) -> Step | None:
        return self._state.steps[-1] if self._state.steps else None

    # ---- committed objects -----------------------------------------------------------------

    @property
    def objects(self) -> dict[int, ObjectRecord]:
        """Committed objects by id, in the order of their commits; a copy."""
        return dict(self._state.objects)

    def commit(
        self, *, class_id: int | None = None, with_prompts: bool = False
    ) -> ObjectRecord | None:
        """Write the chosen mask to the label image.

        Parameters
        ----------
        class_id : int, optional
            The object's class; the session's if omitted.
        with_prompts : bool
            One undo takes back the object and its prompts together.

        Returns
        -------
        ObjectRecord or None
            None if there is no mask.

        Raises
        ------
        OverlapError
            If the overlap policy leaves nothing of it.
        SamPluginsError
            If the label image's type has no number left.
        """
        step = self._step
        cutout = None if step is None else step.cutout
        if step is None or cutout is None:
            return None
        cutout = cutout.tight()
        if not cutout.area:
            return None
        object_id = self._new_id() if self.editing is None else self.editing
        known = self._state.objects.get(object_id)
        chosen = class_id or (self.class_id if known is None else known.class_id)
        prompts = step.prompts
        source: Source = "prompt" if prompts.points or prompts.boxes or known else "proposal"
        record = ObjectRecord(object_id, chosen, 0, step.predicted_iou, cutout.box, prompts, source)
        change = commit_change(
            self._state, record, cutout, overlap=self.overlap, with_prompts=with_prompts
        )
        self._do(change)
        return self._state.objects[object_id]

    def commit_all(self, masks: Iterable[tuple[Cutout, float | None]]) -> list[ObjectRecord]:
        """Write several masks as objects, with one undo step for all.

        Parameters
        ----------
        masks : iterable of (Cutout, float or None)
            Masks with their predicted IoU, the most important first: later ones get what is free.

        Returns
        -------
        list of ObjectRecord
            Those of which anything could be taken.
        """
        whole = Change("proposals", [], [])
        for cutout, score in masks:
            record = ObjectRecord(
                self._new_id(), self.class_id, 0, score, cutout.box, PromptState(), "proposal"
            )
            try:
                change = commit_change(self._state, record, cutout.tight(), overlap=Overlap.KEEP)
            except SamPluginsError:
                continue  # others cover all of it
            change.finishes = False
            change.apply(self._state)
            whole.patches += change.patches
            whole.records += change.records
        if whole.records:
            whole.name = f"{len(whole.records)} objects"
            self._log(whole)
        return [after for _, _, after in whole.records if after is not None]

    def delete(self, object_id: int) -> None:
        """Take an object out of the label image.

        Parameters
        ----------
        object_id : int

        Raises
        ------
        KeyError
            If the session has no such object.
        """
        self._do(delete_change(self._state, self._state.objects[object_id]))

    def set_class(self, object_id: int, class_id: int) -> None:
        """Change an object's class.

        Parameters
        ----------
        object_id, class_id : int

        Raises
        ------
        KeyError
            If the session has no such object.
        """
        self._do(class_change(self._state.objects[object_id], class_id))

    def _new_id(self) -> int:
        target = self._state.target
        new = max(target.highest(), max(self._state.objects, default=0)) + 1
        if new > np.iinfo(target.dtype).max:
            raise SamPluginsError(
                f"labels of type {target.dtype} end at {new - 1}: choose a label image with more"
            )
        return new

    # ---- history ---------------------------------------------------------------------------

    def undo(self) -> str | None:
        """Take back the last prompt, commit, deletion or change of class.

        Returns
        -------
        str or None
            What it was; None if there was nothing left.
        """
        if not self._done:
            return None
        action = self._done.pop()
        action.revert(self._state)
        self._undone.append(action)
        self._changed({"undo": True})
        return action.name

    def redo(self) -> str | None:
        """Do again what was taken back.

        Returns
        -------
        str or None
            What it was; None if there was nothing.
        """
        if not self._undone:
            return None
        action = self._undone.pop()
        action.apply(self._state)
        self._done.append(action)
        self._changed({"redo": True})
        return action.name

    def _say(self, name: str, prompts: PromptState) -> None:
        self._do(Say(name, prompts, editing=self.editing))

    def _do(self, action: Action) -> None:
        action.apply(self._state)
        self._log(action)

    def _log(self, action: Action) -> None:
        if isinstance(action, Change) and action.with_prompts:
            self._forget_prompts()
        self._done.append(action)
        self._undone.clear()
        self._changed({"do": action.as_json()} if self._journal is not None else {})

    def _forget_prompts(self) -> None:
        """Take the prompts since the last object out of the history, and nothing else."""
        finished = [i for i, a in enumerate(self._done) if isinstance(a, Change) and a.finishes]
        first = finished[-1] + 1 if finished else 0
        since = [action for action in self._done[first:] if isinstance(action, Change)]
        self._done[first:] = since

    def _changed(self, entry: dict[str, object]) -> None:
        self.version += 1
        if self._journal is not None:
            # The time tells how long an object took.
            self._journal.write({**entry, "at": round(time.time(), 1)})
