"""``Session``: one image under annotation. Prompts and commits are undone alike, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sam_plugins.masks.cropped import CroppedMask
from sam_plugins.prompts import FOREGROUND
from sam_plugins.session.edits import LabelEdit, Overlap, compose_edit, take_pixels
from sam_plugins.session.hints import Box, Hints, Point
from sam_plugins.session.planes import Plane
from sam_plugins.session.states import Candidate, CommittedObject, DraftState

Record = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, eq=False)
class Undone:
    """What an undo took back.

    Parameters
    ----------
    plane : tuple of int or None
        Where.
    edit : LabelEdit, optional
        The pixels to change back, if it was a commit.
    """

    plane: Plane
    edit: LabelEdit | None = None


@dataclass(frozen=True, eq=False)
class _Commit:
    """A commit that can be taken back."""

    edit: LabelEdit
    objects_before: dict[int, CommittedObject | None]
    draft: tuple[DraftState, ...]


class Session:
    """One image under annotation.

    Parameters
    ----------
    record : callable, optional
        Called with each action as a dict for JSON, mostly `Journal.append`. What it raises goes to
        whoever acted, after the action was done.

    Notes
    -----
    A session keeps no label image. Methods that need one take it as ``labels``, read only the
    pixels around the object, and give back a `LabelEdit` for its owner to apply. Each plane has a
    draft of its own; commits of all planes are one history.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.zeros((8, 8), dtype=np.uint16)
    >>> session, plane = Session(), (None, None)
    >>> state = session.add_point(plane, 3, 3)
    >>> mask = CroppedMask((2, 2), np.ones((3, 3), dtype=bool))
    >>> session.answer(state.serial, [Candidate(mask, 0.9)])
    True
    >>> session.commit(plane, labels).apply(labels)
    >>> int(labels.sum()), session.objects[1].area
    (9, 9)
    >>> session.undo(plane, labels).edit.apply(labels)
    >>> int(labels.sum()), len(session.draft(plane).hints.points)
    (0, 1)
    """

    def __init__(self, *, record: Record | None = None) -> None:
        self.record = record
        self.objects: dict[int, CommittedObject] = {}
        self.class_name = ""
        self._highest = 0
        self._drafts: dict[Plane, list[DraftState]] = {}
        self._commits: list[_Commit] = []

    # ---- the draft -------------------------------------------------------------------------

    def draft(self, plane: Plane) -> DraftState:
        """The object that is under way on a plane.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.

        Returns
        -------
        DraftState
            With empty hints if there is none.
        """
        return self._history(plane)[-1]

    def _history(self, plane: Plane) -> list[DraftState]:
        return self._drafts.setdefault(plane, [DraftState()])

    def add_point(self, plane: Plane, x: float, y: float, *, label: int = FOREGROUND) -> DraftState:
        """Add a click.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        x, y : float
            In pixels of the plane.
        label : int
            1 for foreground, 0 for background.

        Returns
        -------
        DraftState
            The new state, which waits for an answer.
        """
        return self._say(plane, self.draft(plane).hints.with_point(x, y, label=label))

    def add_box(self, plane: Plane, box: Box) -> DraftState:
        """Draw a box, in place of an earlier one.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        box : tuple of float
            Two opposite corners: x0, y0, x1, y1 in any order, in pixels of the plane.

        Returns
        -------
        DraftState
        """
        return self._say(plane, self.draft(plane).hints.with_box(box))

    def add_scribble(
        self, plane: Plane, stroke: Sequence[Point], *, label: int = FOREGROUND, width: float = 3.0
    ) -> DraftState:
        """Draw a stroke.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        stroke : sequence of (float, float)
            x, y of the points that the pointer went through, in pixels of the plane.
        label : int
            1 if it lies on the object, 0 if on the background.
        width : float
            Of the stroke, in pixels.

        Returns
        -------
        DraftState
        """
        hints = self.draft(plane).hints.with_scribble(stroke, label=label, width=width)
        return self._say(plane, hints)

    def take_up(self, plane: Plane, identifier: int, mask: CroppedMask) -> DraftState:
        """Take a committed object up again: its mask becomes the prompt, its identifier stays.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        identifier : int
            Its value in the label image.
        mask : CroppedMask
            Its pixels.

        Returns
        -------
        DraftState
        """
        return self._say(plane, Hints(mask=mask), editing=identifier)

    def prefill(self, plane: Plane, mask: CroppedMask, *, predicted_iou: float) -> DraftState:
        """Begin an object with a proposal, to be committed or corrected.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        mask : CroppedMask
            The proposal.
        predicted_iou : float
            The model's own estimate of its quality.

        Returns
        -------
        DraftState
        """
        state = self._say(plane, Hints(mask=mask))
        self.answer(state.serial, [Candidate(mask, predicted_iou)])
        return self.draft(plane)

    def clear(self, plane: Plane) -> DraftState:
        """Drop the draft; an undo brings it back.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.

        Returns
        -------
        DraftState
        """
        if self.draft(plane).hints.empty:
            return self.draft(plane)
        return self._say(plane, Hints(), editing=None)

    def _say(self, plane: Plane, hints: Hints, editing: int | None | str = "same") -> DraftState:
        last = self.draft(plane)
        kept = last.editing if isinstance(editing, str) else editing
        known = self.objects.get(kept) if kept is not None else None
        state = replace(
            last.next(hints), editing=kept, class_name=known.class_name if known else None
        )
        self._history(plane).append(state)
        self._tell("hints", plane=plane, hints=hints.to_json(), editing=kept)
        return state

    # ---- answers ---------------------------------------------------------------------------

    def previous_answer(self, plane: Plane) -> Candidate | None:
        """The mask that was shown before the last hint, which a model may refine.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.

        Returns
        -------
        Candidate or None
            None if it was no model's answer, or a mask was drawn since.
        """
        history = self._history(plane)
        if len(history) < 2 or history[-2].hints.mask is not history[-1].hints.mask:
            return None
        candidate = history[-2].candidate
        return candidate if candidate is not None and candidate.logits is not None else None

    def answer(self, serial: int, candidates: Sequence[Candidate], *, chosen: int = 0) -> bool:
        """Take a model's answer to a state.

        Parameters
        ----------
        serial : int
            Which state was asked about.
        candidates : sequence of Candidate
            At least one.
        chosen : int
            Which one to show.

        Returns
        -------
        bool
            Whether the state is still there.
        """
        return self._replace_state(
            serial, lambda state: replace(state, candidates=tuple(candidates), chosen=chosen)
        )

    def cycle(self, plane: Plane) -> bool:
        """Show the next of the candidates.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.

        Returns
        -------
        bool
            Whether there is another one.
        """
        state = self.draft(plane)
        if len(state.candidates) < 2:
            return False
        chosen = (state.chosen + 1) % len(state.candidates)
        return self._replace_state(state.serial, lambda old: replace(old, chosen=chosen))

    def forget_answers(self) -> None:
        """Drop what a model said about open drafts, mostly because another model was chosen."""
        for history in self._drafts.values():
            for index, state in enumerate(history):
                if not state.hints.only_mask:
                    history[index] = replace(state, candidates=(), chosen=0)

    def _replace_state(self, serial: int, change: Callable[[DraftState], DraftState]) -> bool:
        for history in self._drafts.values():
            for index, state in enumerate(history):
                if state.serial == serial:
                    history[index] = change(state)
                    return True
        return False

    # ---- commits ---------------------------------------------------------------------------

    def reserve(self, highest: int) -> None:
        """Leave identifiers to objects that the session did not make.

        Parameters
        ----------
        highest : int
            The highest one that is taken.
        """
        self._highest = max(self._highest, highest)

    @property
    def next_id(self) -> int:
        """The identifier that the next new object gets."""
        return max([self._highest, *self.objects]) + 1

    def commit(self, plane: Plane, labels: Any, *, overlap: Overlap = "keep") -> LabelEdit | None:
        """Make the draft's mask an object.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        labels : array of shape (..., H, W), integer
            The label image.
        overlap : {"keep", "overwrite", "background"}
            See `take_pixels`.

        Returns
        -------
        LabelEdit or None
            To be applied; None if there is no mask or nothing of it is left, and nothing was done.
        """
        state = self.draft(plane)
        if state.candidate is None:
            return None
        own = state.editing
        mask = take_pixels(state.candidate.mask, labels, plane, overlap=overlap, own=own)
        if not mask.area:
            return None
        identifier = self.next_id if own is None else own
        cleared = self._lost_pixels(plane, labels, own, state)
        name = self.class_name if state.class_name is None else state.class_name
        new = (identifier, name, state.candidate.predicted_iou, state.hints, mask)
        return self._commit(plane, labels, [new], cleared=cleared)

    def commit_masks(
        self,
        plane: Plane,
        labels: Any,
        masks: Iterable[tuple[CroppedMask, float]],
        *,
        overlap: Overlap = "keep",
    ) -> LabelEdit | None:
        """Make many masks objects, as one step of the history.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        labels : array of shape (..., H, W), integer
            The label image.
        masks : iterable of (CroppedMask, float)
            Masks and their predicted IoUs; of two that overlap, the first keeps the pixels.
        overlap : {"keep", "overwrite", "background"}
            See `take_pixels`; holds towards objects that are there already.

        Returns
        -------
        LabelEdit or None
            To be applied; None if nothing is left.
        """
        chosen = [
            (take_pixels(mask, labels, plane, overlap=overlap), iou, mask) for mask, iou in masks
        ]
        left = [(mask, iou, whole) for mask, iou, whole in chosen if mask.area]
        first = self.next_id
        new = [
            (first + index, self.class_name, iou, Hints(mask=whole), mask)
            for index, (mask, iou, whole) in enumerate(left)
        ]
        return self._commit(plane, labels, new) if new else None

    def delete(self, plane: Plane, labels: Any, identifier: int, mask: CroppedMask) -> LabelEdit:
        """Make an object background again; an undo brings it back.

        Parameters
        ----------
        plane : tuple of int or None
            Where it lies.
        labels : array of shape (..., H, W), integer
            The label image.
        identifier : int
            Its value.
        mask : CroppedMask
            Its pixels.

        Returns
        -------
        LabelEdit
            To be applied.
        """
        return self._commit(plane, labels, [], cleared=mask, deleted=identifier)

    @staticmethod
    def _lost_pixels(
        plane: Plane, labels: Any, own: int | None, state: DraftState
    ) -> CroppedMask | None:
        """Where an object that was taken up lay: what its new mask does not cover is cleared."""
        before = state.hints.mask
        if own is None or before is None:
            return None
        from sam_plugins.session.planes import plane_index

        there = labels[plane_index(plane, *before.slices)] == own
        return CroppedMask.from_mask(there, origin=before.origin)

    def _commit(
        self,
        plane: Plane,
        labels: Any,
        new: Sequence[tuple[int, str, float, Hints, CroppedMask]],
        *,
        cleared: CroppedMask | None = None,
        deleted: int | None = None,
    ) -> LabelEdit:
        paints = [(cleared, 0)] if cleared is not None else []
        # The first keeps its pixels where several overlap, so it is painted last.
        paints += [(mask, identifier) for identifier, *_, mask in reversed(new)]
        edit = compose_edit(labels, plane, paints)
        touched = [identifier for identifier, *_ in new] + list(edit.counts())
        if deleted is not None:
            touched.append(deleted)
        before = {identifier: self.objects.get(identifier) for identifier in touched}
        for identifier, name, iou, hints, mask in new:
            area = self.objects[identifier].area if identifier in self.objects else 0
            self.objects[identifier] = CommittedObject(
                identifier, plane, name, area, iou, mask.box, hints
            )
        self._recount(edit)
        if deleted is not None:
            self.objects.pop(deleted, None)
        history = self._history(plane) if deleted is None else [DraftState()]
        self._commits.append(_Commit(edit, before, tuple(history)))
        self._drafts[plane] = [DraftState()] if deleted is None else self._history(plane)
        self._tell(
            "commit",
            plane=plane,
            objects=[
                {**self.objects[identifier].to_json(), "mask": mask.encode()}
                for identifier, *_, mask in new
            ],
            cleared=None if cleared is None else cleared.encode(),
            deleted=deleted,
        )
        return edit

    def _recount(self, edit: LabelEdit) -> None:
        for identifier, change in edit.counts().items():
            known = self.objects.get(identifier)
            if known is not None:
                self.objects[identifier] = replace(known, area=known.area + change)

    # ---- undo and classes ------------------------------------------------------------------

    def undo(self, plane: Plane, labels: Any) -> Undone | None:
        """Take back the last hint on a plane or, if there is none, the last commit on any.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        labels : array of shape (..., H, W), integer
            The label image.

        Returns
        -------
        Undone or None
            None if there is nothing to take back. A commit gives its hints back as the draft.
        """
        history = self._history(plane)
        if len(history) > 1:
            history.pop()
            self._tell("undo", plane=plane)
            return Undone(plane)
        if not self._commits:
            return None
        commit = self._commits.pop()
        where = commit.edit.plane
        edit = commit.edit.inverse(labels)
        for identifier, known in commit.objects_before.items():
            if known is None:
                self.objects.pop(identifier, None)
            else:
                self.objects[identifier] = known
        if len(self._history(where)) == 1:
            self._drafts[where] = list(commit.draft)
        self._tell("undo", plane=plane)
        return Undone(where, edit)

    def rename_class(self, identifier: int, class_name: str) -> None:
        """Give an object another class.

        Parameters
        ----------
        identifier : int
            Which object.
        class_name : str
            Its class.

        Raises
        ------
        ValueError
            If there is no such object.
        """
        if identifier not in self.objects:
            raise ValueError(f"there is no object {identifier}: it may have been undone")
        self.objects[identifier] = replace(self.objects[identifier], class_name=class_name)
        self._tell("class", id=identifier, name=class_name)

    # ---- the journal -----------------------------------------------------------------------

    def _tell(self, action: str, *, plane: Plane | None = None, **details: Any) -> None:
        if self.record is not None:
            where = {} if plane is None else {"plane": list(plane)}
            self.record({"do": action, **where, **details})

    def replay(self, actions: Iterable[dict[str, Any]], labels: Any) -> None:
        """Do again what a journal tells, on a label image in place.

        Parameters
        ----------
        actions : iterable of dict
            From `read_journal`.
        labels : ndarray of shape (..., H, W), integer
            The label image as it was when the journal began.

        Raises
        ------
        KeyError, TypeError, ValueError, IndexError
            If an action is malformed or does not fit the label image. What came before it is done.
        """
        for action in actions:
            plane = tuple(action["plane"]) if "plane" in action else ()
            if action["do"] == "hints":
                hints = Hints.from_json(action["hints"])
                self._say(plane, hints, editing=action["editing"])
            elif action["do"] == "undo":
                undone = self.undo(plane, labels)
                if undone is not None and undone.edit is not None:
                    undone.edit.apply(labels)
            elif action["do"] == "class":
                self.rename_class(action["id"], action["name"])
            elif action["do"] == "commit":
                self._replay_commit(plane, action, labels)

    def _replay_commit(self, plane: Plane, action: dict[str, Any], labels: Any) -> None:
        new = [
            (
                int(told["id"]),
                str(told["class"]),
                float("nan") if told["iou"] is None else float(told["iou"]),
                Hints.from_json(told["hints"]),
                CroppedMask.decode(told["mask"]),
            )
            for told in action["objects"]
        ]
        cleared = None if action["cleared"] is None else CroppedMask.decode(action["cleared"])
        edit = self._commit(plane, labels, new, cleared=cleared, deleted=action["deleted"])
        edit.apply(labels)
