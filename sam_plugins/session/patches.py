"""Changes of a label image, that can be undone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import SamPluginsError
from sam_plugins.masks import rle
from sam_plugins.session.cutouts import Box, Cutout


class Overlap(StrEnum):
    """What happens where a new object lies on others."""

    KEEP = "keep"  # the others stay whole, the new one gets what is free
    OVERWRITE = "overwrite"  # the new one takes what it covers
    BACKGROUND = "background"  # an object that lies on others is not taken at all


class OverlapError(SamPluginsError):
    """Nothing of an object can be taken under the overlap policy in force."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A change of some pixels of a label image.

    Parameters
    ----------
    where : Cutout
        Which pixels.
    before, after : ndarray of shape (h, w) or (), integer
        Their labels before and after, in the box of ``where``; of no axes if all are the same.
    """

    where: Cutout
    before: NDArray[Any]
    after: NDArray[Any]

    @cached_property
    def empty(self) -> bool:
        """Whether nothing is changed."""
        return not self.where.mask.any()

    @property
    def box(self) -> Box:
        """Where all of it lies: x0, y0, x1, y1."""
        return self.where.box

    @property
    def pixels(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the N pixels in the image, each of shape (N,)."""
        rows, columns = np.nonzero(self.where.mask)
        rows += self.where.corner[1]
        columns += self.where.corner[0]
        return rows, columns

    @property
    def values(self) -> NDArray[Any]:
        """Their labels after the change: (N,), or () if all are the same."""
        return self.after[self.where.mask] if self.after.ndim else self.after

    def inverse(self) -> Patch:
        """The change back."""
        return Patch(self.where, self.after, self.before)

    def only(self, chosen: NDArray[np.bool_]) -> Patch:
        """Take some of the pixels.

        Parameters
        ----------
        chosen : ndarray of shape (h, w), bool

        Returns
        -------
        Patch
        """
        where = Cutout(self.where.mask & chosen, self.where.corner)
        return Patch(where, self.before, self.after)

    def where_after(self, label: int) -> NDArray[np.bool_]:
        """Tell which pixels get a label.

        Parameters
        ----------
        label : int
            After the change.

        Returns
        -------
        ndarray of shape (h, w), bool
            In the box of `where`.
        """
        return self.where.mask & (self.after == label)

    def as_json(self) -> list[dict[str, Any]]:
        """Write it as JSON values: for each change of one label to another, a mask in a box."""
        mask, corner = self.where.mask, list(self.where.corner)
        return [
            {"before": before, "after": after, "corner": corner, "mask": rle.encode(chosen)}
            for before, after, chosen in self._changes()
            if chosen is mask or chosen.any()
        ]

    def _changes(self) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        """Which label becomes which, and where; mostly background becomes one label."""
        mask = self.where.mask
        if self.empty:
            return
        for before in _labels_in(self.before, mask):
            here = mask & (self.before == before) if self.before.ndim else mask
            for after in _labels_in(self.after, mask):
                yield before, after, here & (self.after == after) if self.after.ndim else here

    @classmethod
    def from_json(cls, pieces: Sequence[dict[str, Any]]) -> Patch:
        """Read what `as_json` wrote.

        Parameters
        ----------
        pieces : sequence of dict

        Returns
        -------
        Patch
        """
        cutouts = [Cutout.from_json(piece) for piece in pieces]
        if len(pieces) == 1:
            before, after = (np.array(pieces[0][name]) for name in ("before", "after"))
            return cls(cutouts[0], before, after)
        where = reduce(Cutout.joined, cutouts, Cutout(np.zeros((0, 0), dtype=bool)))
        labels = np.zeros((2, *where.mask.shape), dtype=np.int64)
        for piece, cutout in zip(pieces, cutouts, strict=True):
            labels[:, cutout.within(where.box)] = [[piece["before"]], [piece["after"]]]
        return cls(where, labels[0], labels[1])


def object_patch(cutout: Cutout, labels: NDArray[Any], label: int, *, overlap: Overlap) -> Patch:
    """Make the change that gives an object its label, and takes from it what it no longer covers.

    Parameters
    ----------
    cutout : Cutout
        The object.
    labels : ndarray of shape (h, w), integer
        The labels in its box.
    label : int
        The object's.
    overlap : Overlap
        What happens to other labels.

    Returns
    -------
    Patch

    Raises
    ------
    OverlapError
        If nothing of the object can be taken.
    """
    mask = cutout.mask
    if not labels.any():
        _refuse_nothing(mask)
        return Patch(cutout, np.array(0), np.array(label))
    mine = labels == label
    others = (labels != 0) & ~mine
    if overlap is Overlap.BACKGROUND and (mask & others).any():
        count = len(np.unique(labels[mask & others]))
        raise OverlapError(f"the object lies on {count} other(s); nothing was changed")
    taken = mask if overlap is Overlap.OVERWRITE else mask & ~others
    _refuse_nothing(taken)
    if overlap is not Overlap.OVERWRITE and not mine.any():
        return Patch(Cutout(taken, cutout.corner), np.array(0), np.array(label))
    where = Cutout(taken ^ mine, cutout.corner)
    return Patch(where, np.array(labels), taken * labels.dtype.type(label))


def _refuse_nothing(taken: NDArray[np.bool_]) -> None:
    if not taken.any():
        raise OverlapError("other objects cover all of this one; nothing was changed")


def _labels_in(labels: NDArray[Any], mask: NDArray[np.bool_]) -> list[int]:
    """The labels of the pixels of a mask."""
    return [int(each) for each in np.unique(labels[mask] if labels.ndim else labels)]
