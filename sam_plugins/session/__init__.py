"""One image under annotation: prompts, candidate masks, undo, committed objects, a journal.

Nothing here knows of a viewer. `Session` keeps what was said and done and tells, as `LabelEdit`,
which pixels of a label image change; whoever holds the label image changes them. A plane is a 2D
cut through an image of any number of axes: one index an axis, None for its rows and its columns.
"""

from sam_plugins.session.edits import LabelEdit, Overlap
from sam_plugins.session.hints import Hints
from sam_plugins.session.journal import Journal, read_journal
from sam_plugins.session.planes import Plane
from sam_plugins.session.session import Session, Undone
from sam_plugins.session.states import Candidate, CommittedObject, DraftState

__all__ = [
    "Candidate",
    "CommittedObject",
    "DraftState",
    "Hints",
    "Journal",
    "LabelEdit",
    "Overlap",
    "Plane",
    "Session",
    "Undone",
    "read_journal",
]
