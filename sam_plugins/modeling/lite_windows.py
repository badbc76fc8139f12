"""Windows: the part of a frame in which the small model looks for an object at a fine level.

The model learns from crops. A window of their size about the prompt is what it knows best, and a
click costs a quarter of what the whole frame would.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sam_plugins.modeling.cpu import above

# Pixels of a window along each axis: the crops that the model learns from.
WINDOW = 256

# The strides of the maps that are cut; windows begin at multiples of the coarsest.
STRIDES = (16, 8, 4, 2)

# One map (I, C, h, w) of all images, or a list of each image's own (1, C, h, w).
Maps = Tensor | list[Tensor]

# What logits are outside of a window: certainly nothing.
OUTSIDE = -20.0


class Windows:
    """One window a prompt, all of one size, about the middle of what was prompted.

    Parameters
    ----------
    corners : Tensor of shape (B, T, 2)
        Clicks and corners of boxes, x then y, in frame pixels.
    counts : Tensor of shape (B, T), bool
        Which of them the window is laid about; at least one a prompt, or it lies anywhere.
    frame_size : tuple of int
        (H, W) of the frame, multiples of 32.

    Attributes
    ----------
    start : Tensor of shape (B, 2), int64
        Left and top of each window, in frame pixels.
    size : tuple of int
        (H, W) of the windows, in frame pixels.
    """

    def __init__(self, corners: Tensor, counts: Tensor, frame_size: tuple[int, int]) -> None:
        self.frame_size = frame_size
        height, width = (min(WINDOW, side) for side in frame_size)
        self.size = height, width
        counts = counts[..., None]
        low = torch.where(counts, corners, torch.inf).amin(1)  # (B, 2)
        high = torch.where(counts, corners, -torch.inf).amax(1)
        room = corners.new_tensor([frame_size[1] - width, frame_size[0] - height])
        wanted = (low + high) / 2 - corners.new_tensor([width, height]) / 2
        on_grid = (wanted.nan_to_num() / STRIDES[0]).round() * STRIDES[0]
        self.start = torch.minimum(on_grid.clamp(min=0), room).long()

    def cut(self, features: tuple[Tensor, ...]) -> tuple[list[Tensor], ...]:
        """Cut each prompt's window from an image's maps, without copying anything.

        Parameters
        ----------
        features : tuple of Tensor
            Maps of shape (1 or B, C, H / s, W / s) at the strides s = 16, 8, 4, 2: of one image,
            or of one a prompt.

        Returns
        -------
        tuple of list of Tensor
            At each stride, B maps of shape (1, C, h / s, w / s).
        """
        maps = []
        for stride, feature in zip(STRIDES, features, strict=True):
            places = self._places(stride)
            images = one_a_prompt(feature, len(places))
            pairs = zip(images, places, strict=True)
            maps.append([image[(..., *place)] for image, place in pairs])
        return tuple(maps)

    def cut_logits(self, logits: Tensor) -> Tensor:
        """Cut each prompt's window from its own logits.

        Parameters
        ----------
        logits : Tensor of shape (B, 1, H / 2, W / 2)
            Low-resolution logits of the frame.

        Returns
        -------
        Tensor of shape (B, 1, h / 2, w / 2)
        """
        places = self._places(2)
        return torch.stack(
            [each[(..., *place)] for each, place in zip(logits, places, strict=True)]
        )

    def paste_logits(self, logits: Tensor) -> Tensor:
        """Put logits of the windows into frames without anything else.

        Parameters
        ----------
        logits : Tensor of shape (B, K, h / 2, w / 2)

        Returns
        -------
        Tensor of shape (B, K, H / 2, W / 2)
        """
        height, width = self.frame_size
        frames = logits.new_full((*logits.shape[:2], height // 2, width // 2), OUTSIDE)
        for index, place in enumerate(self._places(2)):
            frames[(index, ..., *place)] = logits[index]
        return frames

    def contain(self, points: Tensor) -> Tensor:
        """Tell which points lie in their prompt's window.

        Parameters
        ----------
        points : Tensor of shape (B, N, 2)
            x then y, in pixels of the window.

        Returns
        -------
        Tensor of shape (B, N), bool
        """
        size = points.new_tensor([self.size[1], self.size[0]])
        return ((points >= -0.5) & (points < size - 0.5)).all(2)

    def cut_off(self, logits: Tensor) -> Tensor:
        """Measure how much of each mask lies at sides where its window, not the frame, ends.

        Parameters
        ----------
        logits : Tensor of shape (B, K, h / 2, w / 2)

        Returns
        -------
        Tensor of shape (B, K)
            Pixels of the mask at these sides, over the root of its area.
        """
        mask = above(logits.float(), 0)
        end = self.start + self.start.new_tensor([self.size[1], self.size[0]])
        frame = self.start.new_tensor([self.frame_size[1], self.frame_size[0]])
        left, top = (self.start > 0).unbind(1)  # (B,)
        right, bottom = (end < frame).unbind(1)
        sides = (
            mask[..., :, 0].sum(2) * left[:, None]
            + mask[..., :, -1].sum(2) * right[:, None]
            + mask[..., 0, :].sum(2) * top[:, None]
            + mask[..., -1, :].sum(2) * bottom[:, None]
        )  # (B, K)
        return sides / mask.sum((2, 3)).clamp(min=1).sqrt()

    def _places(self, stride: int) -> list[tuple[slice, slice]]:
        """Where the windows lie in a map of a stride: rows and columns."""
        height, width = (side // stride for side in self.size)
        starts = (self.start // stride).tolist()
        return [(slice(y, y + height), slice(x, x + width)) for x, y in starts]


def one_a_prompt(maps: Maps, prompts: int) -> list[Tensor]:
    """Give each prompt's map.

    Parameters
    ----------
    maps : Tensor of shape (1 or B, C, h, w), or list of Tensor
        Of one image, or of one a prompt.
    prompts : int
        How many there are: B.

    Returns
    -------
    list of Tensor
        B maps of shape (1, C, h, w), none of them a copy.
    """
    if isinstance(maps, list):
        return maps
    return [maps] * prompts if len(maps) == 1 else list(maps.split(1))
