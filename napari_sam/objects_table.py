"""The table of objects: select one to see it, give it a class, delete it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from sam_plugins.session import CommittedObject, Session

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = ("id", "class", "area", "predicted IoU", "prompts")
CLASS_COLUMN = COLUMNS.index("class")


class ObjectsModel(QAbstractTableModel):
    """Objects of a session, one a row; those that have lost all pixels are left out.

    Parameters
    ----------
    colour_of : callable
        Gives the colour of a class's name.
    """

    class_edited = Signal(int, str)

    def __init__(self, colour_of: Callable[[str], str], parent: Any = None) -> None:
        super().__init__(parent)
        self._colour_of = colour_of
        self._objects: list[CommittedObject] = []

    def show(self, session: Session | None) -> None:
        """Show a session's objects as they are now.

        Parameters
        ----------
        session : Session or None
        """
        objects = [] if session is None else [each for each in session.objects.values() if each.area]
        objects.sort(key=lambda each: each.id)
        if [each.id for each in objects] == [each.id for each in self._objects]:
            self._objects = objects
            if objects:
                last = self.index(len(objects) - 1, len(COLUMNS) - 1)
                self.dataChanged.emit(self.index(0, 0), last)
            return
        self.beginResetModel()
        self._objects = objects
        self.endResetModel()

    def object_at(self, row: int) -> CommittedObject | None:
        """The object in a row.

        Parameters
        ----------
        row : int

        Returns
        -------
        CommittedObject or None
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
        if role == Qt.ItemDataRole.DecorationRole and index.column() == CLASS_COLUMN:
            return QColor(self._colour_of(found.class_name)) if found.class_name else None
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return None
        hints = found.hints
        parts = [
            f"{hints.labels.count(1)} +" if 1 in hints.labels else "",
            f"{hints.labels.count(0)} -" if 0 in hints.labels else "",
            "box" if hints.boxes else "",
            "mask" if hints.mask else "",
        ]
        iou = found.predicted_iou
        return (
            str(found.id),
            found.class_name,
            str(found.area),
            "" if math.isnan(iou) else f"{iou:.2f}",
            ", ".join(part for part in parts if part),
        )[index.column()]

    def setData(  # noqa: N802 - Qt's name
        self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        """Edit a class."""
        found = self.object_at(index.row())
        if found is None or index.column() != CLASS_COLUMN or role != Qt.ItemDataRole.EditRole:
            return False
        self.class_edited.emit(found.id, str(value).strip())
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
