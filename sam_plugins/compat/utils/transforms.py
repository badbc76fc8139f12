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
        """Resize an image, as the reference does by Pillow's antialiased bilinear filter.

        Parameters
        ----------
        image : ndarray of shape (H, W, C), uint8
            The original image.

        Returns
        -------
        ndarray of shape (h, w, C), uint8
            Its long side is ``target_length``.
        """
        # A copy, because PyTorch warns of arrays that cannot be written to.
        return np.array(self._frame(image.shape[:2]).resize_image(np.ascontiguousarray(image)))

    def apply_coords(
        self, coords: NDArray[np.floating], original_size: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Scale points from original pixels to the resized image's.

        Parameters
        ----------
        coords : ndarray of shape (..., 2)
            x then y, in pixels of the original image.
        original_size : tuple of int
            (H, W) of the original image.

        Returns
        -------
        ndarray of shape (..., 2), float64
        """
        return np.asarray(coords, dtype=np.float64) * np.array(self._frame(original_size).scale)

    def apply_boxes(
        self, boxes: NDArray[np.floating], original_size: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Scale boxes from original pixels to the resized image's.

        Parameters
        ----------
        boxes : ndarray of shape (N, 4) or (4,)
            x0, y0, x1, y1, in pixels of the original image.
        original_size : tuple of int
            (H, W) of the original image.

        Returns
        -------
        ndarray of shape (N, 4), float64
        """
        return self.apply_coords(np.reshape(boxes, (-1, 2, 2)), original_size).reshape(-1, 4)

    def apply_image_torch(self, image: Tensor) -> Tensor:
        """Resize images on their device; the values may differ slightly from `apply_image`'s.

        Parameters
        ----------
        image : Tensor of shape (B, C, H, W), float
            Original images of one size.

        Returns
        -------
        Tensor of shape (B, C, h, w), float
            Their long side is ``target_length``.
        """
        size = self._frame(tuple(image.shape[2:])).input_size
        return functional.interpolate(
            image, size, mode="bilinear", align_corners=False, antialias=True
        )

    def apply_coords_torch(self, coords: Tensor, original_size: tuple[int, ...]) -> Tensor:
        """Scale points from original pixels to the resized image's.

        Parameters
        ----------
        coords : Tensor of shape (..., 2)
            x then y, in pixels of the original image.
        original_size : tuple of int
            (H, W) of the original image.

        Returns
        -------
        Tensor of shape (..., 2), float32
        """
        scale = self._frame(original_size).scale
        return coords.float() * torch.tensor(scale, dtype=torch.float32, device=coords.device)

    def apply_boxes_torch(self, boxes: Tensor, original_size: tuple[int, ...]) -> Tensor:
        """Scale boxes from original pixels to the resized image's.

        Parameters
        ----------
        boxes : Tensor of shape (N, 4) or (4,)
            x0, y0, x1, y1, in pixels of the original image.
        original_size : tuple of int
            (H, W) of the original image.

        Returns
        -------
        Tensor of shape (N, 4), float32
        """
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(height: int, width: int, long_side_length: int) -> tuple[int, int]:
        """Give an image's size after resizing.

        Parameters
        ----------
        height, width : int
            Sides of the original image, in pixels.
        long_side_length : int
            Length of the long side after resizing, in pixels.

        Returns
        -------
        tuple of int
            (h, w), in pixels.
        """
        return Frame((height, width), long_side_length).input_size

    def _frame(self, size: tuple[int, ...]) -> Frame:
        return Frame((int(size[0]), int(size[1])), self.target_length)
