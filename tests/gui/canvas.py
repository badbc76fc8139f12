"""Driving napari's canvas with real Qt events: the only place that knows its private parts."""

from __future__ import annotations

from itertools import pairwise

from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDockWidget

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NO_MODIFIER = Qt.KeyboardModifier.NoModifier
ALT, CONTROL = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def canvas(viewer):
    """napari's canvas."""
    return viewer.window._qt_viewer.canvas


def world_to_pixel(viewer, position) -> QPoint:
    """A position in the world, one coordinate an axis, as a pixel of the canvas."""
    view = canvas(viewer).view
    y, x = (position[axis - viewer.dims.ndim] for axis in viewer.dims.displayed)
    mapped = (view.transform * view.scene.transform).map([x, y, 0, 1])
    return QPoint(round(mapped[0] / mapped[3]), round(mapped[1] / mapped[3]))


def click(viewer, position, *, button=LEFT, modifier=NO_MODIFIER):
    """Press and release the mouse."""
    native, pixel = canvas(viewer).native, world_to_pixel(viewer, position)
    QTest.mouseMove(native, pixel)
    QTest.mouseClick(native, button, modifier, pixel)
    QApplication.processEvents()


def drag(viewer, positions, *, button=LEFT, modifier=NO_MODIFIER, steps=4):
    """Press the mouse, move it along positions, release it."""
    native = canvas(viewer).native
    pixels = [world_to_pixel(viewer, position) for position in positions]
    QTest.mouseMove(native, pixels[0])
    QTest.mousePress(native, button, modifier, pixels[0])
    for start, stop in pairwise(pixels):
        for step in range(1, steps + 1):
            at = QPointF(start) + (QPointF(stop) - QPointF(start)) * step / steps
            moved = QMouseEvent(
                QEvent.Type.MouseMove,
                at,
                QPointF(native.mapToGlobal(at)),
                Qt.MouseButton.NoButton,
                button,
                modifier,
            )
            QApplication.sendEvent(native, moved)
            QApplication.processEvents()
    QTest.mouseRelease(native, button, modifier, pixels[-1])
    QApplication.processEvents()


def press(viewer, key, modifier=NO_MODIFIER):
    """Press and release a key: a letter, or one of Qt's keys."""
    code = getattr(Qt.Key, f"Key_{key.upper()}") if isinstance(key, str) else key
    QTest.keyClick(canvas(viewer).native, code, modifier)
    QApplication.processEvents()


def keep_room(viewer, least=200):
    """Give the canvas its room back, where Qt has given all of it to napari's own docks.

    That happens after hundreds of changes of the selected layer in a window that no window manager
    looks after; a click on a canvas without a width is an error within vispy.
    """
    if canvas(viewer).native.width() < least:
        window = viewer.window._qt_window
        docks = [each for each in window.findChildren(QDockWidget) if each.isVisible()]
        window.resizeDocks(docks, [300] * len(docks), Qt.Orientation.Horizontal)
        QApplication.processEvents()
        assert canvas(viewer).native.width() >= least
