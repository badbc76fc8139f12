"""``Work``: one image under annotation: a session a slice, its labels, its journals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.classes import Classes
from napari_sam.geometry import image_shape, transform_of
from sam_plugins.regions import ImageStack, Plane, pixels_at, plane_index, plane_size
from sam_plugins.session import ObjectRecord, Patch, Session
from sam_plugins.session.store import SessionFolder, image_key, journals_in

if TYPE_CHECKING:
    from pathlib import Path

    import napari

# napari draws labels of up to 16 bits without copying them; 65535 objects are enough for most.
LABEL_DTYPE = np.dtype(np.uint16)

Box = tuple[int, int, int, int]


@dataclass(eq=False)
class Work:
    """One image under annotation.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : napari.layers.Image
        The image.
    complain : callable
        Called with a problem that does not stop the work, such as a full disk.
    classes : Classes
        The window's.
    on_drawn : callable
        Called whenever the labels are drawn anew, by whoever changed them.
    channel_axis : int, optional
        Its axis that holds channels.
    labels : napari.layers.Labels, optional
        Where objects go; made at the first commit if omitted.
    """

    viewer: napari.Viewer
    image: Any
    complain: Callable[[Exception], None]
    classes: Classes
    on_drawn: Callable[[], None]
    channel_axis: int | None = None
    labels: Any = None
    folder: SessionFolder = field(init=False)
    sessions: dict[Plane, Session] = field(init=False, default_factory=dict)
    highest: int | None = field(init=False, default=None)
    _came_with: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        source = str(getattr(self.image.source, "path", None) or self.image.name)
        key = image_key(self.stack, source=source)
        self.folder = SessionFolder(key, complain=self.complain)
        if self.labels is not None:
            self._watch()

    def _watch(self) -> None:
        self.labels.events.paint.connect(self._on_paint)
        self.labels.events.set_data.connect(self._on_drawn)

    def _on_drawn(self, event: Any) -> None:
        self.on_drawn()

    @property
    def stack(self) -> ImageStack:
        """The image as it is read."""
        levels = tuple(self.image.data) if self.image.multiscale else (self.image.data,)
        return ImageStack(levels, rgb=bool(self.image.rgb), channel_axis=self.channel_axis)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides of the label image's axes."""
        return image_shape(self.image, self.channel_axis)

    @property
    def transform(self) -> dict[str, Any]:
        """Where the image lies in the world."""
        return transform_of(self.image, self.channel_axis)

    def session(self, plane: Plane) -> Session:
        """The session of a slice.

        Parameters
        ----------
        plane : tuple of int or None
            The slice.

        Returns
        -------
        Session
        """
        if plane not in self.sessions:
            target = SliceTarget(self, plane)
            journal = self.folder.journal(plane)
            self.sessions[plane] = Session(target, journal=journal, key=str(plane))
        return self.sessions[plane]

    def objects(self) -> Iterator[tuple[Plane, ObjectRecord]]:
        """All objects of all slices.

        Yields
        ------
        plane : tuple of int or None
        record : ObjectRecord
        """
        for plane, session in self.sessions.items():
            for record in session.objects.values():
                yield plane, record

    # ---- the labels ------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the labels layer if there is none."""
        if self.labels is not None:
            return
        active = self.viewer.layers.selection.active
        self.labels = self.viewer.add_labels(
            np.zeros(self.shape, dtype=LABEL_DTYPE),
            name=f"{self.image.name} objects",
            **self.transform,
        )
        layers = self.viewer.layers
        layers.move(layers.index(self.labels), layers.index(self.image) + 1)
        layers.selection.active = active
        self.highest = self.highest or 0
        self._watch()

    def taken(self) -> int:
        """The highest label that is or was in use."""
        if self.highest is None:
            self.highest = 0 if self.labels is None else int(self.labels.data.max())
            self._came_with = self.highest
        return self.highest

    def _on_paint(self, event: Any) -> None:
        """Labels that a person paints with are not given to other objects."""
        for _, _, new in event.value:
            if np.size(new):
                self.highest = max(self.taken(), int(np.max(new)))

    def recheck(self, plane: Plane) -> set[int]:
        """Find the objects whose pixels somebody else took away, mostly napari's own undo.

        Parameters
        ----------
        plane : tuple of int or None
            The slice.

        Returns
        -------
        set of int
        """
        if plane not in self.sessions:
            return set()
        target = SliceTarget(self, plane)
        return {
            record.id
            for record in self.sessions[plane].objects.values()
            if record.area and not (target.read(record.box) == record.id).any()
        }

    def describe(self) -> None:
        """Tell the labels layer what is known of its objects: shown by napari, kept in files."""
        if self.labels is None:
            return
        import pandas as pd

        records = sorted(
            (record for _, record in self.objects() if record.area), key=lambda each: each.id
        )
        rows = [
            {
                "index": record.id,
                "class": self.classes.name_of(record.class_id),
                "predicted_iou": np.nan if record.predicted_iou is None else record.predicted_iou,
                "point_coords": record.prompts.points or None,
            }
            for record in records
        ]
        table = pd.DataFrame(rows, columns=["index", "class", "predicted_iou", "point_coords"])
        # Rows about objects that came with the layer stay.
        known, ours = self.labels.features, set(range(self._came_with + 1, self.taken() + 1))
        ours |= set(table["index"])
        if "index" in known:
            others = known[~known["index"].isin(ours)]
            table = pd.concat([others, table]) if len(others) else table
        self.labels.features = table.reset_index(drop=True)
        told = self.labels.metadata.get("sam_plugins", {})
        self.labels.metadata["sam_plugins"] = {
            "file_name": self.image.name,
            "id": None,
            **told,
            "classes": self.classes.describe(),
        }

    # ---- journals --------------------------------------------------------------------------

    def restore(self, folder: Path) -> int:
        """Bring back an earlier session, and go on with it.

        Parameters
        ----------
        folder : Path
            From `SessionFolder.earlier`.

        Returns
        -------
        int
            How many objects there are then.
        """
        self.folder.adopt(folder)
        for name in self.folder.read_classes():
            self.classes.number_of(name)
        self.prepare()
        for plane, path in journals_in(folder).items():
            self.sessions[plane] = Session.restore(SliceTarget(self, plane), path)
        self.labels.refresh()
        return sum(1 for _ in self.objects())

    def close(self) -> None:
        """Let go of the journals."""
        for session in self.sessions.values():
            session.close()
        self.folder.close()
        if self.labels is not None:
            self.labels.events.paint.disconnect(self._on_paint)
            self.labels.events.set_data.disconnect(self._on_drawn)


