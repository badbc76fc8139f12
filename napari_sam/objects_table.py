"""The table of objects: select one to see it, give it a class, delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_sam.classes import Classes
from sam_plugins.regions import Plane
from sam_plugins.session import ObjectRecord

if TYPE_CHECKING:
    from napari_sam.work import Work

Row = tuple[Plane, ObjectRecord]

COLUMNS = ("id", "class", "area", "predicted IoU", "prompts")
CLASS_COLUMN = COLUMNS.index("class")


class ObjectsModel(QAbstractTableModel):
    """Objects of an image, one a row; those that have lost all pixels are left out.

    Parameters
    ----------
    classes : Classes
        Names and colours.
    """

    class_edited = Signal(object, str)

    def __init__(self, classes: Classes, parent: Any = None) -> None:
        super().__init__(parent)
        self._classes = classes
        self._objects: list[Row] = []

    def show(self, work: Work | None, gone: set[int]) -> None:
        """Show an image's objects as they are now.

        Parameters
        ----------
        work : Work or None
            The image.
        gone : set of int
            Objects that have no pixels left, though the session has them.
        """
        objects = [] if work is None else list(work.objects())
        objects = [each for each in objects if each[1].area and each[1].id not in gone]
        objects.sort(key=lambda each: each[1].id)
        if [each[1].id for each in objects] == [each[1].id for each in self._objects]:
            self._objects = objects
            if objects:
                last = self.index(len(objects) - 1, len(COLUMNS) - 1)
                self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self._objects = objects
        self.endResetModel()

    def object_at(self, row: int) -> Row | None:
        """The object in a row.

        Parameters
        ----------
        row : int

        Returns
        -------
        (plane, ObjectRecord) or None
        """
        return self._objects[row] if 0 <= row < len(self._objects) else None

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """How many objects."""
        return 0 if parent is not None and parent.isValid() else len(self._objects)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """How many facts about each."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles of the columns."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return COLUMNS[section]
        return None

    def flags(self, index: QModelIndex) -> Any:
        """Classes can be edited."""
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == CLASS_COLUMN else flags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """One cell."""
        found = self.object_at(index.row())
        if found is None:
            return None
        record = found[1]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == CLASS_COLUMN:
            return QColor(*self._classes.colour_of(record.class_id))
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return None
        said, iou = record.prompts, record.predicted_iou
        parts = [
            f"{said.labels.count(1)} +" if 1 in said.labels else "",
            f"{said.labels.count(0)} -" if 0 in said.labels else "",
            "box" if said.boxes else "",
            "mask" if said.mask else "",
            "automatic" if record.source == "proposal" else "",
        ]
        return (
            str(record.id),
            self._classes.name_of(record.class_id),
            str(record.area),
            "" if iou is None else f"{iou:.2f}",
            ", ".join(part for part in parts if part),
        )[index.column()]

    def setData(  # noqa: N802 - Qt's name
        self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        """Edit a class."""
        found = self.object_at(index.row())
        if found is None or index.column() != CLASS_COLUMN or role != Qt.ItemDataRole.EditRole:
            return False
        self.class_edited.emit(found, str(value))
        return True


class ObjectsTable(QTableView):
    """The table.

    Parameters
    ----------
    model : ObjectsModel
        What it shows.
    """

    chosen = Signal(object)
    delete_pressed = Signal(object)

    def __init__(self, model: ObjectsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._objects = model
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.verticalHeader().setVisible(False)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setStretchLastSection(True)
        self.setToolTip(
            "Click: see the object. Double click on the class: rename it. Delete: remove the object."
        )
        self.clicked.connect(self._on_clicked)

    def _on_clicked(self, index: QModelIndex) -> None:
        found = self._objects.object_at(index.row())
        if found is not None:
            self.chosen.emit(found)

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Delete removes the object."""
        found = self._objects.object_at(self.currentIndex().row())
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace) and found is not None:
            self.delete_pressed.emit(found)
            return
        super().keyPressEvent(event)
