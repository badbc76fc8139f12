"""The widget and its controller without a window."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from napari.layers import Image, Labels
from skimage import data

from napari_sam.keys import KEYS
from sam_plugins.images import Normalization

OPEN = """
import sys
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtWidgets import QApplication
import numpy as np
application = QApplication([])
from napari_sam.widget import SegmentAnythingWidget
viewer = ViewerModel()
widget = SegmentAnythingWidget(viewer)
assert "torch" not in sys.modules
viewer.add_layer(Image(np.zeros((64, 64), np.uint8)))
assert widget.controller.work is not None
assert "torch" not in sys.modules
widget.controller.close()
"""


def test_opening_the_widget_imports_no_torch():
    done = subprocess.run([sys.executable, "-c", OPEN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def wait(qtbot, controller):
    qtbot.waitUntil(lambda: controller.idle, timeout=60000)


def test_click_keep_undo(open_widget, qtbot):
    viewer, widget = open_widget(Image(data.coins(), name="coins"))
    controller = widget.controller
    controller.gestures.clicked((50.0, 155.0), positive=True)
    controller.run("commit")
    qtbot.waitUntil(lambda: len(controller.session.objects) == 1, timeout=60000)
    labels = viewer.layers["coins objects"]
    assert labels.data[50, 155] == 1
    assert widget.objects.rowCount() == 1
    wait(qtbot, controller)
    controller._recheck()
    assert labels.features["index"].tolist() == [1]
    assert labels.metadata["sam_plugins"]["classes"][0]["name"] == "object"
    controller.run("undo")
    assert not labels.data.any()
    assert widget.objects.rowCount() == 0


def test_every_key_is_an_action_and_is_shown(open_widget):
    _, widget = open_widget()
    for key in KEYS:
        controller = widget.controller
        where = (controller, controller.editing, controller.proposing)
        assert any(callable(getattr(each, key.action, None)) for each in where)


@pytest.mark.parametrize("key", KEYS)
def test_no_key_raises_without_an_image(open_widget, key):
    _, widget = open_widget()
    widget.controller.run(key.action)
    widget.controller.gestures.clicked((1, 1), positive=True)
    widget.controller.gestures.boxed((1, 1), (5, 5), finished=True)
    widget.controller.gestures.scribbled([(1, 1), (5, 5)], positive=True, finished=True)


def test_closing_removes_the_layers_that_are_ours_and_no_other(open_widget, qtbot):
    viewer, widget = open_widget(
        Image(data.coins(), name="coins"), Labels(np.ones((303, 384), int), name="mine")
    )
    wait(qtbot, widget.controller)
    ours = {"SAM proposals", "SAM preview", "SAM boxes", "SAM prompts"}
    assert {layer.name for layer in viewer.layers} == {"coins", "mine", *ours}
    widget.controller.close()
    assert [layer.name for layer in viewer.layers] == ["coins", "mine"]
    assert not viewer.keymap


def test_values_and_channels(open_widget):
    image = np.random.default_rng(0).integers(0, 4000, (5, 64, 80), dtype=np.uint16)
    _, widget = open_widget(Image(image, name="stains"))
    panel = widget.image_panel
    panel.axis.setCurrentIndex(1)
    assert widget.controller.work.channel_axis == 0
    assert widget.controller.work.shape == (1, 64, 80)
    panel.channels[1].setCurrentIndex(panel.channels[1].findText("3"))
    assert widget.controller.options.normalization == Normalization(channels=(0, 3))
    panel.kind.setCurrentText("minmax")
    assert widget.controller.options.normalization == Normalization(kind="minmax", channels=(0, 3))
    panel.kind.setCurrentText("limits")
    assert widget.controller.options.normalization.kind == "limits"


def test_a_job_that_fails_is_told_and_the_work_goes_on(open_widget, qtbot, monkeypatch):
    _, widget = open_widget(Image(data.coins(), name="coins"))
    controller = widget.controller
    wait(qtbot, controller)
    told = []
    monkeypatch.setattr(controller, "complain", told.append)
    controller.set_options(device="cuda:99")
    controller.gestures.clicked((50.0, 155.0), positive=True)
    qtbot.waitUntil(lambda: bool(told), timeout=60000)
    assert "cuda:99" in str(told[0])
    controller.set_options(device="cpu")
    qtbot.waitUntil(lambda: controller.session.cutout is not None, timeout=60000)
