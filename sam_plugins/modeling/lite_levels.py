"""Prompts of the small model at one of its levels, and in a window there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.lite_prompts import PADDING_LABEL
from sam_plugins.modeling.lite_windows import STRIDES, Maps, Windows, one_a_prompt


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

    @property
    def count(self) -> int:
        """How many prompts these are: B."""
        return next(len(x) for x in vars(self).values() if x is not None)

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


@dataclass(frozen=True, eq=False)
class LevelView:
    """What is looked at of one level, and what is asked there.

    Parameters
    ----------
    level : int
    maps : tuple of Tensor or of list of Tensor
        Maps of I images at the strides 16, 8, 4, 2: the level, or a window of it for each prompt.
    prompts : LevelPrompts
        In pixels of the maps' frame.
    origin : Tensor of shape (I, 2)
        Where in the level the maps begin, x then y, in pixels.
    windows : Windows, optional
        Where windows were cut.
    """

    level: int
    maps: tuple[Maps, ...]
    prompts: LevelPrompts
    origin: Tensor
    windows: Windows | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of the coarsest maps."""
        height, width = self.maps[0][0].shape[-2:]
        return height, width

    def to_frame(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Bring an answer back to the finest level's frame.

        Parameters
        ----------
        logits : Tensor of shape (B, K, h, w)
            At stride 2 of the maps' frame.

        Returns
        -------
        logits : Tensor of shape (B, K, H, W)
            At stride 2 of the finest level.
        cut_off : Tensor of shape (B, K)
            See `Windows.cut_off`; nothing is cut off where the whole level was looked at.
        """
        cut_off = logits.new_zeros(logits.shape[:2])
        if self.windows is not None:
            cut_off = self.windows.cut_off(logits).to(logits.dtype)
            logits = self.windows.paste_logits(logits)
        if self.level:
            logits = functional.interpolate(logits, scale_factor=2**self.level, mode="bilinear")
        return logits, cut_off


def look(features: tuple[Tensor, ...], prompts: LevelPrompts, level: int, levels: int) -> LevelView:
    """Look at a level: at the coarsest as a whole, at others through a window a prompt.

    Parameters
    ----------
    features : tuple of Tensor of shape (1 or B, C, h, w)
        Four maps for each level, the finest first; of one image, or of one a prompt.
    prompts : LevelPrompts
        In pixels of the finest level.
    level : int
    levels : int
        How many there are.

    Returns
    -------
    LevelView
    """
    maps = features[4 * level : 4 * level + 4]
    prompts = prompts.at_level(level)
    if level == levels - 1:
        return LevelView(level, maps, prompts, torch.zeros(1, 2, device=maps[0].device))
    height, width = maps[0].shape[-2:]
    windows = prompts.windows((STRIDES[0] * height, STRIDES[0] * width))
    origin = windows.start.float()
    return LevelView(level, windows.cut(maps), prompts.within(windows), origin, windows)


def join_views(views: Sequence[LevelView]) -> LevelView:
    """Join views of one size, to ask them in one call.

    Parameters
    ----------
    views : sequence of LevelView
        With the same B prompts each.

    Returns
    -------
    LevelView
        Only its maps, prompts and origin mean something; B prompts of each view, one view after
        the other.
    """
    count = views[0].prompts.count
    maps = [[one_a_prompt(x, count) for x in view.maps] for view in views]
    given = [name for name, x in vars(views[0].prompts).items() if x is not None]
    prompts = {name: torch.cat([getattr(view.prompts, name) for view in views]) for name in given}
    return LevelView(
        views[0].level,
        tuple(list(chain(*parts)) for parts in zip(*maps, strict=True)),
        LevelPrompts(**prompts),
        torch.cat([view.origin.expand(count, -1) for view in views]),
    )
