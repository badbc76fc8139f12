"""``Prediction``: the model's answer to one prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sam_plugins.frames import Frame
from sam_plugins.prompts import Prompt


@dataclass(frozen=True, eq=False)
class Prediction:
    """The model's answer to one prompt: K candidate masks, best guesses of their quality.

    Parameters
    ----------
    low_resolution_logits : ndarray of shape (K, h, w), float32
        Unthresholded masks that cover the model's frame; each can be the mask of a next prompt.
    predicted_iou : ndarray of shape (K,), float32
        The model's own estimate of each mask's intersection over union with the object.
    frame : Frame
        How the image lies in the model's frame.
    threshold : float
        Logits above it are foreground.

    Notes
    -----
    K is 3 for a single ambiguous hint (whole, part, subpart; paper, §3) and 1 otherwise. Masks are
    brought to the image's size when they are asked for: whoever wants one mask pays for one.
    """

    low_resolution_logits: NDArray[np.float32]
    predicted_iou: NDArray[np.float32]
    frame: Frame
    threshold: float = 0.0

    def __len__(self) -> int:
        return len(self.predicted_iou)

    @property
    def best(self) -> int:
        """Index of the mask with the highest predicted IoU."""
        return int(self.predicted_iou.argmax())

    def mask(self, index: int) -> NDArray[np.bool_]:
        """Give one mask at the original image's size.

        Parameters
        ----------
        index : int
            Which of the K masks.

        Returns
        -------
        ndarray of shape (H, W), bool
        """
        from sam_plugins.masks.streaming import mask_at_image_size

        return mask_at_image_size(
            self.low_resolution_logits[index], self.frame, threshold=self.threshold
        )

    @cached_property
    def best_mask(self) -> NDArray[np.bool_]:
        """The mask with the highest predicted IoU at the original image's size: (H, W), bool."""
        return self.mask(self.best)

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """All masks at the original image's size: (K, H, W), bool."""
        from sam_plugins.masks.streaming import masks_at_image_size

        return masks_at_image_size(self.low_resolution_logits, self.frame, threshold=self.threshold)

    def refine(self, prompt: Prompt, *, index: int | None = None) -> Prompt:
        """Give a prompt that also carries one of these masks, to predict from again.

        Parameters
        ----------
        prompt : Prompt
            The points and boxes so far, usually with one more corrective point.
        index : int, optional
            Which mask to start from; the best one if omitted.

        Returns
        -------
        Prompt
            The same prompt with this prediction's unthresholded logits as its mask (paper, §A:
            the logits and not the thresholded mask are passed on).
        """
        chosen = self.best if index is None else index
        return replace(prompt, mask=self.low_resolution_logits[chosen])
