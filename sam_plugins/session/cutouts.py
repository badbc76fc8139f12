"""Masks of objects in images of any size: only the box that they lie in is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.masks import rle

# x0, y0, x1, y1 in pixels; the last row and column are not in it.
Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Cutout:
    """A mask in a box of an image.

    Parameters
    ----------
    mask : ndarray of shape (h, w), bool
        Nothing of the object lies outside of it.
    corner : tuple of int
        (x, y) of its first pixel in the image.
    """

    mask: NDArray[np.bool_]
    corner: tuple[int, int] = (0, 0)

    @property
    def box(self) -> Box:
        """Where it lies."""
        (x, y), (height, width) = self.corner, self.mask.shape
        return x, y, x + width, y + height

    @property
    def area(self) -> int:
        """In pixels."""
        return int(np.count_nonzero(self.mask))

    def tight(self) -> Cutout:
        """Cut away empty rows and columns.

        Returns
        -------
        Cutout
            Of shape (0, 0) if the mask is empty.

        Examples
        --------
        >>> mask = np.zeros((50, 60), dtype=bool)
        >>> mask[10:12, 20:25] = True
        >>> Cutout(mask, (100, 0)).tight().box
        (120, 10, 125, 12)
        """
        rows = np.flatnonzero(self.mask.any(axis=1))
        if not len(rows):
            return Cutout(np.zeros((0, 0), dtype=bool), self.corner)
        top, bottom = rows[0], rows[-1] + 1
        columns = np.flatnonzero(self.mask[top:bottom].any(axis=0))
        left, right = columns[0], columns[-1] + 1
        x, y = self.corner
        return Cutout(self.mask[top:bottom, left:right], (int(x + left), int(y + top)))

    @classmethod
    def from_rle(cls, encoded: dict[str, Any]) -> Cutout:
        """Cut a run-length encoded mask to its box, without unrolling the rest of it.

        Parameters
        ----------
        encoded : dict
            COCO RLE, compressed or not.

        Returns
        -------
        Cutout
            Tight.
        """
        height = int(encoded["size"][0])
        runs = rle.to_runs(encoded)
        edges = np.concatenate([[0], np.cumsum(runs)])
        # Foreground begins after the first run and ends with the last run of an odd index.
        first, last = int(edges[min(1, len(runs))]), int(edges[len(runs) // 2 * 2])
        if last <= first:
            return cls(np.zeros((0, 0), dtype=bool))
        left, right = first // height, (last - 1) // height + 1
        lengths = np.diff(edges.clip(left * height, right * height))
        columns = np.repeat(np.arange(len(runs)) % 2 == 1, lengths)
        return cls(columns.reshape(right - left, height).T, (left, 0)).tight()

    def within(self, box: Box) -> NDArray[np.bool_]:
        """Give the mask in another box of the image.

        Parameters
        ----------
        box : tuple of int
            x0, y0, x1, y1; may reach beyond the cutout.

        Returns
        -------
        ndarray of shape (y1 - y0, x1 - x0), bool
        """
        x0, y0, x1, y1 = box
        left, top, right, bottom = self.box
        whole = np.zeros((y1 - y0, x1 - x0), dtype=bool)
        xs, ys = (max(left, x0), min(right, x1)), (max(top, y0), min(bottom, y1))
        if xs[0] < xs[1] and ys[0] < ys[1]:
            part = self.mask[ys[0] - top : ys[1] - top, xs[0] - left : xs[1] - left]
            whole[ys[0] - y0 : ys[1] - y0, xs[0] - x0 : xs[1] - x0] = part
        return whole

    def whole(self, image_size: tuple[int, int]) -> NDArray[np.bool_]:
        """Give the mask of the whole image.

        Parameters
        ----------
        image_size : tuple of int
            (H, W).

        Returns
        -------
        ndarray of shape (H, W), bool
        """
        return self.within((0, 0, image_size[1], image_size[0]))

    def joined(self, other: Cutout) -> Cutout:
        """Join two masks.

        Parameters
        ----------
        other : Cutout

        Returns
        -------
        Cutout
        """
        a, b = self.box, other.box
        box = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
        return Cutout(self.within(box) | other.within(box), box[:2])

    def as_json(self) -> dict[str, Any]:
        """Write it as JSON values: COCO RLE and a corner."""
        return {"mask": rle.encode(self.mask), "corner": list(self.corner)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Cutout:
        """Read what `as_json` wrote.

        Parameters
        ----------
        content : dict

        Returns
        -------
        Cutout
        """
        x, y = content["corner"]
        return cls(rle.decode(content["mask"]), (int(x), int(y)))
