"""``Session``: one image, or one slice of one, under annotation."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_plugins.prediction import Prediction
from sam_plugins.prompts import Prompt
from sam_plugins.session.actions import Drop, Say
from sam_plugins.session.answers import Answer
from sam_plugins.session.changes import class_change, delete_change
from sam_plugins.session.commits import chosen_object, write_objects
from sam_plugins.session.cutouts import Cutout
from sam_plugins.session.history import History
from sam_plugins.session.journal import VERSION, Journal, JournalError, read_journal
from sam_plugins.session.objects import ObjectRecord
from sam_plugins.session.patches import Overlap
from sam_plugins.session.prompts import PromptState
from sam_plugins.session.regions import Region
from sam_plugins.session.state import State
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
        self._state = State(target)
        self._history = History(self._state)
        if journal is not None:
            journal.write({"journal": VERSION, "key": key, "size": list(target.shape)})
            self._history.journal = journal

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
        session._history.replay(entries)
        session._history.journal = Journal(path)
        return session

    def close(self) -> None:
        """Close the journal; the session goes on without one."""
        self._history.close()

    # ---- the current object ----------------------------------------------------------------

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the label image."""
        return self._state.target.shape

    @property
    def version(self) -> int:
        """Another one after each change of the prompts: answers to earlier ones are refused."""
        return self._state.version

    @property
    def prompts(self) -> PromptState:
        """All that was said about the current object."""
        step = self._state.step
        return PromptState() if step is None else step.prompts

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
        self._history.do(Say("proposal", PromptState(mask=cutout), score=score))

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
        label = self._state.label_at(round(x), round(y))
        if not label:
            return None
        cutout = self._state.cutout_of(label)
        known = self._state.objects.get(label)
        if known is None:
            known = ObjectRecord(label, self.class_id, cutout.area, None, cutout.box, PromptState())
        self.clear()
        said = PromptState(mask=cutout)
        self._history.do(Say(f"object {label}", said, editing=label, score=known.predicted_iou))
        return known

    def clear(self) -> None:
        """Forget the current object's prompts."""
        if self._state.steps:
            self._history.do(Drop())

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
        if not self.waiting:
            return None
        region = region or Region.whole(self.image_size)
        return self.prompts.prompt(region, self._state.logits(region))

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
        step = self._state.step
        if version != self.version or step is None:
            return False
        if not isinstance(prediction, Answer):
            prediction = Answer(prediction, region or Region.whole(self.image_size))
        step.answer = prediction
        step.candidate = step.answer.best
        return True

    @property
    def waiting(self) -> bool:
        """Whether something was said that no model has answered yet."""
        step = self._state.step
        return step is not None and step.cutout is None

    def forget_answers(self) -> None:
        """Drop the model's answers about the current object: another model is to be asked."""
        for step in self._state.steps:
            step.answer, step.candidate = None, 0
        self._state.version += 1

    @property
    def candidates(self) -> int:
        """How many masks there are to choose from."""
        step = self._state.step
        if step is None:
            return 0
        return len(step.answer) if step.answer is not None else int(step.cutout is not None)

    @property
    def candidate(self) -> int:
        """Which of them is chosen."""
        step = self._state.step
        return 0 if step is None else step.candidate

    def cycle(self) -> int:
        """Choose the next candidate.

        Returns
        -------
        int
            Which.
        """
        step = self._state.step
        if step is not None and step.answer is not None:
            step.candidate = (step.candidate + 1) % len(step.answer)
        return self.candidate

    @property
    def cutout(self) -> Cutout | None:
        """The chosen mask; None if there is none, or none yet."""
        step = self._state.step
        return None if step is None else step.cutout

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """The chosen mask at the image's size, (H, W)."""
        cutout = self.cutout
        return None if cutout is None else cutout.whole(self.image_size)

    @property
    def predicted_iou(self) -> float | None:
        """The chosen mask's."""
        step = self._state.step
        return None if step is None else step.predicted_iou

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
        change = chosen_object(
            self._state,
            class_id=class_id,
            default_class=self.class_id,
            overlap=self.overlap,
            with_prompts=with_prompts,
        )
        if change is None:
            return None
        self._history.do(change)
        return self._state.objects[change.records[0][0]]

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
        change = write_objects(self._state, masks, self.class_id)
        if change.records:
            self._history.add(change)
        return [after for _, _, after in change.records if after is not None]

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
        self._history.do(delete_change(self._state, self._state.objects[object_id]))

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
        self._history.do(class_change(self._state.objects[object_id], class_id))

    # ---- history ---------------------------------------------------------------------------

    def undo(self) -> str | None:
        """Take back the last prompt, commit, deletion or change of class.

        Returns
        -------
        str or None
            What it was; None if there was nothing left.
        """
        return self._history.undo()

    def redo(self) -> str | None:
        """Do again what was taken back.

        Returns
        -------
        str or None
            What it was; None if there was nothing.
        """
        return self._history.redo()

    def _say(self, name: str, prompts: PromptState) -> None:
        self._history.do(Say(name, prompts, editing=self.editing))
