"""``Prompt``: what a person said about one object. Validated once, here.

Coordinates are x then y, in pixels of the original image: (0, 0) is the upper left corner of the
upper left pixel and (W, H) the lower right corner of the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sam_plugins.errors import InvalidPromptError

FOREGROUND = 1
BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class Prompt:
    """Points, boxes, a mask and text about one object, in any combination.

    Parameters
    ----------
    points : array-like of shape (N, 2), float, optional
        x then y, in pixels of the original image.
    labels : array-like of shape (N,), int, optional
        1 for foreground, 0 for background. All foreground if omitted.
    boxes : array-like of shape (M, 4) or (4,), float, optional
        x0, y0, x1, y1 with x0 <= x1 and y0 <= y1, in pixels of the original image. Several boxes
        describe one object together; for one mask a box, make one prompt a box.
    mask : ndarray of shape (H, W), bool, or (h, w), float, optional
        Either a boolean mask of the original image's size, or the low-resolution logits of an
        earlier prediction for the same image (see `Prediction.low_resolution_logits`).
    text : str, optional
        A phrase that names the object.

    Raises
    ------
    InvalidPromptError
        If a shape, label or number is not as described above.

    Notes
    -----
    The arrays are copied, cast (float32 coordinates, since Apple GPUs have no float64) and made
    read-only. Whether the coordinates lie in the image is checked by `check_inside`, because a
    prompt does not know its image.

    Examples
    --------
    >>> prompt = Prompt(points=[[10, 20], [30, 40]], labels=[1, 0])
    >>> prompt.points.dtype, prompt.count
    (dtype('float32'), 2)
    >>> Prompt(points=[[10, 20]], labels=[7])
    Traceback (most recent call last):
        ...
    sam_plugins.errors.InvalidPromptError: point label 7 must be 1 (foreground) or 0 (background)
    """

    points: NDArray[np.float32] | None = None
    labels: NDArray[np.int64] | None = None
    boxes: NDArray[np.float32] | None = None
    mask: NDArray[Any] | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        points = _coordinates(self.points, "points", 2)
        fields: dict[str, Any] = {
            "points": points,
            "labels": _labels(self.labels, 0 if points is None else len(points)),
            "boxes": _boxes(self.boxes),
            "mask": _mask(self.mask),
            "text": _text(self.text),
        }
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def empty(self) -> bool:
        """Whether nothing was said. Predicting from an empty prompt is an error."""
        return self.count == 0

    @property
    def count(self) -> int:
        """How many separate hints there are: each point, each box, a mask and a text count one."""
        points = 0 if self.points is None else len(self.points)
        boxes = 0 if self.boxes is None else len(self.boxes)
        return points + boxes + (self.mask is not None) + (self.text is not None)

    def check_inside(self, image_size: tuple[int, int]) -> None:
        """Raise if a coordinate lies outside an image or the boolean mask is of another size.

        Parameters
        ----------
        image_size : tuple of int
            (H, W) of the original image, in pixels.

        Raises
        ------
        InvalidPromptError
            Names the first point or box outside, or both sizes of the mask.
        """
        height, width = image_size
        limit = np.array([width, height], dtype=np.float32)
        for name, corners in (("point", self.points), ("box", self.boxes)):
            if corners is None:
                continue
            pairs = corners.reshape(len(corners), -1, 2)
            outside = ((pairs < 0) | (pairs > limit)).any(axis=(1, 2))
            if outside.any():
                values = ", ".join(f"{value:g}" for value in corners[outside][0])
                raise InvalidPromptError(
                    f"{name} ({values}) lies outside the image, which is {width} pixels wide "
                    f"and {height} high"
                )
        if self.mask is not None and self.mask.dtype == bool and self.mask.shape != (height, width):
            raise InvalidPromptError(
                f"the mask is {_size(self.mask.shape)} but the image is {_size((height, width))} "
                "(height x width)"
            )


def _size(shape: Sequence[int]) -> str:
    return " x ".join(str(side) for side in shape)


def _coordinates(value: ArrayLike | None, name: str, columns: int) -> NDArray[np.float32] | None:
    if value is None:
        return None
    try:
        with np.errstate(over="ignore"):  # infinite then, and refused below
            array = np.array(np.asarray(value), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidPromptError(f"{name} must be numbers, got {value!r}") from error
    if array.size == 0:
        return None
    if array.ndim == 1 and len(array) == columns:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != columns:
        raise InvalidPromptError(
            f"{name} must have the shape (N, {columns}), got {tuple(array.shape)}"
        )
    if not np.isfinite(array).all():
        row = array[~np.isfinite(array).all(axis=1)][0]
        raise InvalidPromptError(f"{name} must be finite numbers, got {row.tolist()}")
    return array


def _labels(value: ArrayLike | None, count: int) -> NDArray[np.int64] | None:
    if value is None:
        return np.full(count, FOREGROUND, dtype=np.int64) if count else None
    given = np.atleast_1d(np.asarray(value))
    if given.shape != (count,):
        raise InvalidPromptError(
            f"there must be one label a point: {count} points, labels of shape {given.shape}"
        )
    if not count:
        return None
    for label in given.tolist():
        if label not in (FOREGROUND, BACKGROUND):
            raise InvalidPromptError(
                f"point label {label!r} must be 1 (foreground) or 0 (background)"
            )
    return given.astype(np.int64)


def _boxes(value: ArrayLike | None) -> NDArray[np.float32] | None:
    boxes = _coordinates(value, "boxes", 4)
    if boxes is None:
        return None
    wrong = (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
    if wrong.any():
        values = ", ".join(f"{value:g}" for value in boxes[wrong][0])
        raise InvalidPromptError(f"box ({values}) must be x0, y0, x1, y1 with x0 <= x1, y0 <= y1")
    return boxes


def _mask(value: ArrayLike | None) -> NDArray[Any] | None:
    if value is None:
        return None
    array = np.asarray(value).copy()
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or array.size == 0:
        raise InvalidPromptError(f"the mask must have two axes (H, W), got the shape {array.shape}")
    if array.dtype == bool:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidPromptError(
            f"the mask must be bool (a mask) or float (low-resolution logits), got {array.dtype}"
        )
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InvalidPromptError("the mask's logits must be finite numbers")
    return array


def _text(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidPromptError(f"the text must be a string, got {type(value).__name__}")
    if not value.strip():
        raise InvalidPromptError("the text is empty")
    return value.strip()
