"""The reference's resizing helper, on `sam_plugins.frames`."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sam_plugins.frames import Frame


class ResizeLongestSide:
    """Resize images, points and boxes so that an image's long side has a given length.

    Parameters
    ----------
    target_length : int
        Length of the long side after resizing, in pixels: the model's frame.
    """

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    def apply_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize an image of shape (H, W, C), uint8."""
        return self._frame(image.shape[:2]).resize_image(np.ascontiguousarray(image))

    def apply_coords(
        self, coords: NDArray[np.floating], original_size: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Scale points (..., 2), x then y, of an image of ``original_size`` (H, W)."""
        return np.asarray(coords, dtype=np.float64) * np.array(self._frame(original_size).scale)

    def apply_boxes(
        self, boxes: NDArray[np.floating], original_size: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Scale boxes (N, 4), xyxy, of an image of ``original_size`` (H, W)."""
        return self.apply_coords(np.reshape(boxes, (-1, 2, 2)), original_size).reshape(-1, 4)

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Resize images of shape (B, C, H, W), float; may differ slightly from `apply_image`."""
        size = self._frame(tuple(image.shape[2:])).input_size
        return functional.interpolate(
            image, size, mode="bilinear", align_corners=False, antialias=True
        )

    def apply_coords_torch(self, coords: Tensor, original_size: tuple[int, ...]) -> Tensor:
        """Scale points (..., 2), x then y, of an image of ``original_size`` (H, W)."""
        scale = self._frame(original_size).scale
        return coords.float() * torch.tensor(scale, dtype=torch.float32, device=coords.device)

    def apply_boxes_torch(self, boxes: Tensor, original_size: tuple[int, ...]) -> Tensor:
        """Scale boxes (N, 4), xyxy, of an image of ``original_size`` (H, W)."""
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(height: int, width: int, long_side_length: int) -> tuple[int, int]:
        """Size (h, w) after resizing an image of size (height, width)."""
        return Frame((height, width), long_side_length).input_size

    def _frame(self, size: tuple[int, ...]) -> Frame:
        return Frame((int(size[0]), int(size[1])), self.target_length)
