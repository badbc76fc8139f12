"""The table of objects: select one to see it, give it a class, delete it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_sam.classes import Classes
from sam_plugins.regions import Plane
from sam_plugins.session import ObjectRecord

if TYPE_CHECKING:
    from napari_sam.work import Work

Row = tuple[Plane, ObjectRecord]

COLUMNS = ("id", "class", "area", "predicted IoU", "prompts")
CLASS_COLUMN = COLUMNS.index("class")


class ObjectsModel(QStandardItemModel):
    """Objects of an image, one a row; those that have lost all pixels are left out.

    Parameters
    ----------
    classes : Classes
        Names and colours.

    Notes
    -----
    Qt's own items and no model in Python: PySide6 loses references to what one returns to Qt, until
    the interpreter ends.
    """

    class_edited = Signal(object, str)

    def __init__(self, classes: Classes, parent: Any = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.setHorizontalHeaderLabels(list(COLUMNS))
        self._classes = classes
        self._objects: list[Row] = []
        self._filling = False
        self.itemChanged.connect(self._on_edited)

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
        self._filling = True
        self.setRowCount(len(objects))
        for row, (_, record) in enumerate(objects):
            if row >= len(self._objects) or self._objects[row][1] is not record:
                self._fill(row, record)
        self._objects = objects
        self._filling = False

    def _fill(self, row: int, record: ObjectRecord) -> None:
        for column, text in enumerate(self._texts(record)):
            item = QStandardItem(text)
            item.setEditable(column == CLASS_COLUMN)
            if column == CLASS_COLUMN:
                item.setIcon(self._classes.icon(record.class_id))
            self.setItem(row, column, item)

    def _texts(self, record: ObjectRecord) -> tuple[str, ...]:
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
        )

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

    def _on_edited(self, item: QStandardItem) -> None:
        found = self.object_at(item.row())
        if not self._filling and found is not None and item.column() == CLASS_COLUMN:
            self.class_edited.emit(found, item.text())


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
            "Click: see the object. Double click on the class: change it. Delete: remove the object"
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
