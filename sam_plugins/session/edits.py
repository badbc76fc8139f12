"""``LabelEdit``: which pixels of a label image change, from what to what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sam_plugins.masks.cropped import CroppedMask, joint_box
from sam_plugins.session.planes import Plane, pixels_at, plane_index

Overlap = Literal["keep", "overwrite", "background"]


@dataclass(frozen=True, eq=False)
class LabelEdit:
    """A change of n pixels of one plane of a label image.

    Parameters
    ----------
    plane : tuple of int or None
        The plane.
    rows, columns : ndarray of shape (n,), integer
        The pixels.
    before, after : ndarray of shape (n,), integer
        Their values.
    """

    plane: Plane
    rows: NDArray[np.integer]
    columns: NDArray[np.integer]
    before: NDArray[Any]
    after: NDArray[Any]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def indices(self) -> tuple[NDArray[Any], ...]:
        """Index arrays of the pixels, one an axis of the label image: (n,) each."""
        return pixels_at(self.plane, self.rows, self.columns)

    def inverse(self, labels: Any) -> LabelEdit:
        """The change back, of the pixels that nobody has changed since.

        Parameters
        ----------
        labels : array of shape (..., H, W), integer
            The label image as it is now.

        Returns
        -------
        LabelEdit
        """
        now = np.asarray(labels[self.indices])
        same = now == self.after
        return LabelEdit(
            self.plane, self.rows[same], self.columns[same], self.after[same], self.before[same]
        )

    def apply(self, labels: NDArray[Any]) -> None:
        """Change a label image in place.

        Parameters
        ----------
        labels : ndarray of shape (..., H, W), integer
            The label image.
        """
        labels[self.indices] = self.after

    def counts(self) -> dict[int, int]:
        """By how many pixels each object grows, or shrinks if it is negative.

        Returns
        -------
        dict of int to int
            Background is left out.
        """
        totals: dict[int, int] = {}
        for values, sign in ((self.before, -1), (self.after, 1)):
            for value, number in zip(*np.unique(values, return_counts=True), strict=True):
                if value:
                    totals[int(value)] = totals.get(int(value), 0) + sign * int(number)
        return totals


def compose_edit(
    labels: Any, plane: Plane, paints: Sequence[tuple[CroppedMask, int]]
) -> LabelEdit:
    """Paint masks onto a plane one after the other; only the box around them is read.

    Parameters
    ----------
    labels : array of shape (..., H, W), integer
        The label image; it is not changed.
    plane : tuple of int or None
        The plane.
    paints : sequence of (CroppedMask, int)
        Masks and their values.

    Returns
    -------
    LabelEdit
    """
    box = joint_box([mask for mask, _ in paints if mask.area])
    if box is None:
        nothing = np.zeros(0, dtype=np.intp)
        return LabelEdit(plane, nothing, nothing, nothing, nothing)
    x0, y0, x1, y1 = box
    old = np.asarray(labels[plane_index(plane, slice(y0, y1), slice(x0, x1))])
    new = old.copy()
    for mask, value in paints:
        left, top, right, bottom = mask.box
        if mask.area:
            new[top - y0 : bottom - y0, left - x0 : right - x0][mask.pixels] = value
    rows, columns = np.nonzero(new != old)
    return LabelEdit(plane, rows + y0, columns + x0, old[rows, columns], new[rows, columns])


def take_pixels(
    mask: CroppedMask,
    labels: Any,
    plane: Plane,
    *,
    overlap: Overlap = "keep",
    own: int | None = None,
) -> CroppedMask:
    """The part of a mask that an object may have.

    Parameters
    ----------
    mask : CroppedMask
        What it wants.
    labels : array of shape (..., H, W), integer
        The label image; only the mask's box is read.
    plane : tuple of int or None
        The plane.
    overlap : {"keep", "overwrite", "background"}
        ``"keep"``: other objects keep their pixels; ``"overwrite"``: they lose them;
        ``"background"``: if the mask touches another object, it gets nothing.
    own : int, optional
        The object's identifier if it has pixels already, which are its own.

    Returns
    -------
    CroppedMask
        Empty if nothing is left.

    Raises
    ------
    ValueError
        If the rule is unknown.
    """
    if overlap not in get_args(Overlap):
        raise ValueError(f"overlap must be one of {', '.join(get_args(Overlap))}, got {overlap!r}")
    if overlap == "overwrite" or not mask.area:
        return mask
    there = np.asarray(labels[plane_index(plane, *mask.slices)])
    taken = (there != 0) & mask.pixels
    if own is not None:
        taken &= there != own
    if not taken.any():
        return mask
    if overlap == "background":
        return CroppedMask.empty()
    return CroppedMask.from_mask(mask.pixels & ~taken, origin=mask.origin)
