"""Automatic masks that a person goes through: what is labelled already is skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from sam_plugins.masks.records import MaskRecord
from sam_plugins.session.cutouts import Cutout
from sam_plugins.session.regions import Region
from sam_plugins.session.targets import Target

# A proposal of which more than this share is labelled counts as labelled.
MOST_LABELLED = 0.5


class ProposalQueue:
    """Automatic masks, the most confident first.

    Parameters
    ----------
    records : sequence of MaskRecord
        In pixels of the region, for example from `sam_plugins.automatic.select`.
    region : Region
        Where they were found.
    most_labelled : float
        A proposal of which more than this share is labelled is skipped.
    """

    def __init__(
        self,
        records: Sequence[MaskRecord],
        region: Region,
        *,
        most_labelled: float = MOST_LABELLED,
    ) -> None:
        self.records = sorted(records, key=lambda record: -record.predicted_iou)
        self.region = region
        self.most_labelled = most_labelled
        self._next = 0
        self.cutout = lru_cache(maxsize=None)(self._cutout)

    def __len__(self) -> int:
        return len(self.records)

    def _cutout(self, index: int) -> Cutout:
        """A proposal's mask in pixels of the image; made when first asked for."""
        return self.region.place(Cutout.from_rle(self.records[index].segmentation))

    def is_open(self, index: int, target: Target) -> bool:
        """Tell whether a proposal is still to be labelled.

        Parameters
        ----------
        index : int
        target : Target
            The label image.

        Returns
        -------
        bool
        """
        cutout = self.cutout(index)
        if not cutout.area:
            return False
        labelled = np.count_nonzero((target.read(cutout.box) != 0) & cutout.mask)
        return bool(labelled <= self.most_labelled * cutout.area)

    def open(self, target: Target) -> Iterator[tuple[Cutout, float]]:
        """Give the proposals that are still to be labelled, for `Session.commit_all`.

        Parameters
        ----------
        target : Target
            The label image.

        Yields
        ------
        cutout : Cutout
        predicted_iou : float
        """
        for index, record in enumerate(self.records):
            if self.is_open(index, target):
                yield self.cutout(index), record.predicted_iou

    def next(self, target: Target) -> tuple[Cutout, float] | None:
        """Go to the next proposal that is still to be labelled, round and round.

        Parameters
        ----------
        target : Target
            The label image.

        Returns
        -------
        (Cutout, float) or None
            Its mask and predicted IoU, for `Session.propose_mask`; None if all are labelled.
        """
        for step in range(len(self)):
            index = (self._next + step) % len(self)
            if self.is_open(index, target):
                self._next = index + 1
                return self.cutout(index), self.records[index].predicted_iou
        return None
