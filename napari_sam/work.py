"""``Work``: one image under annotation in one viewer: its session, its labels, its journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.geometry import image_shape, transform_of
from sam_plugins.errors import SamPluginsError
from sam_plugins.masks.cropped import CroppedMask
from sam_plugins.regions import ImageStack
from sam_plugins.session import LabelEdit, Plane, Session, read_journal, replay
from sam_plugins.session.planes import plane_index, plane_size
from sam_plugins.session.store import JournalFile, image_key

if TYPE_CHECKING:
    from pathlib import Path

    import napari

# napari draws labels of up to 16 bits without copying them; 65535 objects are enough for most.
LABEL_DTYPE = np.uint16


class LabelsFullError(SamPluginsError):
    """The labels layer has no identifier left."""


@dataclass(eq=False)
class Work:
    """One image under annotation.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : napari.layers.Image
        The image.
    channel_axis : int, optional
        Its axis that holds channels.
    labels : napari.layers.Labels, optional
        Where objects go; made at the first commit if omitted.
    complain : callable
        Called with a problem that does not stop the work, such as a full disk.
    """

    viewer: napari.Viewer
    image: Any
    complain: Callable[[Exception], None]
    channel_axis: int | None = None
    labels: Any = None
    session: Session = field(init=False)
    journal: JournalFile = field(init=False)
    _scanned: bool = False
    _complained: bool = False

    def __post_init__(self) -> None:
        source = str(getattr(self.image.source, "path", None) or self.image.name)
        header = {"image": self.image.name, "shape": list(self.shape), "source": source}
        self.journal = JournalFile(image_key(self.stack, source=source), header=header)
        self.session = Session(record=self._record)
        if self.labels is not None:
            self._watch_painting()

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

    def _record(self, action: dict[str, Any]) -> None:
        try:
            self.journal.append(action)
        except OSError as error:
            # The work goes on; that it is not kept is said once.
            if not self._complained:
                self._complained = True
                self.complain(error)

    # ---- the label image -------------------------------------------------------------------

    @property
    def array(self) -> Any:
        """The label image, or one of zeros that takes no memory while there is none."""
        if self.labels is None:
            return np.broadcast_to(np.zeros((), dtype=LABEL_DTYPE), self.shape)
        return self.labels.data

    def prepare(self) -> None:
        """Make the labels layer if there is none, and know which identifiers are taken.

        Raises
        ------
        LabelsFullError
            If none is left.
        """
        if self.labels is None:
            active = self.viewer.layers.selection.active
            self.labels = self.viewer.add_labels(
                np.zeros(self.shape, dtype=LABEL_DTYPE),
                name=f"{self.image.name} objects",
                **self.transform,
            )
            layers = self.viewer.layers
            layers.move(layers.index(self.labels), layers.index(self.image) + 1)
            layers.selection.active = active
            self._scanned = True
            self._watch_painting()
        if not self._scanned:
            self.session.reserve(int(self.labels.data.max()))
            self._scanned = True
        most = np.iinfo(self.labels.data.dtype).max
        if self.session.next_id > most:
            raise LabelsFullError(
                f"the layer {self.labels.name!r} has room for {most} objects and all are taken: "
                "choose another labels layer"
            )

    def _watch_painting(self) -> None:
        """Identifiers that a person paints with are not given to other objects."""

        def on_paint(event: Any) -> None:
            values = [int(np.max(new)) for _, _, new in event.value if np.size(new)]
            if values:
                self.session.reserve(max(values))

        self.labels.events.paint.connect(on_paint)

    def apply(self, edit: LabelEdit) -> None:
        """Change the label image, so that napari's own undo knows of it.

        Parameters
        ----------
        edit : LabelEdit
            What changes.
        """
        if self.labels is None or not len(edit):
            return
        values = edit.after
        if (values == values[0]).all():
            values = int(values[0])
        self.labels.data_setitem(edit.indices, values)

    def value_at(self, plane: Plane, x: float, y: float) -> int:
        """The object at a point, 0 for none.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        x, y : float
            In pixels of the plane.

        Returns
        -------
        int
        """
        height, width = plane_size(plane, self.shape)
        column, row = int(np.floor(x)), int(np.floor(y))
        if not (0 <= row < height and 0 <= column < width):
            return 0
        spot = plane_index(plane, slice(row, row + 1), slice(column, column + 1))
        return int(np.asarray(self.array[spot]).item())

    def mask_of(self, plane: Plane, identifier: int) -> CroppedMask:
        """The pixels of an object in a plane.

        Parameters
        ----------
        plane : tuple of int or None
            The plane.
        identifier : int
            Its value.

        Returns
        -------
        CroppedMask
        """
        height, width = plane_size(plane, self.shape)
        whole = self.array[plane_index(plane, slice(0, height), slice(0, width))]
        return CroppedMask.from_mask(np.asarray(whole) == identifier)

    # ---- the journal -----------------------------------------------------------------------

    def restore(self, path: Path) -> int:
        """Do again what an earlier journal tells, on the labels of now.

        Parameters
        ----------
        path : Path
            The journal.

        Returns
        -------
        int
            How many objects there are then.
        """
        _, actions = read_journal(path)
        self.prepare()
        try:
            replay(self.session, actions, self.labels.data)
        finally:
            self.labels.refresh()
        return len(self.session.objects)

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()
