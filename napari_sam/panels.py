"""Groups of controls of the widget; each tells its choices by signals and knows no session."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_sam.keys import KEYS, MOUSE_HELP
from sam_plugins.images import Normalization

AUTO_CHANNEL_AXIS = "none"


class ImagePanel(QWidget):
    """How the image becomes what the model sees."""

    normalization_changed = Signal(object)
    channel_axis_changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = _choice(
            ("auto", "percentile", "minmax", "limits"),
            "How values become what the model sees.\n"
            "auto: 8-bit values as they are, others by percentiles\n"
            "limits: the layer's contrast limits, as they are now",
        )
        self.low = _number(0.0, 100.0, 0.2, "Low percentile")
        self.high = _number(0.0, 100.0, 99.8, "High percentile")
        self.axis = QComboBox()
        self.axis.setToolTip("The axis that holds channels, if the layer has one")
        self.channels = [QComboBox() for _ in range(3)]
        for box, colour in zip(self.channels, ("red", "green", "blue"), strict=True):
            box.setToolTip(f"Which channel the model sees as {colour}")
        percentiles, channels = QHBoxLayout(), QHBoxLayout()
        for each in (self.low, self.high):
            percentiles.addWidget(each)
        for box in self.channels:
            channels.addWidget(box)
        form = QFormLayout(self)
        form.addRow("values", self.kind)
        form.addRow("percentiles", percentiles)
        form.addRow("channel axis", self.axis)
        form.addRow("channels", channels)
        self._layer: Any = None
        self.kind.currentTextChanged.connect(self._tell)
        for each in (self.low, self.high):
            each.editingFinished.connect(self._tell)
        for box in self.channels:
            box.currentIndexChanged.connect(self._tell)
        self.axis.currentIndexChanged.connect(self._tell_axis)
        self.show_layer(None)

    def show_layer(self, layer: Any, channel_axis: int | None = None) -> None:
        """Offer what a layer has.

        Parameters
        ----------
        layer : napari.layers.Image or None
        channel_axis : int, optional
            The axis that holds channels.
        """
        self._layer = layer
        widgets = (self.axis, *self.channels)
        for widget in widgets:
            widget.blockSignals(True)
        self.axis.clear()
        self.axis.addItem(AUTO_CHANNEL_AXIS, None)
        if layer is not None:
            for axis in range(layer.ndim if layer.ndim > 2 else 0):
                self.axis.addItem(f"axis {axis}", axis)
        self.axis.setCurrentIndex(0 if channel_axis is None else channel_axis + 1)
        count = 0
        if layer is not None and channel_axis is not None:
            data = layer.data[0] if layer.multiscale else layer.data
            count = int(data.shape[channel_axis])
        for position, box in enumerate(self.channels):
            box.clear()
            if position:
                box.addItem("-", None)
            for channel in range(count):
                box.addItem(str(channel), channel)
            box.setEnabled(bool(count))
            # One to three channels are seen as they are; of more, the first one as gray.
            if position and 1 < count <= 3 and position < count:
                box.setCurrentIndex(position + 1)
        for widget in widgets:
            widget.blockSignals(False)
        self._tell()

    def normalization(self) -> Normalization:
        """What is chosen.

        Returns
        -------
        Normalization
        """
        kind = self.kind.currentText()
        chosen = [box.currentData() for box in self.channels if box.currentData() is not None]
        details: dict[str, Any] = {"channels": tuple(chosen)} if chosen else {}
        if kind in ("auto", "percentile") and self.low.value() < self.high.value():
            details["percentiles"] = (self.low.value(), self.high.value())
        if kind == "limits":
            if self._layer is None or self._layer.rgb:
                kind = "auto"
            else:
                low, high = self._layer.contrast_limits
                details["limits"] = (float(low), float(high))
        return Normalization(kind=kind, **details)

    def _tell(self, *_: Any) -> None:
        for each in (self.low, self.high):
            each.setEnabled(self.kind.currentText() in ("auto", "percentile"))
        self.normalization_changed.emit(self.normalization())

    def _tell_axis(self, *_: Any) -> None:
        self.channel_axis_changed.emit(self.axis.currentData())


class EverythingPanel(QWidget):
    """Segment everything, or what a text names; sliders, accept."""

    asked = Signal()
    text_asked = Signal(str)
    accepted = Signal()
    next_asked = Signal()
    thresholds_changed = Signal(dict)
    points_changed = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.propose = QPushButton("Segment everything (G)")
        self.propose.setToolTip("Masks of all that is seen, or of what lies in the box you drew")
        self.text = QLineEdit(placeholderText="the largest dark cell")
        self.text.setToolTip(
            "What to look for: all objects that match become proposals.\n"
            "Words it knows: shapes, colours, textures, sizes, places, relations"
        )
        self.points = QSpinBox(minimum=4, maximum=128, value=24)
        self.points.setToolTip("Points a side of the grid: more find smaller objects, slower")
        self.iou = _slider("Least predicted IoU: how sure the model must be")
        self.stability = _slider("Least stability: how sharp the mask's edge must be")
        self.area = QSpinBox(minimum=0, maximum=9_999_999, value=0, singleStep=50)
        self.area.setToolTip("Least area, in pixels")
        self.accept = QPushButton("Accept all")
        self.accept.setToolTip("Make all proposals objects; U takes them back")
        self.next = QPushButton("Next (J)")
        self.next.setToolTip("Take the next proposal as the object under way: correct it, then N")
        buttons = QHBoxLayout()
        buttons.addWidget(self.accept)
        buttons.addWidget(self.next)
        form = QFormLayout(self)
        form.addRow(self.propose)
        form.addRow("text", self.text)
        form.addRow("points a side", self.points)
        form.addRow("predicted IoU", self.iou)
        form.addRow("stability", self.stability)
        form.addRow("area from", self.area)
        form.addRow(buttons)
        self.propose.clicked.connect(lambda _: self.asked.emit())
        self.text.returnPressed.connect(lambda: self.text_asked.emit(self.text.text()))
        self.accept.clicked.connect(lambda _: self.accepted.emit())
        self.next.clicked.connect(lambda _: self.next_asked.emit())
        self.points.valueChanged.connect(self.points_changed)
        for name, widget in (
            ("pred_iou", self.iou),
            ("stability", self.stability),
            ("min_area", self.area),
        ):
            widget.valueChanged.connect(
                lambda value, name=name: self.thresholds_changed.emit({name: value})
            )
        self.show_state(None, 0)

    def show_state(self, thresholds: Any, count: int) -> None:
        """Show what is selected.

        Parameters
        ----------
        thresholds : Thresholds or None
            None while nothing was proposed.
        count : int
            How many proposals there are.
        """
        self.accept.setText(f"Accept all {count}" if count else "Accept all")
        for widget in (self.accept, self.next):
            widget.setEnabled(count > 0)
        for widget, name in ((self.iou, "pred_iou"), (self.stability, "stability")):
            widget.setEnabled(thresholds is not None)
            value = getattr(thresholds, name, None)
            if value is not None and abs(widget.value() - value) > 1e-3:
                widget.blockSignals(True)
                widget.setValue(value)
                widget.blockSignals(False)
        self.area.setEnabled(thresholds is not None)


class HelpPanel(QWidget):
    """What the mouse and the keys do."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        rows = [*MOUSE_HELP, *((key.label, key.help) for key in KEYS)]
        cells = "".join(
            f"<tr><td><b>{name}</b></td><td style='padding-left:8px'>{text}</td></tr>"
            for name, text in rows
        )
        label = QLabel(f"<table>{cells}</table>")
        label.setTextFormat(Qt.TextFormat.RichText)
        label.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(label)


def checkbox(text: str, tip: str) -> QCheckBox:
    """A check box with a tooltip.

    Parameters
    ----------
    text, tip : str

    Returns
    -------
    QCheckBox
    """
    box = QCheckBox(text)
    box.setToolTip(tip)
    return box


def _choice(names: tuple[str, ...], tip: str) -> QComboBox:
    box = QComboBox()
    box.addItems(list(names))
    box.setToolTip(tip)
    return box


def _number(low: float, high: float, value: float, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox(minimum=low, maximum=high, decimals=2, singleStep=0.1)
    box.setValue(value)
    box.setToolTip(tip)
    return box


def _slider(tip: str) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, 1)
    slider.setSingleStep(0.01)
    slider.setToolTip(tip)
    return slider
