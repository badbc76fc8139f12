"""``CroppedMask``: one object's mask with its place, in memory of the object's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidMaskError
from sam_plugins.frames import Frame
from sam_plugins.masks import rle as rle_codec
from sam_plugins.masks.boxes import mask_to_box


@dataclass(frozen=True, eq=False)
class CroppedMask:
    """A mask cut to the box around its foreground: what a click costs does not grow with the image.

    Parameters
    ----------
    origin : tuple of int
        x, y of the crop's upper left pixel in the image.
    pixels : ndarray of shape (h, w), bool
        The mask in the crop.

    Examples
    --------
    >>> mask = np.zeros((4, 6), dtype=bool)
    >>> mask[1:3, 2:5] = True
    >>> crop = CroppedMask.from_mask(mask)
    >>> crop.origin, crop.pixels.shape, crop.area
    ((2, 1), (2, 3), 6)
    """

    origin: tuple[int, int]
    pixels: NDArray[np.bool_]

    @classmethod
    def empty(cls) -> CroppedMask:
        """A mask without a pixel."""
        return cls((0, 0), np.zeros((0, 0), dtype=bool))

    @classmethod
    def from_mask(cls, mask: NDArray[Any], *, origin: tuple[int, int] = (0, 0)) -> CroppedMask:
        """Cut a mask to its foreground.

        Parameters
        ----------
        mask : ndarray of shape (H, W), bool or integer
            Everything that is not 0 is foreground.
        origin : tuple of int
            x, y of the mask's upper left pixel in the image.

        Returns
        -------
        CroppedMask
            With its own memory.
        """
        x0, y0, x1, y1 = (int(side) for side in mask_to_box(mask))
        pixels = np.array(mask[y0 : y1 + 1, x0 : x1 + 1] != 0)
        if not pixels.any():
            return cls.empty()
        return cls((origin[0] + x0, origin[1] + y0), pixels)

    @classmethod
    def from_rle(cls, rle: dict[str, Any], *, origin: tuple[int, int] = (0, 0)) -> CroppedMask:
        """Cut a run-length encoded mask to its foreground, without making it whole.

        Parameters
        ----------
        rle : dict
            COCO RLE, compressed or not.
        origin : tuple of int
            x, y of the encoded mask's upper left pixel in the image.

        Returns
        -------
        CroppedMask
        """
        height, _ = rle["size"]
        runs = rle_codec.to_runs(rle)
        edges = np.concatenate([[0], np.cumsum(runs)])
        first, last = int(edges[1]), int(edges[len(runs) // 2 * 2])
        if last <= first:
            return cls.empty()
        x0, x1 = first // height, (last - 1) // height + 1
        # Only the columns that have foreground are unrolled.
        cut = np.clip(edges, x0 * height, x1 * height)
        columns = np.repeat(np.arange(len(runs)) % 2 == 1, np.diff(cut))
        return cls.from_mask(
            columns.reshape(x1 - x0, height).T, origin=(origin[0] + x0, origin[1])
        )

    @classmethod
    def from_logits(
        cls,
        logits: NDArray[np.float32],
        frame: Frame,
        *,
        threshold: float = 0.0,
        origin: tuple[int, int] = (0, 0),
    ) -> CroppedMask:
        """Cut a predicted mask to its foreground, without making it whole.

        Parameters
        ----------
        logits : ndarray of shape (h, w), float32
            Low-resolution logits.
        frame : Frame
            How the image, or the region of it, lies in the model's frame.
        threshold : float
            Logits above it are foreground.
        origin : tuple of int
            x, y of the region's upper left pixel in the image.

        Returns
        -------
        CroppedMask
        """
        from sam_plugins.masks.streaming import summarize

        summary = summarize(logits[None], frame, threshold=threshold)
        return cls.from_rle(summary.rles[0], origin=origin)

    @cached_property
    def area(self) -> int:
        """Foreground, in pixels."""
        return int(self.pixels.sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the crop in the image, x1 and y1 exclusive."""
        height, width = self.pixels.shape
        x0, y0 = self.origin
        return x0, y0, x0 + width, y0 + height

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the crop in the image."""
        x0, y0, x1, y1 = self.box
        return slice(y0, y1), slice(x0, x1)

    def contains(self, x: float, y: float) -> bool:
        """Whether a point of the image lies on the foreground.

        Parameters
        ----------
        x, y : float
            In pixels of the image.

        Returns
        -------
        bool
        """
        x0, y0, x1, y1 = self.box
        column, row = int(np.floor(x)), int(np.floor(y))
        inside = x0 <= column < x1 and y0 <= row < y1
        return inside and bool(self.pixels[row - y0, column - x0])

    def clipped(self, box: tuple[int, int, int, int]) -> CroppedMask:
        """The part of the mask in a box.

        Parameters
        ----------
        box : tuple of int
            x0, y0, x1, y1 in pixels of the image, x1 and y1 exclusive.

        Returns
        -------
        CroppedMask
        """
        x, y = self.origin
        x0, y0, x1, y1 = box
        rows = slice(max(0, y0 - y), max(0, y1 - y))
        columns = slice(max(0, x0 - x), max(0, x1 - x))
        part = self.pixels[rows, columns]
        if part.shape == self.pixels.shape:
            return self
        return CroppedMask.from_mask(part, origin=(x + columns.start, y + rows.start)) if (
            part.size
        ) else CroppedMask.empty()

    def paste(self, size: tuple[int, int], *, offset: tuple[int, int] = (0, 0)) -> NDArray[np.bool_]:
        """The mask of a whole image or region.

        Parameters
        ----------
        size : tuple of int
            (H, W) of the image or region, in pixels.
        offset : tuple of int
            x, y of the region in the image.

        Returns
        -------
        ndarray of shape (H, W), bool
            What lies outside is left out.
        """
        height, width = size
        whole = np.zeros(size, dtype=bool)
        part = self.clipped((offset[0], offset[1], offset[0] + width, offset[1] + height))
        x0, y0, x1, y1 = part.box
        if part.area:
            rows = slice(y0 - offset[1], y1 - offset[1])
            whole[rows, x0 - offset[0] : x1 - offset[0]] = part.pixels
        return whole

    def encode(self) -> dict[str, Any]:
        """A form for JSON that `decode` reads: origin, size and runs.

        Returns
        -------
        dict
        """
        return {"origin": list(self.origin), **rle_codec.encode(self.pixels)}

    @classmethod
    def decode(cls, value: dict[str, Any]) -> CroppedMask:
        """Read what `encode` gave.

        Parameters
        ----------
        value : dict
            With ``origin``, ``size`` and ``counts``.

        Returns
        -------
        CroppedMask

        Raises
        ------
        InvalidMaskError
            If it is malformed.
        """
        try:
            x, y = (int(each) for each in value["origin"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidMaskError("a cropped mask needs an origin of two integers") from error
        return cls((x, y), np.ascontiguousarray(rle_codec.decode(value)))


def join_masks(masks: Sequence[CroppedMask]) -> CroppedMask:
    """The union of masks.

    Parameters
    ----------
    masks : sequence of CroppedMask
        May be empty.

    Returns
    -------
    CroppedMask
    """
    box = joint_box([mask for mask in masks if mask.area])
    if box is None:
        return CroppedMask.empty()
    x0, y0, x1, y1 = box
    union = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    for mask in masks:
        left, top, right, bottom = mask.box
        if mask.area:
            union[top - y0 : bottom - y0, left - x0 : right - x0] |= mask.pixels
    return CroppedMask((x0, y0), union)


def joint_box(masks: Sequence[CroppedMask]) -> tuple[int, int, int, int] | None:
    """The box around masks.

    Parameters
    ----------
    masks : sequence of CroppedMask
        None of them empty.

    Returns
    -------
    tuple of int or None
        x0, y0, x1, y1, x1 and y1 exclusive; None if there is no mask.
    """
    if not masks:
        return None
    boxes = np.array([mask.box for mask in masks])
    x0, y0 = (int(side) for side in boxes[:, :2].min(axis=0))
    x1, y1 = (int(side) for side in boxes[:, 2:].max(axis=0))
    return x0, y0, x1, y1
