"""``Works``: the images that were annotated in this window, each found again when it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari_sam.work import Work

# Makes the work on an image, with channel axis and labels.
Make = Callable[[Any, int | None, Any], Work]


class Works:
    """What was begun and is not over.

    Parameters
    ----------
    make : callable
        Called with an image, its channel axis and labels, if there is no work on them yet.
    """

    def __init__(self, make: Make) -> None:
        self._make = make
        self._works: list[Work] = []

    def __iter__(self) -> Iterator[Work]:
        return iter(self._works)

    def on(self, image: Any, channel_axis: int | None, labels: Any, *, new_labels: bool) -> Work:
        """Find the work on an image, or begin it.

        Parameters
        ----------
        image : napari.layers.Image
        channel_axis : int or None
            Its axis that holds channels.
        labels : napari.layers.Labels or None
            Where objects go; None for where they went before.
        new_labels : bool
            Whether it must have no labels yet.

        Returns
        -------
        Work
        """
        for work in reversed(self._works):
            same = work.image == image and work.channel_axis == channel_axis
            fits = work.labels is None if new_labels else labels is None or work.labels == labels
            if same and fits:
                return work
        work = self._make(image, channel_axis, labels)
        self._works.append(work)
        return work

    def without(self, layer: Any) -> list[Work]:
        """End the work on a layer that is gone, or whose objects went there.

        Parameters
        ----------
        layer : napari.layers.Layer

        Returns
        -------
        list of Work
            What ended.
        """
        over = [
            work
            for work in self._works
            if work.image == layer or (work.labels is not None and work.labels == layer)
        ]
        for work in over:
            self._works.remove(work)
            work.close()
        return over

    def forget_answers(self) -> None:
        """Another model is to be asked about all objects under way."""
        for work in self._works:
            for session in work.sessions.values():
                session.forget_answers()

    def close(self) -> None:
        """End all work; labels stay."""
        for work in self._works:
            work.close()
        self._works.clear()
