"""Label images that a session writes to."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sam_plugins.session.cutouts import Box
from sam_plugins.session.patches import Patch


class Target(Protocol):
    """A label image, owned by the host."""

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W), in pixels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the labels."""

    def read(self, box: Box) -> NDArray[Any]:
        """Give the labels in a box.

        Parameters
        ----------
        box : tuple of int
            x0, y0, x1, y1; the last row and column are not in it.

        Returns
        -------
        ndarray of shape (y1 - y0, x1 - x0), integer
        """

    def write(self, patch: Patch) -> None:
        """Change labels.

        Parameters
        ----------
        patch : Patch
            What is to be written where.
        """

    def highest(self) -> int:
        """Give the highest label that is or was in use; it is asked before each new object."""


class ArrayTarget:
    """A label image in memory.

    Parameters
    ----------
    labels : ndarray of shape (H, W), integer
        Written to in place.

    Raises
    ------
    ValueError
        If it is not a label image.

    Examples
    --------
    >>> target = ArrayTarget(np.array([[0, 3], [0, 0]], dtype=np.uint16))
    >>> target.highest()
    3
    """

    def __init__(self, labels: NDArray[Any]) -> None:
        if labels.ndim != 2 or labels.dtype.kind not in "ui":
            raise ValueError(
                f"labels have shape (H, W) and integers, got {labels.shape} of {labels.dtype}"
            )
        self.labels = labels
        self._highest = int(labels.max(initial=0))

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W), in pixels."""
        height, width = self.labels.shape
        return height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the labels."""
        return self.labels.dtype

    def read(self, box: Box) -> NDArray[Any]:
        """Give the labels in a box.

        Parameters
        ----------
        box : tuple of int
            x0, y0, x1, y1; the last row and column are not in it.

        Returns
        -------
        ndarray of shape (y1 - y0, x1 - x0)
            A view.
        """
        x0, y0, x1, y1 = box
        return self.labels[y0:y1, x0:x1]

    def write(self, patch: Patch) -> None:
        """Change labels.

        Parameters
        ----------
        patch : Patch
            What is to be written where.
        """
        self.labels[patch.pixels] = patch.values
        self._highest = max(self._highest, int(patch.values.max(initial=0)))

    def highest(self) -> int:
        """Give the highest label that is or was in use.

        Returns
        -------
        int
        """
        return self._highest
