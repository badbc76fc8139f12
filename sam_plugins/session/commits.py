"""What becomes an object: the chosen mask, or many masks at once; their ids, classes, sources."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sam_plugins.errors import SamPluginsError
from sam_plugins.session.actions import Change
from sam_plugins.session.changes import commit_change
from sam_plugins.session.cutouts import Cutout
from sam_plugins.session.objects import ObjectRecord, Source
from sam_plugins.session.patches import Overlap
from sam_plugins.session.prompts import PromptState
from sam_plugins.session.state import State


def chosen_object(
    state: State,
    *,
    class_id: int | None,
    default_class: int,
    overlap: Overlap,
    with_prompts: bool = False,
) -> Change | None:
    """Make the chosen mask an object: a new one, or the one that was taken up.

    Parameters
    ----------
    state : State
        Not changed.
    class_id : int or None
        The object's class; None for the one that it has.
    default_class : int
        Of an object that has none yet.
    overlap : Overlap
        What happens to other objects.
    with_prompts : bool
        See `Change`.

    Returns
    -------
    Change or None
        The object's record comes first. None if there is no mask.

    Raises
    ------
    OverlapError
        If nothing of it can be taken.
    SamPluginsError
        If the label image's type has no number left.
    """
    step = state.step
    cutout = None if step is None or step.cutout is None else step.cutout.tight()
    if step is None or cutout is None or not cutout.area:
        return None
    object_id = new_id(state) if state.editing is None else state.editing
    known = state.objects.get(object_id)
    chosen = class_id or (default_class if known is None else known.class_id)
    prompts = step.prompts
    source: Source = "prompt" if prompts.points or prompts.boxes or known else "proposal"
    record = ObjectRecord(object_id, chosen, 0, step.predicted_iou, cutout.box, prompts, source)
    return commit_change(state, record, cutout, overlap=overlap, with_prompts=with_prompts)


def write_objects(
    state: State, masks: Iterable[tuple[Cutout, float | None]], class_id: int
) -> Change:
    """Make each mask an object, as far as others leave anything of it.

    Parameters
    ----------
    state : State
        Changed in place: each mask sees what those before it took.
    masks : iterable of (Cutout, float or None)
        Masks with their predicted IoU, the most important first.
    class_id : int
        Of all of them.

    Returns
    -------
    Change
        All that was done, as one.
    """
    whole = Change("proposals", [], [])
    for cutout, score in masks:
        record = ObjectRecord(
            new_id(state), class_id, 0, score, cutout.box, PromptState(), "proposal"
        )
        try:
            change = commit_change(state, record, cutout.tight(), overlap=Overlap.KEEP)
        except SamPluginsError:
            continue  # others cover all of it
        change.finishes = False
        change.apply(state)
        whole.patches += change.patches
        whole.records += change.records
    if whole.records:
        whole.name = f"{len(whole.records)} objects"
    return whole


def new_id(state: State) -> int:
    """Find the number of a new object.

    Parameters
    ----------
    state : State
        Not changed.

    Returns
    -------
    int
        Above all that the label image holds and that objects have.

    Raises
    ------
    SamPluginsError
        If the label image's type has no number left.
    """
    target = state.target
    new = max(target.highest(), max(state.objects, default=0)) + 1
    if new > np.iinfo(target.dtype).max:
        raise SamPluginsError(
            f"labels of type {target.dtype} end at {new - 1}: choose a label image with more"
        )
    return new
