"""``Hints``: all that a person said about one object so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.masks.cropped import CroppedMask, join_masks
from sam_plugins.prompts import BACKGROUND, FOREGROUND, Prompt

Point = tuple[float, float]
Box = tuple[float, float, float, float]

# A scribble becomes this many points at most: more slow the decoder and say little new.
SCRIBBLE_POINTS = 6


@dataclass(frozen=True, eq=False)
class Hints:
    """Points, boxes and a mask about one object, in pixels of the plane.

    Parameters
    ----------
    points : tuple of (float, float)
        x, y each.
    labels : tuple of int
        1 for foreground, 0 for background, one a point.
    boxes : tuple of (float, float, float, float)
        x0, y0, x1, y1 each.
    mask : CroppedMask, optional
        What was scribbled, an object that is taken up again, or a proposal.
    """

    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: CroppedMask | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing was said."""
        return not (self.points or self.boxes or self.mask)

    @property
    def only_mask(self) -> bool:
        """Whether there is a mask and nothing else."""
        return self.mask is not None and not (self.points or self.boxes)

    @property
    def extent(self) -> Box | None:
        """x0, y0, x1, y1 around all hints; None if there are none."""
        corners = [*self.points]
        for x0, y0, x1, y1 in (*self.boxes, *([self.mask.box] if self.mask else [])):
            corners += [(x0, y0), (x1, y1)]
        if not corners:
            return None
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def with_point(self, x: float, y: float, *, label: int = FOREGROUND) -> Hints:
        """The same hints and one more point.

        Parameters
        ----------
        x, y : float
            In pixels.
        label : int
            1 for foreground, 0 for background.

        Returns
        -------
        Hints
        """
        return replace(
            self, points=(*self.points, (float(x), float(y))), labels=(*self.labels, label)
        )

    def with_box(self, box: Box) -> Hints:
        """The same hints and a box in place of an earlier one: an object has one box.

        Parameters
        ----------
        box : tuple of float
            Two opposite corners: x0, y0, x1, y1 in any order.

        Returns
        -------
        Hints
        """
        (x0, x1), (y0, y1) = sorted((box[0], box[2])), sorted((box[1], box[3]))
        return replace(self, boxes=((float(x0), float(y0), float(x1), float(y1)),))

    def with_scribble(
        self, stroke: Sequence[Point], *, label: int = FOREGROUND, width: float = 3.0
    ) -> Hints:
        """The same hints and a stroke, as points on it and as a mask.

        Parameters
        ----------
        stroke : sequence of (float, float)
            x, y of the points that the pointer went through.
        label : int
            1 if the stroke lies on the object, 0 if on the background.
        width : float
            Of the stroke, in pixels.

        Returns
        -------
        Hints
            A stroke on the background becomes points only, and is cut out of the mask.
        """
        path = np.asarray(stroke, dtype=np.float64).reshape(-1, 2)
        chosen = np.linspace(0, len(path) - 1, min(SCRIBBLE_POINTS, len(path))).round().astype(int)
        hints = self
        for x, y in path[np.unique(chosen)].tolist():
            hints = hints.with_point(x, y, label=label)
        painted = _paint(path, width)
        if label == FOREGROUND:
            known = [self.mask] if self.mask else []
            return replace(hints, mask=join_masks([*known, painted]))
        if self.mask is None:
            return hints
        x0, y0, x1, y1 = self.mask.box
        rest = self.mask.pixels & ~painted.paste((y1 - y0, x1 - x0), offset=(x0, y0))
        left = CroppedMask.from_mask(rest, origin=(x0, y0))
        return replace(hints, mask=left if left.area else None)

    def to_prompt(
        self,
        box: tuple[int, int, int, int],
        *,
        logits: NDArray[np.float32] | None = None,
    ) -> Prompt:
        """The prompt that asks a model about the region that was embedded.

        Parameters
        ----------
        box : tuple of int
            x0, y0, x1, y1 of the region, in pixels.
        logits : ndarray of shape (h, w), float32, optional
            Low-resolution logits of the answer before, for the same region; they take the mask's
            place.

        Returns
        -------
        Prompt
            In pixels of the region; what lies outside is moved to its border.
        """
        x0, y0, x1, y1 = box
        size = np.array([x1 - x0, y1 - y0], dtype=np.float64)
        points = np.array(self.points, dtype=np.float64).reshape(-1, 2) - (x0, y0)
        boxes = np.array(self.boxes, dtype=np.float64).reshape(-1, 2, 2) - (x0, y0)
        mask: NDArray[Any] | None = logits
        if mask is None and self.mask is not None:
            mask = self.mask.paste((y1 - y0, x1 - x0), offset=(x0, y0))
        return Prompt(
            points=points.clip(0, size) if self.points else None,
            labels=np.array(self.labels) if self.points else None,
            boxes=boxes.clip(0, size).reshape(-1, 4) if self.boxes else None,
            mask=mask,
        )

    def to_json(self) -> dict[str, Any]:
        """A form for JSON that `from_json` reads.

        Returns
        -------
        dict
            Without what there is none of.
        """
        value: dict[str, Any] = {}
        if self.points:
            value["points"] = [[round(x, 2), round(y, 2)] for x, y in self.points]
            value["labels"] = list(self.labels)
        if self.boxes:
            value["boxes"] = [[round(side, 2) for side in box] for box in self.boxes]
        if self.mask is not None:
            value["mask"] = self.mask.encode()
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Hints:
        """Read what `to_json` gave.

        Parameters
        ----------
        value : dict
            The hints.

        Returns
        -------
        Hints

        Raises
        ------
        ValueError
            If there is not one label a point, or a label is neither 1 nor 0.
        """
        points = tuple((float(x), float(y)) for x, y in value.get("points", ()))
        labels = tuple(int(label) for label in value.get("labels", ()))
        if len(labels) != len(points) or set(labels) - {FOREGROUND, BACKGROUND}:
            raise ValueError(f"there must be one label, 1 or 0, a point, got {labels}")
        return cls(
            points=points,
            labels=labels,
            boxes=tuple(
                (float(x0), float(y0), float(x1), float(y1))
                for x0, y0, x1, y1 in value.get("boxes", ())
            ),
            mask=CroppedMask.decode(value["mask"]) if "mask" in value else None,
        )


def _paint(path: NDArray[np.float64], width: float) -> CroppedMask:
    """The pixels of a stroke: those whose centre lies within half its width."""
    from scipy.spatial import cKDTree

    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    dense = [path[:1]]
    for start, stop, length in zip(path[:-1], path[1:], steps, strict=True):
        parts = max(2, int(np.ceil(length)) + 1)
        dense.append(np.linspace(start, stop, parts)[1:])
    points = np.concatenate(dense)
    radius = max(width / 2, 0.75)
    low = np.floor(points.min(axis=0) - radius).astype(int).clip(min=0)
    high = np.ceil(points.max(axis=0) + radius).astype(int).clip(min=1)
    x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    distance, _ = cKDTree(points).query(centres, distance_upper_bound=radius)
    return CroppedMask.from_mask(
        np.isfinite(distance).reshape(x.shape), origin=(int(low[0]), int(low[1]))
    )
