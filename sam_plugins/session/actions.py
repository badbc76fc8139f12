"""What can be done in a session: each action can be taken back, and written as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sam_plugins.session.objects import ObjectRecord
from sam_plugins.session.patches import Patch
from sam_plugins.session.prompts import PromptState
from sam_plugins.session.state import State, Step

# An object's record before and after; None where there is none.
Records = tuple[int, ObjectRecord | None, ObjectRecord | None]


class Action(Protocol):
    """One step of a session's history."""

    name: str

    def apply(self, state: State) -> None:
        """Do it, for the first time or again.

        Parameters
        ----------
        state : State
            Changed in place.
        """

    def revert(self, state: State) -> None:
        """Take it back, directly after it was done.

        Parameters
        ----------
        state : State
            Changed in place.
        """

    def as_json(self) -> dict[str, Any]:
        """Write it as JSON values."""


@dataclass(eq=False)
class Say:
    """One more prompt about the current object.

    Parameters
    ----------
    name : str
        What it was, for people.
    prompts : PromptState
        All that was said so far.
    editing : int, optional
        The object that was taken up.
    score : float, optional
        See `Step`.
    """

    name: str
    prompts: PromptState
    editing: int | None = None
    score: float | None = None
    _edited: int | None = field(default=None, repr=False)

    def apply(self, state: State) -> None:
        """Do it.

        Parameters
        ----------
        state : State
            Changed in place.
        """
        self._edited, state.editing = state.editing, self.editing
        state.steps.append(Step(self.prompts, score=self.score))

    def revert(self, state: State) -> None:
        """Take it back: the answer before is there again.

        Parameters
        ----------
        state : State
            Changed in place.
        """
        state.steps.pop()
        state.editing = self._edited

    def as_json(self) -> dict[str, Any]:
        """Write it as JSON values."""
        said = self.prompts.as_json()
        rest = {"name": self.name, "editing": self.editing, "score": self.score}
        return {"kind": "say", **rest, "prompts": said}


@dataclass(eq=False)
class Drop:
    """Forget all prompts about the current object.

    Parameters
    ----------
    name : str
        What it was, for people.
    """

    name: str = "clear"
    _steps: list[Step] = field(default_factory=list, repr=False)
    _editing: int | None = field(default=None, repr=False)

    def apply(self, state: State) -> None:
        """Do it.

        Parameters
        ----------
        state : State
            Changed in place.
        """
        self._steps, state.steps = state.steps, []
        self._editing, state.editing = state.editing, None

    def revert(self, state: State) -> None:
        """Take it back.

        Parameters
        ----------
        state : State
            Changed in place.
        """
        state.steps, state.editing = self._steps, self._editing

    def as_json(self) -> dict[str, Any]:
        """Write it as JSON values."""
        return {"kind": "drop"}


@dataclass(eq=False)
class Change:
    """A change of the label image and of the records.

    Parameters
    ----------
    name : str
        What it was, for people.
    patches : list of Patch
        Written one after the other.
    records : list of (int, ObjectRecord or None, ObjectRecord or None)
        Id, record before and after.
    finishes : bool
        The current object is done: its prompts go.
    with_prompts : bool
        Taking it back does not bring the prompts again.
    """

    name: str
    patches: list[Patch]
    records: list[Records]
    finishes: bool = False
    with_prompts: bool = False
    _said: Drop = field(default_factory=Drop, repr=False)

    def apply(self, state: State) -> None:
        """Do it.

        Parameters
        ----------
        state : State
            Changed in place.
        """
        for patch in self.patches:
            state.write(patch)
        for object_id, _, after in self.records:
            state.put(object_id, after)
        if self.finishes:
            self._said.apply(state)

    def revert(self, state: State) -> None:
        """Take it back.

        Parameters
        ----------
        state : State
            Changed in place.
        """
        for patch in reversed(self.patches):
            state.write(patch.inverse())
        for object_id, before, _ in reversed(self.records):
            state.put(object_id, before)
        if self.finishes and not self.with_prompts:
            self._said.revert(state)

    def as_json(self) -> dict[str, Any]:
        """Write it as JSON values."""
        records = [
            [object_id, *(None if each is None else each.as_json() for each in pair)]
            for object_id, *pair in self.records
        ]
        return {
            "kind": "change",
            "name": self.name,
            "patches": [patch.as_json() for patch in self.patches],
            "records": records,
            "finishes": self.finishes,
            "with_prompts": self.with_prompts,
        }


def action_from_json(content: dict[str, Any]) -> Action:
    """Read what an action's ``as_json`` wrote.

    Parameters
    ----------
    content : dict

    Returns
    -------
    Action

    Raises
    ------
    ValueError
        If it is of another kind.
    """
    rest = dict(content)
    kind = rest.pop("kind")
    if kind == "say":
        return Say(**{**rest, "prompts": PromptState.from_json(rest["prompts"])})
    if kind == "drop":
        return Drop()
    if kind == "change":
        rest["patches"] = [Patch.from_json(pieces) for pieces in rest["patches"]]
        rest["records"] = [_records(each) for each in rest["records"]]
        return Change(**rest)
    raise ValueError(f"unknown kind of action {kind!r}")


def _records(content: Sequence[Any]) -> Records:
    before, after = (None if each is None else ObjectRecord.from_json(each) for each in content[1:])
    return int(content[0]), before, after
