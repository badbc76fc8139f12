"""Changes of a label image, that can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
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
    """A change of N pixels of a label image.

    Parameters
    ----------
    rows, columns : ndarray of shape (N,), integer
        Which pixels.
    before, values : ndarray of shape (N,), integer
        Their labels before and after.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    before: NDArray[np.int64]
    values: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def box(self) -> Box:
        """The pixels' box; all zeros if there are none."""
        if not len(self):
            return 0, 0, 0, 0
        return (
            int(self.columns.min()),
            int(self.rows.min()),
            int(self.columns.max()) + 1,
            int(self.rows.max()) + 1,
        )

    def inverse(self) -> Patch:
        """The change back."""
        return Patch(self.rows, self.columns, self.values, self.before)

    def take(self, chosen: NDArray[np.bool_]) -> Patch:
        """Take some of the pixels.

        Parameters
        ----------
        chosen : ndarray of shape (N,), bool

        Returns
        -------
        Patch
        """
        return Patch(
            self.rows[chosen], self.columns[chosen], self.before[chosen], self.values[chosen]
        )

    def as_json(self) -> list[dict[str, Any]]:
        """Write it as JSON values: for each change of one label to another, a mask in a box."""
        x0, y0, x1, y1 = self.box
        pieces = []
        for before, after in self._changes():
            chosen = (self.before == before) & (self.values == after)
            mask = np.zeros((y1 - y0, x1 - x0), dtype=bool)
            mask[self.rows[chosen] - y0, self.columns[chosen] - x0] = True
            piece = {"before": int(before), "after": int(after), "corner": [x0, y0]}
            pieces.append({**piece, "mask": rle.encode(mask)})
        return pieces

    def _changes(self) -> list[tuple[int, int]]:
        """Which label becomes which; mostly it is background that becomes one label."""
        if not len(self):
            return []
        first = int(self.before[0]), int(self.values[0])
        if (self.before == first[0]).all() and (self.values == first[1]).all():
            return [first]
        pairs = np.unique(np.stack([self.before, self.values], 1), axis=0)
        return [(int(before), int(after)) for before, after in pairs]

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
        rows, columns, before, values = [], [], [], []
        for piece in pieces:
            y, x = np.nonzero(rle.decode(piece["mask"]))
            rows.append(y + piece["corner"][1])
            columns.append(x + piece["corner"][0])
            before.append(np.full(len(y), piece["before"], dtype=np.int64))
            values.append(np.full(len(y), piece["after"], dtype=np.int64))
        if not rows:
            nothing = np.zeros(0, dtype=np.int64)
            return cls(nothing, nothing, nothing, nothing)
        return cls(*(np.concatenate(each) for each in (rows, columns, before, values)))


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
    mask, corner = cutout.mask, cutout.corner
    others = (labels != 0) & (labels != label)
    if overlap is Overlap.BACKGROUND and (mask & others).any():
        count = len(np.unique(labels[mask & others]))
        raise OverlapError(f"the object lies on {count} other(s); nothing was changed")
    taken = mask if overlap is Overlap.OVERWRITE else mask & ~others
    if not taken.any():
        raise OverlapError("other objects cover all of this one; nothing was changed")
    changed = np.where(taken, label, 0) != np.where(labels == label, label, 0)
    rows, columns = np.nonzero(changed)
    return Patch(
        rows + corner[1],
        columns + corner[0],
        labels[changed].astype(np.int64),
        np.where(taken[changed], label, 0).astype(np.int64),
    )