class SliceTarget:
    """A slice of the labels layer, see `sam_plugins.session.Target`.

    Parameters
    ----------
    work : Work
        Whose labels.
    plane : tuple of int or None
        The slice.
    """

    def __init__(self, work: Work, plane: Plane) -> None:
        self._work = work
        self._plane = plane

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W), in pixels."""
        return plane_size(self._plane, self._work.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the labels."""
        labels = self._work.labels
        return LABEL_DTYPE if labels is None else np.dtype(labels.data.dtype)

    def read(self, box: Box) -> NDArray[Any]:
        """The labels in a box x0, y0, x1, y1: (y1 - y0, x1 - x0)."""
        x0, y0, x1, y1 = box
        if self._work.labels is None:
            return np.zeros((y1 - y0, x1 - x0), dtype=LABEL_DTYPE)
        index = plane_index(self._plane, slice(y0, y1), slice(x0, x1))
        return np.asarray(self._work.labels.data[index])

    def write(self, patch: Patch) -> None:
        """Change labels, so that napari's own undo knows of it."""
        self._work.prepare()
        values = patch.values
        indices = pixels_at(self._plane, *patch.pixels)
        self._work.labels.data_setitem(indices, values if values.ndim else int(values))
        self._work.highest = max(self._work.taken(), int(patch.values.max()))

    def highest(self) -> int:
        """The highest label that is or was in use."""
        return self._work.taken()
