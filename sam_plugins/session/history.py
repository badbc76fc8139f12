"""``History``: what was done, taken back and done again, each told to the journal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from sam_plugins.session.actions import Action, Change, action_from_json
from sam_plugins.session.journal import Journal
from sam_plugins.session.state import State


class History:
    """Actions in the order in which they were done, and those that were taken back.

    Parameters
    ----------
    state : State
        Changed in place by each action.

    Attributes
    ----------
    journal : Journal or None
        Where each step is written.
    """

    def __init__(self, state: State) -> None:
        self.journal: Journal | None = None
        self._state = state
        self._done: list[Action] = []
        self._undone: list[Action] = []

    def do(self, action: Action) -> None:
        """Do something new.

        Parameters
        ----------
        action : Action
            Applied here.
        """
        action.apply(self._state)
        self.add(action)

    def add(self, action: Action) -> None:
        """Take in something new that is done already.

        Parameters
        ----------
        action : Action
            Not applied again.
        """
        if isinstance(action, Change) and action.with_prompts:
            self._forget_prompts()
        self._done.append(action)
        self._undone.clear()
        self._changed({"do": action.as_json()} if self.journal is not None else {})

    def undo(self) -> str | None:
        """Take back what was done last.

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

    def replay(self, entries: Iterable[dict[str, Any]]) -> None:
        """Do all that a journal tells.

        Parameters
        ----------
        entries : iterable of dict
            Those after the head.
        """
        for entry in entries:
            if entry.get("undo"):
                self.undo()
            elif entry.get("redo"):
                self.redo()
            else:
                self.do(action_from_json(entry["do"]))

    def close(self) -> None:
        """Close the journal; the history goes on without one."""
        if self.journal is not None:
            self.journal.close()
            self.journal = None

    def _forget_prompts(self) -> None:
        """Take the prompts since the last object out, and nothing else."""
        finished = [i for i, a in enumerate(self._done) if isinstance(a, Change) and a.finishes]
        first = finished[-1] + 1 if finished else 0
        since = [action for action in self._done[first:] if isinstance(action, Change)]
        self._done[first:] = since

    def _changed(self, entry: dict[str, object]) -> None:
        self._state.version += 1
        if self.journal is not None:
            # The time tells how long an object took.
            self.journal.write({**entry, "at": round(time.time(), 1)})
