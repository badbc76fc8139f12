"""Changes of the label image and the records, as actions: commits, deletions, classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sam_plugins.session.actions import Change, Records
from sam_plugins.session.cutouts import Box, Cutout
from sam_plugins.session.objects import ObjectRecord
from sam_plugins.session.patches import Overlap, Patch, object_patch
from sam_plugins.session.state import State


def commit_change(
    state: State,
    record: ObjectRecord,
    cutout: Cutout,
    *,
    overlap: Overlap,
    with_prompts: bool = False,
) -> Change:
    """Write an object's mask, in place of what it had before if it is known.

    Parameters
    ----------
    state : State
        Not changed.
    record : ObjectRecord
        The object's; its area and box are found here.
    cutout : Cutout
        Its mask.
    overlap : Overlap
        What happens to other objects.
    with_prompts : bool
        See `Change`.

    Returns
    -------
    Change

    Raises
    ------
    OverlapError
        If nothing of it can be taken.
    """
    height, width = state.target.shape
    box = _joined(cutout.box, _box_before(state, record.id))
    box = (max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height))
    whole = Cutout(cutout.within(box), box[:2])
    labels = state.target.read(box)
    patch = object_patch(whole, labels, record.id, overlap=overlap)
    kept = patch.where_after(record.id)
    if patch.before.ndim:  # what it had before and still has
        kept |= (labels == record.id) & whole.mask
    left = Cutout(kept, box[:2]).tight()
    new = replace(record, area=left.area, box=left.box)
    records: list[Records] = [(record.id, state.objects.get(record.id), new)]
    records += _losses(state, patch, record.id)
    name = f"object {record.id}"
    return Change(name, [patch], records, finishes=True, with_prompts=with_prompts)


def delete_change(state: State, record: ObjectRecord) -> Change:
    """Take an object out of the label image.

    Parameters
    ----------
    state : State
        Not changed.
    record : ObjectRecord
        The object's.

    Returns
    -------
    Change
    """
    where = Cutout(np.asarray(state.target.read(record.box) == record.id), record.box[:2])
    patch = Patch(where, np.array(record.id), np.array(0))
    return Change(f"deletion of object {record.id}", [patch], [(record.id, record, None)])


def class_change(record: ObjectRecord, class_id: int) -> Change:
    """Change an object's class.

    Parameters
    ----------
    record : ObjectRecord
        The object's.
    class_id : int
        The new one.

    Returns
    -------
    Change
    """
    after = replace(record, class_id=class_id)
    return Change(f"class of object {record.id}", [], [(record.id, record, after)])


def _box_before(state: State, object_id: int) -> Box | None:
    """Where an object lies that is taken up again: by its record, or by its mask prompt."""
    known = state.objects.get(object_id)
    if known is not None:
        return known.box
    taken = state.steps[0].prompts.mask if state.editing == object_id and state.steps else None
    return None if taken is None else taken.box


def _joined(first: Box, second: Box | None) -> Box:
    if second is None:
        return first
    return (
        min(first[0], second[0]),
        min(first[1], second[1]),
        max(first[2], second[2]),
        max(first[3], second[3]),
    )


def _losses(state: State, patch: Patch, object_id: int) -> list[Records]:
    """What other objects lose: their records with a smaller area, or none if nothing is left."""
    if not patch.before.ndim:
        return []  # all of it was background
    labels, counts = np.unique(patch.before[patch.where.mask], return_counts=True)
    losses: list[Records] = []
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        known = state.objects.get(label)
        if known is not None and label != object_id:
            left = known.area - count
            losses.append((label, known, replace(known, area=left) if left > 0 else None))
    return losses
