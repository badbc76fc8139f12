"""The widget's combo boxes: layers, classes, models, devices, what happens on overlap."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QWidget

from napari_sam.classes import Classes
from sam_plugins.checkpoints.registry import list_models

DEVICES = ("auto", "cpu", "cuda", "mps")
OVERLAPS = {
    "keep": "others keep their pixels",
    "overwrite": "this one takes them",
    "background": "only on background",
}


class LayerChoice(QComboBox):
    """One of several layers.

    Parameters
    ----------
    tip : str
        Its tooltip.
    first : str, optional
        Text of a first choice that is no layer.
    """

    def __init__(
        self, tip: str, *, first: str | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setToolTip(tip)
        self._first = first

    def offer(self, layers: list[Any], current: Any) -> None:
        """Offer these layers and no others; nobody is told of a choice.

        Parameters
        ----------
        layers : list of napari.layers.Layer
        current : napari.layers.Layer or None
            Which one is chosen.
        """
        self.blockSignals(True)
        self.clear()
        if self._first is not None:
            self.addItem(self._first, None)
        for layer in layers:
            self.addItem(layer.name, layer)
            if current is not None and layer == current:
                self.setCurrentIndex(self.count() - 1)
        self.blockSignals(False)


class ClassChoice(QComboBox):
    """The class of the next objects: one that is known, or a new one that is typed.

    Parameters
    ----------
    classes : Classes
        The window's.
    """

    def __init__(self, classes: Classes, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes = classes
        self.setEditable(True)
        self.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.addItem(classes.icon(1), classes.name_of(1))
        self.setToolTip("Class of the next objects; type a new one")

    def offer_new(self) -> None:
        """Offer the classes that came since; what is typed stays, and nobody hears of it."""
        classes = self._classes
        if self.count() >= len(classes.names):
            return
        text = self.currentText()
        self.blockSignals(True)
        for number in range(self.count() + 1, len(classes.names) + 1):
            self.addItem(classes.icon(number), classes.name_of(number))
        self.setCurrentIndex(max(0, self.findText(text)))
        self.setEditText(text)
        self.blockSignals(False)


def model_choice() -> QComboBox:
    """Offer the models that there are, each with its licence.

    Returns
    -------
    QComboBox
        Its data are the names.
    """
    box = QComboBox()
    for entry in list_models():
        size = "ready" if entry.present else f"{(entry.size or 0) / 1e6:.0f} MB to download"
        box.addItem(f"{entry.name} ({size})", entry.name)
        tip = f"{entry.description}; {entry.licence}"
        box.setItemData(box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
    box.setToolTip("lite works offline; the others are downloaded once and checked")
    return box


def device_choice() -> QComboBox:
    """Offer the kinds of devices.

    Returns
    -------
    QComboBox
        Its texts are their names.
    """
    box = QComboBox()
    box.addItems(list(DEVICES))
    box.setToolTip("Where the model runs; auto takes the GPU if there is one")
    return box


def overlap_choice() -> QComboBox:
    """Offer what happens to objects that are there already.

    Returns
    -------
    QComboBox
        Its data are the values of `Overlap`.
    """
    box = QComboBox()
    for name, text in OVERLAPS.items():
        box.addItem(text, name)
    box.setToolTip("What happens where the new object lies on others")
    return box
