"""What a person has said about the current object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_plugins.errors import InvalidPromptError
from sam_plugins.prompts import Prompt
from sam_plugins.session.cutouts import Cutout
from sam_plugins.session.regions import Region

# A scribble becomes this many points at most, evenly spaced along it.
SCRIBBLE_POINTS = 6

# A scribble whose ends are nearer than this share of its length is a loop: its inside counts.
LOOP = 0.2

# Half the width of an open scribble's mask, as a share of its length, and at least in pixels.
SCRIBBLE_WIDTH, LEAST_SCRIBBLE_WIDTH = 0.05, 2


@dataclass(frozen=True, eq=False)
class PromptState:
    """Points, boxes and a mask about one object.

    Parameters
    ----------
    points : tuple of (float, float)
        x, y in pixels of the image.
    labels : tuple of int
        1 for foreground, 0 for background.
    boxes : tuple of (float, float, float, float)
        x0, y0, x1, y1 in pixels of the image.
    mask : Cutout, optional
        A scribble, a proposal, or an object that was taken up again.
    """

    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    mask: Cutout | None = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PromptState):
            return NotImplemented
        return self.as_json() == other.as_json()

    __hash__ = None  # type: ignore[assignment]

    @property
    def empty(self) -> bool:
        """Whether nothing was said."""
        return not self.points and not self.boxes and self.mask is None

    def with_point(self, x: float, y: float, *, foreground: bool) -> PromptState:
        """Add a click.

        Parameters
        ----------
        x, y : float
            In pixels of the image.
        foreground : bool
            In the object, or beside it.

        Returns
        -------
        PromptState
        """
        return replace(self, points=(*self.points, (x, y)), labels=(*self.labels, int(foreground)))

    def with_box(self, box: tuple[float, float, float, float]) -> PromptState:
        """Add a box.

        Parameters
        ----------
        box : tuple of float
            Two opposite corners, x0, y0, x1, y1, in any order.

        Returns
        -------
        PromptState
        """
        x0, y0, x1, y1 = box
        ordered = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        return replace(self, boxes=(*self.boxes, ordered))

    def with_scribble(
        self, path: ArrayLike, image_size: tuple[int, int], *, foreground: bool
    ) -> PromptState:
        """Add a scribble: points along it, and, if it lies in the object, a mask.

        Parameters
        ----------
        path : array-like of shape (N, 2)
            x, y in pixels of the image; N is 2 or more.
        image_size : tuple of int
            (H, W).
        foreground : bool
            In the object, or beside it.

        Returns
        -------
        PromptState

        Raises
        ------
        InvalidPromptError
            If the path is of another shape.
        """
        line = np.asarray(path, dtype=float)
        if line.ndim != 2 or line.shape[1] != 2 or len(line) < 2:
            raise InvalidPromptError(f"a scribble has shape (N, 2), N >= 2, got {line.shape}")
        chosen = np.linspace(0, len(line) - 1, min(SCRIBBLE_POINTS, len(line))).round().astype(int)
        state = self
        for x, y in line[chosen]:
            state = state.with_point(float(x), float(y), foreground=foreground)
        if not foreground:
            return state
        drawn = scribble_mask(line, image_size)
        return replace(state, mask=drawn if self.mask is None else self.mask.joined(drawn))

    def prompt(self, region: Region, logits: NDArray[np.float32] | None = None) -> Prompt:
        """Say it to the engine.

        Parameters
        ----------
        region : Region
            What is embedded.
        logits : ndarray of shape (h, w), optional
            The low-resolution logits of the last answer about this object and region; they take
            the place of the mask.

        Returns
        -------
        Prompt
            In pixels of the region.
        """
        said = Prompt(
            points=np.array(self.points, np.float32) if self.points else None,
            labels=np.array(self.labels, np.int64) if self.labels else None,
            boxes=np.array(self.boxes, np.float32) if self.boxes else None,
            mask=logits,
        )
        return region.prompt(said, self.mask if logits is None else None)

    def as_json(self) -> dict[str, Any]:
        """Write it as JSON values: points, labels, boxes, and the mask as COCO RLE."""
        return {
            "points": [list(point) for point in self.points],
            "labels": list(self.labels),
            "boxes": [list(box) for box in self.boxes],
            "mask": None if self.mask is None else self.mask.as_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> PromptState:
        """Read what `as_json` wrote.

        Parameters
        ----------
        content : dict

        Returns
        -------
        PromptState
        """
        x0y0x1y1 = [(float(a), float(b), float(c), float(d)) for a, b, c, d in content["boxes"]]
        return cls(
            points=tuple((float(x), float(y)) for x, y in content["points"]),
            labels=tuple(int(label) for label in content["labels"]),
            boxes=tuple(x0y0x1y1),
            mask=None if content["mask"] is None else Cutout.from_json(content["mask"]),
        )


def scribble_mask(line: NDArray[np.floating], image_size: tuple[int, int]) -> Cutout:
    """Draw a scribble: the inside of a loop, or a stroke.

    Parameters
    ----------
    line : ndarray of shape (N, 2)
        x, y in pixels of the image.
    image_size : tuple of int
        (H, W).

    Returns
    -------
    Cutout
    """
    # Heavy, and needed by scribbles alone.
    from scipy import ndimage
    from skimage import draw
    from skimage.morphology import disk

    length = float(np.hypot(*np.diff(line, axis=0).T).sum())
    width = max(LEAST_SCRIBBLE_WIDTH, round(SCRIBBLE_WIDTH * length))
    # Only about the scribble: the image may be large.
    low = np.floor(line.min(axis=0)).astype(int) - width
    high = np.ceil(line.max(axis=0)).astype(int) + width + 1
    inside = line - low
    size = int(high[1] - low[1]), int(high[0] - low[0])
    if len(line) > 2 and np.hypot(*(line[-1] - line[0])) < LOOP * length:
        mask = draw.polygon2mask(size, inside[:, ::-1])
    else:
        mask = np.zeros(size, dtype=bool)
        for (x0, y0), (x1, y1) in pairwise(inside):
            mask[draw.line(*(round(each) for each in (y0, x0, y1, x1)))] = True
        mask = ndimage.binary_dilation(mask, disk(width))
    x0, y0 = max(0, -int(low[0])), max(0, -int(low[1]))
    x1, y1 = min(size[1], image_size[1] - int(low[0])), min(size[0], image_size[0] - int(low[1]))
    kept = mask[y0 : max(y1, y0), x0 : max(x1, x0)]
    return Cutout(kept, (int(low[0]) + x0, int(low[1]) + y0)).tight()
