"""Original pixels <-> the model's frame: the only place where coordinates are scaled.

The frame is a square of ``frame_size`` pixels. The image is resized so that its long side fills
the frame, and lies in the frame's upper left corner (paper, §A; 1024 pixels for SAM's models).
Low-resolution logits cover the whole frame at a stride (4 pixels for SAM's models).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_plugins.errors import InvalidImageError, InvalidPromptError

if TYPE_CHECKING:
    from torch import Tensor

# A boolean mask becomes logits of at most this size. The mask encoder saw unthresholded
# predictions in training; a hard +-infinity edge is unlike them and yields junk
# (facebookresearch/segment-anything, issue 169).
MASK_PROMPT_LOGIT = 7.0


@dataclass(frozen=True)
class Frame:
    """How one image lies in the model's frame.

    Parameters
    ----------
    image_size : tuple of int
        (H, W) of the original image, in pixels.
    frame_size : int
        Side of the model's square frame, in pixels.
    low_resolution_stride : int
        Frame pixels to one low-resolution logit along each axis.

    Raises
    ------
    InvalidImageError
        If a side of the image is empty or would shrink to nothing.

    Examples
    --------
    >>> frame = Frame((1200, 1800), 1024)
    >>> frame.input_size
    (683, 1024)
    >>> frame.points_to_frame(np.float32([[1800, 1200]])).tolist()
    [[1024.0, 683.0]]
    """

    image_size: tuple[int, int]
    frame_size: int
    low_resolution_stride: int = 4

    def __post_init__(self) -> None:
        height, width = self.image_size
        if height < 2 or width < 2 or min(self._unchecked_input_size()) < 1:
            raise InvalidImageError(
                f"an image of {height} x {width} pixels (height x width) cannot be segmented: "
                f"each side needs 2 pixels or more, also after resizing the long side to "
                f"{self.frame_size}"
            )

    def _unchecked_input_size(self) -> tuple[int, int]:
        height, width = self.image_size
        scale = self.frame_size / max(height, width, 1)
        # Rounded half up, as the reference does it.
        return int(height * scale + 0.5), int(width * scale + 0.5)

    @property
    def input_size(self) -> tuple[int, int]:
        """(h, w) of the resized image in the frame, in frame pixels."""
        return self._unchecked_input_size()

    @property
    def low_resolution_size(self) -> tuple[int, int]:
        """(h, w) of the low-resolution logits, which cover the whole frame."""
        side = self.frame_size // self.low_resolution_stride
        return side, side

    @property
    def scale(self) -> tuple[float, float]:
        """Frame pixels to one original pixel along x and along y."""
        return (
            self.input_size[1] / self.image_size[1],
            self.input_size[0] / self.image_size[0],
        )

    def points_to_frame(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scale points from original pixels to frame pixels.

        Parameters
        ----------
        points : ndarray of shape (..., 2)
            x then y, in original pixels.

        Returns
        -------
        ndarray of shape (..., 2), float32
            x then y, in frame pixels.
        """
        scaled = np.asarray(points, dtype=np.float64) * np.array(self.scale)
        return scaled.astype(np.float32)

    def boxes_to_frame(self, boxes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scale boxes from original pixels to frame pixels.

        Parameters
        ----------
        boxes : ndarray of shape (..., 4)
            x0, y0, x1, y1, in original pixels.

        Returns
        -------
        ndarray of shape (..., 4), float32
            x0, y0, x1, y1, in frame pixels.
        """
        pairs = np.asarray(boxes).reshape(*np.shape(boxes)[:-1], 2, 2)
        return self.points_to_frame(pairs).reshape(np.shape(boxes))

    def points_to_image(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Scale points from frame pixels to original pixels.

        Parameters
        ----------
        points : ndarray of shape (..., 2)
            x then y, in frame pixels.

        Returns
        -------
        ndarray of shape (..., 2), float32
            x then y, in original pixels.
        """
        scaled = np.asarray(points, dtype=np.float64) / np.array(self.scale)
        return scaled.astype(np.float32)

    def resize_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize an image so that its long side fills the frame.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB, of this frame's image size.

        Returns
        -------
        ndarray of shape (h, w, 3), uint8
            Of `input_size`; the same array if nothing is to be resized.

        Raises
        ------
        InvalidImageError
            If the image is of another size.

        Notes
        -----
        Bilinear with a triangle filter (antialiased), which is what the reference's preprocessing
        does to 8-bit images; other resizing changes the masks.
        """
        if image.shape[:2] != self.image_size:
            raise InvalidImageError(
                f"the image is {image.shape[:2]} but this frame was made for {self.image_size}"
            )
        height, width = self.input_size
        if (height, width) == image.shape[:2]:
            return image
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized)

    def mask_to_logits(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Turn a boolean mask of shape (H, W) into low-resolution logits of shape (h, w).

        Parameters
        ----------
        mask : ndarray of shape (H, W), bool
            In original pixels.

        Returns
        -------
        ndarray of shape (h, w), float32
            Logits of -7 to 7 for the whole frame; outside the image those of background.

        Raises
        ------
        InvalidPromptError
            If the mask is not of the image's size.

        Notes
        -----
        A logit covers ``low_resolution_stride`` frame pixels along each axis, so the mask is
        averaged over exactly the original pixels below it; at the right and lower border, over
        those that the image has. A covered part f then becomes 7 d / (2 - abs(d)) with d = 2 f - 1:
        bilinear interpolation, which `upsample` does, brings a straight edge back to where it was.
        """
        if mask.shape != self.image_size:
            raise InvalidPromptError(f"the mask is {mask.shape} but the image {self.image_size}")
        rows, columns = (
            self._cell_edges(inside, side)
            for inside, side in zip(self.input_size, self.image_size, strict=True)
        )
        covered = _means(_means(mask.view(np.uint8), rows).T, columns).T
        balance = 2 * covered - 1
        logits = np.full(self.low_resolution_size, -MASK_PROMPT_LOGIT, dtype=np.float32)
        inside = logits[: len(rows) - 1, : len(columns) - 1]
        inside[...] = MASK_PROMPT_LOGIT * balance / (2 - np.abs(balance))
        return logits

    def _cell_edges(self, inside: int, side: int) -> NDArray[np.float64]:
        """Edges, in original pixels, of the low-resolution cells that the image touches.

        ``inside`` frame pixels show ``side`` original ones; the last cell may be cut off.
        """
        stride = self.low_resolution_stride
        edges = np.minimum(np.arange(0, inside + stride, stride), inside)
        return np.minimum(edges * (side / inside), side)

    def upsample(self, logits: Tensor) -> Tensor:
        """Bring low-resolution logits to the original image's size.

        Parameters
        ----------
        logits : Tensor of shape (K, h, w)
            They cover the whole frame.

        Returns
        -------
        Tensor of shape (K, H, W), float32
            They cover the original image.

        Notes
        -----
        Two bilinear steps as in the reference: to the frame, cut to the image, then to the
        original size.
        """
        from torch.nn import functional

        frame = (self.frame_size, self.frame_size)
        height, width = self.input_size
        in_frame = functional.interpolate(
            logits[None].float(), frame, mode="bilinear", align_corners=False
        )  # (1, K, F, F)
        in_image = functional.interpolate(
            in_frame[..., :height, :width], self.image_size, mode="bilinear", align_corners=False
        )  # (1, K, H, W)
        return in_image[0]

    def mask_at_image_size(self, logits: Tensor, threshold: float = 0.0) -> Tensor:
        """Bring low-resolution logits to the original image's size and threshold them.

        Parameters
        ----------
        logits : Tensor of shape (K, h, w)
            They cover the whole frame.
        threshold : float
            Logits above it are foreground.

        Returns
        -------
        Tensor of shape (K, H, W), bool
        """
        return self.upsample(logits) > threshold


def _means(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average rows (N, M) between fractional edges (K + 1,) that rise from 0 to N: (K, M).

    A row that an edge cuts counts on both sides, by its parts.
    """
    below = edges.astype(np.int64)
    starts = np.unique(below[below < len(values)])
    totals = np.zeros((len(starts) + 1, values.shape[1]))
    # Ones are counted exactly by float32 up to 2**24, and more than twice as fast as by integers.
    counting = np.float32 if values.dtype == np.uint8 else np.float64
    np.cumsum(np.add.reduceat(values, starts, axis=0, dtype=counting), axis=0, out=totals[1:])
    cut = values[np.minimum(below, len(values) - 1)]
    until = totals[np.searchsorted(starts, below)] + (edges - below)[:, None] * cut
    return np.diff(until, axis=0) / np.diff(edges)[:, None]
