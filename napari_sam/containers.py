"""What holds the widget's controls: a scroll area that keeps its width, sections that fold."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QScrollArea, QWidget
from superqt import QCollapsible

# Pixels that the widget asks for.
WIDTH, HEIGHT = 350, 600


class SteadyScrollArea(QScrollArea):
    """Asks for the same room whatever is in it: the canvas must not move while a person clicks."""

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        return QSize(WIDTH, HEIGHT)

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """What is in it is as wide as it is, so that nothing is cut off at the side."""
        super().resizeEvent(event)
        self.widget().setMaximumWidth(self.viewport().width())


def collapsible(title: str, widget: QWidget, *, is_open: bool) -> QCollapsible:
    """Make a section that folds.

    Parameters
    ----------
    title : str
        Always seen.
    widget : QWidget
        Seen while it is open.
    is_open : bool
        How it begins.

    Returns
    -------
    QCollapsible
    """
    group = QCollapsible(title)
    group.addWidget(widget)
    if is_open:
        group.expand(animate=False)
    else:
        group.collapse(animate=False)
    return group
