"""The widget on napari's viewer model, without a window: the middle ring of the tests."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen" if not os.environ.get("DISPLAY") else "xcb")


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Sessions and embeddings of a test are its own."""
    monkeypatch.setenv("SAM_PLUGINS_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def open_widget(qtbot):
    """Open the widget on a viewer model."""
    from napari.components import ViewerModel

    from napari_sam.widget import SegmentAnythingWidget

    opened = []

    def open_one(*layers):
        viewer = ViewerModel()
        for layer in layers:
            viewer.add_layer(layer)
        widget = SegmentAnythingWidget(viewer)
        qtbot.addWidget(widget)
        opened.append(widget)
        return viewer, widget

    yield open_one
    for widget in opened:
        widget.controller.worker.close(wait=20)
        widget.controller.close()
