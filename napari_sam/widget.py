"""The dock widget: choices above, status, objects; what they mean is the controller's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_sam.choices import (
    ClassChoice,
    LayerChoice,
    device_choice,
    model_choice,
    overlap_choice,
)
from napari_sam.colouring import colour_labels
from napari_sam.containers import WIDTH, SteadyScrollArea, collapsible
from napari_sam.controller import Controller
from napari_sam.object_edits import delete_object, set_class, show_object
from napari_sam.objects_table import ObjectsModel, ObjectsTable
from napari_sam.panels import EverythingPanel, HelpPanel, ImagePanel, checkbox
from napari_sam.settings import read_preferences
from sam_plugins.session import Overlap

if TYPE_CHECKING:
    import napari

NEW_LABELS = "new layer"


class SegmentAnythingWidget(QWidget):
    """Segment Anything: click, see the mask, press N.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = napari_viewer
        self.controller = Controller(napari_viewer, self)
        self._build()
        self._connect()
        self._prefer()
        self._refresh_layers()

    # ---- what it is made of ----------------------------------------------------------------

    def _build(self) -> None:
        self.image = LayerChoice("The image to segment")
        self.labels = LayerChoice(
            "Where objects go: a new layer, or one of yours that fits the image", first=NEW_LABELS
        )
        self.model, self.device = model_choice(), device_choice()
        self.overlap = overlap_choice()
        self.class_name = ClassChoice(self.controller.classes)
        self.one_click = checkbox("one object per click", "Each click is kept at once")
        self.box_to_object = checkbox("box to object", "Each box is kept at once")
        self.follow_zoom = checkbox(
            "look closer when zoomed in", "Embed the part that is seen, for small objects"
        )
        self.follow_zoom.setChecked(True)
        self.by_class = checkbox("colour by class", "Colour objects by class and not one by one")
        self._build_actions()
        self.image_panel, self.everything = ImagePanel(), EverythingPanel()
        self.objects = ObjectsModel(self.controller.classes, self)
        self.table = ObjectsTable(self.objects)
        self.table.setMinimumHeight(120)
        self._lay_out()

    def _build_actions(self) -> None:
        self.status = QLabel("")
        self.status.setWordWrap(True)
        self.progress = QProgressBar()
        self.progress.setVisible(False)
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop what runs in the background")
        self.cancel.setVisible(False)
        self.restore = QPushButton("Restore the last session")
        self.restore.setToolTip("Bring back the objects of the last time with this image")
        self.restore.setVisible(False)
        self.tool = QPushButton("Select the prompts")
        self.tool.setToolTip("Clicks go to the layer that is selected: select the prompts")
        self.commit, self.undo = QPushButton("Keep (N)"), QPushButton("Undo (U)")
        self.commit.setToolTip("Keep this mask as an object")
        self.undo.setToolTip("Take back the last click; if none, the last object")
        self.clear, self.cycle = QPushButton("Drop (Esc)"), QPushButton("Other mask (Q)")
        self.clear.setToolTip("Drop the clicks on this object")
        self.cycle.setToolTip("Show the next of the candidate masks")
        self.polarity = QPushButton("Click means: object (W)")
        self.polarity.setToolTip("Swap what the left and the right button mean")

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("image", self.image)
        form.addRow("objects go to", self.labels)
        form.addRow("model", self.model)
        form.addRow("device", self.device)
        form.addRow("class", self.class_name)
        working, first, second = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for row, widgets in (
            (working, (self.progress, self.cancel)),
            (first, (self.commit, self.undo)),
            (second, (self.cycle, self.clear)),
        ):
            for widget in widgets:
                row.addWidget(widget)
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.addLayout(form)
        layout.addWidget(self.status)
        layout.addLayout(working)
        layout.addWidget(self.restore)
        layout.addLayout(first)
        layout.addLayout(second)
        for widget in (self.polarity, self.tool, self.one_click, self.box_to_object):
            layout.addWidget(widget)
        self.sections: dict[str, QCollapsible] = {}
        details = QWidget()
        overlap = QFormLayout(details)
        overlap.addRow("on overlap", self.overlap)
        overlap.addRow(self.follow_zoom)
        overlap.addRow(self.by_class)
        for title, widget, is_open in (
            ("Segment everything", self.everything, False),
            ("Objects", self.table, True),
            ("Options", details, False),
            ("Values and channels", self.image_panel, False),
            ("Mouse and keys", HelpPanel(), False),
        ):
            self.sections[title] = collapsible(title, widget, is_open=is_open)
            layout.addWidget(self.sections[title])
        layout.addStretch()
        scroll = SteadyScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inner)
        for box in self.findChildren(QComboBox) + inner.findChildren(QComboBox):
            # However long the names of layers are.
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(5)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(WIDTH)

    # ---- who hears whom --------------------------------------------------------------------

    def _connect(self) -> None:
        controller, everything = self.controller, self.everything
        self.image.activated.connect(self._on_image)
        self.labels.activated.connect(self._on_labels)
        self.model.activated.connect(lambda: controller.set_options(model=self.model.currentData()))
        self.device.activated.connect(
            lambda: controller.set_options(device=self.device.currentText())
        )
        self.overlap.activated.connect(
            lambda: controller.set_options(overlap=Overlap(self.overlap.currentData()))
        )
        for name in ("one_click", "box_to_object", "follow_zoom"):
            getattr(self, name).toggled.connect(
                lambda value, name=name: controller.set_options(**{name: value})
            )
        self.class_name.activated.connect(lambda _: self._on_class())
        self.class_name.lineEdit().editingFinished.connect(self._on_class)
        self.by_class.toggled.connect(lambda _: self._recolour())
        for name in ("commit", "undo", "clear", "cycle"):
            getattr(self, name).clicked.connect(lambda _, name=name: controller.run(name))
        self.polarity.clicked.connect(lambda: controller.run("toggle_polarity"))
        self.tool.clicked.connect(controller.activate)
        self.cancel.clicked.connect(controller.cancel)
        self.restore.clicked.connect(self.restore_session)
        self.image_panel.normalization_changed.connect(
            lambda value: controller.set_options(normalization=value)
        )
        self.image_panel.channel_axis_changed.connect(self._on_channel_axis)
        everything.asked.connect(lambda: controller.run("segment_everything"))
        everything.text_asked.connect(controller.proposing.find_text)
        everything.next_asked.connect(lambda: controller.run("next_proposal"))
        everything.accepted.connect(lambda: controller.run("accept_all"))
        everything.thresholds_changed.connect(
            lambda changes: controller.proposing.set_thresholds(**changes)
        )
        everything.points_changed.connect(controller.proposing.set_points)
        self.objects.class_edited.connect(
            lambda row, name: set_class(controller, row[0], row[1], name)
        )
        self.table.chosen.connect(lambda row: show_object(controller, *row))
        self.table.delete_pressed.connect(lambda row: delete_object(controller, *row))
        controller.changed.connect(self._on_changed)
        controller.status.connect(self.status.setText)
        controller.polarity_changed.connect(self._on_polarity)
        controller.work_changed.connect(self._on_work)
        controller.worker.progressed.connect(self._on_progress)
        controller.busy_changed.connect(self._on_busy)
        controller.proposing.changed.connect(self._on_proposals)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.connect(self._refresh_layers)
        self.viewer.layers.selection.events.active.connect(self._on_active)

    def _prefer(self) -> None:
        """Begin with what the preferences say."""
        chosen = read_preferences()
        self.model.setCurrentIndex(max(0, self.model.findData(chosen.model.name)))
        self.device.setCurrentText(chosen.model.device)
        self.overlap.setCurrentIndex(max(0, self.overlap.findData(chosen.annotation.overlap)))
        self.one_click.setChecked(chosen.annotation.one_object_per_click)
        self.controller.set_options(
            model=self.model.currentData(),
            device=self.device.currentText(),
            overlap=Overlap(self.overlap.currentData()),
        )

    def _on_active(self, _: Any = None) -> None:
        self.tool.setVisible(self.controller.work is not None and not self.controller.layers.active)

    # ---- layers ----------------------------------------------------------------------------

    def _refresh_layers(self, _: Any = None) -> None:
        """Offer the images and labels that there are; annotate the first image of all."""
        images = [each for each in self.viewer.layers if _is(each, "Image")]
        work = self.controller.work
        current = work.image if work is not None else None
        self.image.offer(images, current)
        if work is None and images:
            self.controller.set_image(images[-1])
        self._refresh_labels()

    def _refresh_labels(self) -> None:
        work = self.controller.work
        fitting = []
        if work is not None:
            fitting = [
                each
                for each in self.viewer.layers
                if _is(each, "Labels")
                and not each.multiscale
                and tuple(each.data.shape) == work.shape
                and not self.controller.layers.owns(each)
            ]
        self.labels.offer(fitting, work.labels if work is not None else None)

    def _on_image(self) -> None:
        self.controller.set_image(self.image.currentData())

    def _on_labels(self) -> None:
        work = self.controller.work
        if work is not None:
            self.controller.set_image(
                work.image,
                channel_axis=work.channel_axis,
                labels=self.labels.currentData(),
                new_labels=self.labels.currentData() is None,
            )

    def _on_channel_axis(self, axis: int | None) -> None:
        work = self.controller.work
        if work is not None:
            self.controller.set_image(work.image, channel_axis=axis)

    def _on_work(self) -> None:
        work = self.controller.work
        self.image_panel.show_layer(
            work.image if work else None, work.channel_axis if work else None
        )
        self.restore.setVisible(work is not None and work.folder.earlier() is not None)
        self._refresh_layers()
        self._on_changed()
        self._on_active()

    # ---- state -----------------------------------------------------------------------------

    def _on_changed(self) -> None:
        work = self.controller.work
        self.objects.show(work, self.controller.gone)
        self.class_name.offer_new()
        if work is not None:
            if self.objects.rowCount():
                self.restore.setVisible(False)
            if work.labels is not None and self.labels.currentData() is None:
                self._refresh_labels()
        if self.by_class.isChecked():
            self._recolour()

    def _on_class(self) -> None:
        self.controller.set_current_class(self.class_name.currentText())
        self._on_changed()

    def _recolour(self) -> None:
        work = self.controller.work
        if work is not None and work.labels is not None:
            colour_labels(work, by_class=self.by_class.isChecked())

    def _on_polarity(self, positive: bool) -> None:
        self.polarity.setText(f"Click means: {'object' if positive else 'background'} (W)")

    def _on_progress(self, kind: str, done: int, total: int) -> None:
        self.progress.setRange(0, 1000 if total else 0)
        self.progress.setValue(int(1000 * done / total) if total else 0)

    def _on_busy(self, kind: str) -> None:
        self.progress.setVisible(bool(kind))
        self.cancel.setVisible(bool(kind))
        if kind:
            self.progress.setRange(0, 0)

    def _on_proposals(self) -> None:
        proposing = self.controller.proposing
        self.everything.show_state(
            proposing.thresholds if proposing.ready else None, proposing.count
        )

    def restore_session(self) -> None:
        """Bring back the objects of the last time with this image."""
        self.restore.setVisible(False)
        self.controller.run("restore")

    def closeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Let go of the viewer; labels stay."""
        for source in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            source.disconnect(self._refresh_layers)
        self.viewer.layers.selection.events.active.disconnect(self._on_active)
        self.controller.close()
        super().closeEvent(event)


def _is(layer: Any, kind: str) -> bool:
    import napari.layers

    return isinstance(layer, getattr(napari.layers, kind))
