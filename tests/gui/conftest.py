"""The real viewer with the real widget and the real lite model, under X."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, filters

HAS_DISPLAY = sys.platform != "linux" or any(
    os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("gui") and not HAS_DISPLAY:
            item.add_marker(pytest.mark.skip(reason="no display: run under xvfb-run"))


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Sessions and embeddings of a test are its own."""
    monkeypatch.setenv("SAM_PLUGINS_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(tmp_path / "cache"))
    return tmp_path


@dataclass
class Window:
    """A viewer, the widget in it, and waiting for what they do."""

    viewer: Any
    widget: Any
    qtbot: Any

    @property
    def controller(self):
        return self.widget.controller

    @property
    def session(self):
        return self.controller.session

    @property
    def labels(self):
        return self.controller.work.labels.data

    def until(self, condition, timeout=60000):
        self.qtbot.waitUntil(condition, timeout=timeout)

    def idle(self):
        """Until nothing runs in the background, nothing waits for an answer, all is drawn."""
        self.until(lambda: self.controller.idle)

    def mask(self):
        """Until the object under way has a mask."""
        self.until(lambda: self.session.cutout is not None)
        return self.session.cutout


@pytest.fixture
def open_widget(what_is_loaded_stays, make_napari_viewer, qtbot):
    """Open the widget on a new viewer, through the proxy that napari gives to plugins."""
    from napari.utils._proxies import PublicOnlyProxy

    from napari_sam.widget import SegmentAnythingWidget

    opened = []

    def open_one(*layers, viewer=None):
        viewer = viewer or make_napari_viewer(show=True)
        viewer.window.resize(1200, 800)
        for layer in layers:
            viewer.add_layer(layer)
        widget = SegmentAnythingWidget(PublicOnlyProxy(viewer))
        viewer.window.add_dock_widget(widget, name="Segment Anything", area="right")
        viewer.reset_view()
        window = Window(viewer, widget, qtbot)
        opened.append(window)
        window.idle()
        return window

    yield open_one
    for window in opened:
        window.controller.worker.close(wait=20)
        if window.controller.work is not None:
            window.controller.close()


@pytest.fixture(scope="session")
def coins():
    """The coins, and each of the 24 as a mask that a watershed on the edges finds."""
    image = data.coins()
    from skimage.segmentation import watershed

    markers = np.where(image < 30, 1, np.where(image > 150, 2, 0))
    found = ndimage.binary_fill_holes(watershed(filters.sobel(image), markers) - 1)
    regions, count = ndimage.label(found)
    masks = [regions == label for label in range(1, count + 1)]
    masks = [mask for mask in masks if mask.sum() > 400]
    assert len(masks) == 24
    return image, masks
