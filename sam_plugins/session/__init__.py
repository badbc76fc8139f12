"""One image under annotation: prompts, candidates, committed objects, undo, journal.

Free of any user interface and of any model: the host predicts from `Session.prompt`, gives the
answer to `Session.answer`, and owns the label image, which it offers as a `Target`.
"""

from sam_plugins.session.cutouts import Cutout
from sam_plugins.session.journal import Journal, JournalError
from sam_plugins.session.objects import ObjectRecord
from sam_plugins.session.patches import Overlap, OverlapError, Patch
from sam_plugins.session.prompts import PromptState
from sam_plugins.session.proposals import ProposalQueue
from sam_plugins.session.regions import Region
from sam_plugins.session.session import Session
from sam_plugins.session.targets import ArrayTarget, Target

__all__ = [
    "ArrayTarget",
    "Cutout",
    "Journal",
    "JournalError",
    "ObjectRecord",
    "Overlap",
    "OverlapError",
    "Patch",
    "PromptState",
    "ProposalQueue",
    "Region",
    "Session",
    "Target",
]
