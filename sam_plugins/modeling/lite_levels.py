"""Prompts of the small model at one of its levels, and in a window there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.lite_prompts import PADDING_LABEL
from sam_plugins.modeling.lite_windows import Windows


@dataclass(frozen=True, eq=False)
class LevelPrompts:
    """B prompts of one form, in pixels of a level; see `Sam.decode` for the shapes.

    Parameters
    ----------
    points : Tensor of shape (B, N, 2), optional
    labels : Tensor of shape (B, N), optional
    boxes : Tensor of shape (B, M, 4), optional
    mask_logits : Tensor of shape (B, 1, h, w), optional
    text_tokens : Tensor of shape (B, T, C), optional
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    mask_logits: Tensor | None = None
    text_tokens: Tensor | None = None

    def take(self, rows: Tensor) -> LevelPrompts:
        """Take some of the prompts.

        Parameters
        ----------
        rows : Tensor of shape (R,), int64

        Returns
        -------
        LevelPrompts
        """
        given = {name: x[rows] for name, x in vars(self).items() if x is not None}
        return LevelPrompts(**given)

    def at_level(self, level: int) -> LevelPrompts:
        """Bring prompts of the finest level to another one.

        Parameters
        ----------
        level : int
            Each is half as large as the one before; the finest is 0.

        Returns
        -------
        LevelPrompts
        """
        shrink = 2**level
        if level == 0:
            return self
        return replace(
            self,
            # A pixel's centre is half a pixel from its corner at every level.
            points=None if self.points is None else (self.points + 0.5) / shrink - 0.5,
            boxes=None if self.boxes is None else self.boxes / shrink,
            mask_logits=None
            if self.mask_logits is None
            else functional.avg_pool2d(self.mask_logits, shrink),
        )

    def windows(self, frame_size: tuple[int, int]) -> Windows:
        """Lay a window about each prompt.

        Parameters
        ----------
        frame_size : tuple of int
            (H, W) of the level.

        Returns
        -------
        Windows
            About the boxes and the foreground clicks; about the background clicks where there is
            nothing else.

        Raises
        ------
        ValueError
            If there are neither points nor boxes.
        """
        corners, counts = [], []
        if self.boxes is not None:
            corners.append(self.boxes.reshape(len(self.boxes), -1, 2))
            counts.append(torch.ones_like(corners[-1][..., 0], dtype=torch.bool))
        if self.points is not None and self.labels is not None:
            corners.append(self.points)
            foreground = self.labels == 1
            alone = ~foreground.any(1, keepdim=True) & (self.labels == 0)
            counts.append(foreground | alone if self.boxes is None else foreground)
        if not corners:
            raise ValueError("a window needs points or boxes")
        return Windows(torch.cat(corners, 1), torch.cat(counts, 1), frame_size)

    def within(self, windows: Windows) -> LevelPrompts:
        """Bring prompts into their windows; clicks that lie outside become padding.

        Parameters
        ----------
        windows : Windows
            One a prompt.

        Returns
        -------
        LevelPrompts
            In pixels of the windows.
        """
        start = windows.start[:, None]  # (B, 1, 2)
        points, labels = self.points, self.labels
        if points is not None and labels is not None:
            points = points - start
            labels = torch.where(windows.contain(points), labels, PADDING_LABEL)
        return replace(
            self,
            points=points,
            labels=labels,
            boxes=None if self.boxes is None else self.boxes - start.repeat(1, 1, 2),
            mask_logits=None if self.mask_logits is None else windows.cut_logits(self.mask_logits),
        )
