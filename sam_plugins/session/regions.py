"""The part of an image that is embedded, at the step in use: prompts into it, masks out of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam_plugins.prompts import Prompt
from sam_plugins.session.cutouts import Box, Cutout


@dataclass(frozen=True)
class Region:
    """A box of an image, of which every ``step``-th pixel along each axis is embedded.

    Parameters
    ----------
    box : tuple of int
        x0, y0, x1, y1 in pixels of the image; the last row and column are not in it.
    step : int
        Pixels of the image to one of the region.
    """

    box: Box
    step: int = 1

    @classmethod
    def whole(cls, image_size: tuple[int, int]) -> Region:
        """The whole image, each pixel.

        Parameters
        ----------
        image_size : tuple of int
            (H, W).

        Returns
        -------
        Region
        """
        return cls((0, 0, image_size[1], image_size[0]))

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the region, in its own pixels."""
        x0, y0, x1, y1 = self.box
        return -(-(y1 - y0) // self.step), -(-(x1 - x0) // self.step)

    def contains(self, x: float, y: float) -> bool:
        """Tell whether a point of the image lies in the region.

        Parameters
        ----------
        x, y : float
            In pixels of the image.

        Returns
        -------
        bool
        """
        x0, y0, x1, y1 = self.box
        return x0 - 0.5 <= x < x1 - 0.5 and y0 - 0.5 <= y < y1 - 0.5

    def prompt(self, prompt: Prompt, mask: Cutout | None = None) -> Prompt:
        """Bring a prompt into the region; what lies outside is moved to its border.

        Parameters
        ----------
        prompt : Prompt
            Points and boxes in pixels of the image. Its mask stays as it is.
        mask : Cutout, optional
            A mask in pixels of the image, for the prompt's.

        Returns
        -------
        Prompt
            In pixels of the region.
        """
        height, width = self.size
        corner = np.array(self.box[:2], dtype=np.float32)
        last = np.array([width - 1, height - 1], dtype=np.float32)
        points, boxes = prompt.points, prompt.boxes
        if points is not None:
            # A pixel's centre is half a pixel from its corner, whatever the step.
            points = ((points - corner + 0.5) / self.step - 0.5).clip(0, last)
        if boxes is not None:
            edge = np.array([width, height], dtype=np.float32)
            boxes = ((boxes.reshape(-1, 2, 2) - corner) / self.step).clip(0, edge).reshape(-1, 4)
        brought = prompt.mask
        if mask is not None:
            brought = mask.within(self.box)[:: self.step, :: self.step]
        return replace(prompt, points=points, boxes=boxes, mask=brought)

    def cutout(self, mask: NDArray[np.bool_]) -> Cutout:
        """Bring a mask of the region back into the image.

        Parameters
        ----------
        mask : ndarray of shape (h, w), bool
            In pixels of the region.

        Returns
        -------
        Cutout
            In pixels of the image, cut to what is in the mask.
        """
        return self.place(Cutout(mask).tight())

    def place(self, found: Cutout) -> Cutout:
        """Bring a cutout of the region back into the image.

        Parameters
        ----------
        found : Cutout
            In pixels of the region.

        Returns
        -------
        Cutout
            In pixels of the image.
        """
        x0, y0, x1, y1 = self.box
        x, y = (start + self.step * at for start, at in zip((x0, y0), found.corner, strict=True))
        large = found.mask
        if self.step > 1:
            large = large.repeat(self.step, axis=0).repeat(self.step, axis=1)
        return Cutout(large[: y1 - y, : x1 - x], (x, y))
