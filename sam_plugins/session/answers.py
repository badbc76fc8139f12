"""What a model answered about the current object, in pixels of the image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sam_plugins.masks.streaming import summarize
from sam_plugins.prediction import Prediction
from sam_plugins.session.cutouts import Cutout
from sam_plugins.session.regions import Region


class Answer:
    """Candidate masks from a region of the image.

    Parameters
    ----------
    prediction : Prediction
        In pixels of the region.
    region : Region
        Where it lies in the image.
    """

    def __init__(self, prediction: Prediction, region: Region) -> None:
        self.prediction = prediction
        self.region = region
        self.cutout = lru_cache(maxsize=None)(self._cutout)

    def __len__(self) -> int:
        return len(self.prediction)

    @property
    def best(self) -> int:
        """The candidate with the highest predicted IoU."""
        return self.prediction.best

    def predicted_iou(self, index: int) -> float:
        """Give a candidate's predicted IoU.

        Parameters
        ----------
        index : int

        Returns
        -------
        float
        """
        return float(self.prediction.predicted_iou[index])

    def logits(self, index: int) -> NDArray[np.float32]:
        """Give a candidate's low-resolution logits, (h, w), for the next prompt about the region.

        Parameters
        ----------
        index : int

        Returns
        -------
        ndarray of shape (h, w), float32
        """
        return self.prediction.low_resolution_logits[index]

    def _cutout(self, index: int) -> Cutout:
        """A candidate's mask in pixels of the image; made when first asked for."""
        prediction = self.prediction
        found = summarize(
            prediction.low_resolution_logits[index][None],
            prediction.frame,
            threshold=prediction.threshold,
            # The score is not asked for, and without it less is interpolated.
            stability_offset=0.0,
        )
        return self.region.place(Cutout.from_rle(found.rles[0]))
