"""A text typed into the widget: all objects that it names, accepted one by one or all."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

pytestmark = pytest.mark.gui


@pytest.fixture
def discs():
    image = np.full((160, 160, 3), 150, dtype=np.uint8)
    y, x = np.mgrid[:160, :160]
    for cx, cy, radius, colour in (
        (45, 50, 26, (230, 10, 10)),
        (120, 40, 13, (230, 10, 10)),
        (110, 115, 22, (10, 40, 230)),
    ):
        image[np.hypot(x - cx, y - cy) <= radius] = colour
    return image


def ask(window, text):
    panel = window.widget.everything
    panel.text.setText(text)
    panel.text.returnPressed.emit()
    window.until(lambda: not window.widget.status.text().startswith("Looking for"))
    window.idle()


def test_all_that_a_text_names_become_proposals(open_widget, discs):
    window = open_widget(Image(discs, name="discs", rgb=True))
    ask(window, "red discs")
    assert window.widget.controller.proposing.count == 2
    assert "by the built-in text tower" in window.widget.status.text()
    window.widget.controller.run("accept_all")
    window.idle()
    labels = window.labels
    assert labels[50, 45]
    assert labels[40, 120]
    assert labels[50, 45] != labels[40, 120]
    assert not labels[115, 110]


def test_what_is_not_understood_is_said_and_nothing_breaks(open_widget, discs):
    window = open_widget(Image(discs, name="discs", rgb=True))
    ask(window, "a wheel")
    assert "'wheel'" in window.widget.status.text()
    ask(window, "")
    assert "empty" in window.widget.status.text()
    ask(window, "the blue disc")
    assert window.widget.controller.proposing.count == 1
    window.widget.controller.run("next_proposal")
    window.widget.controller.run("commit")
    window.idle()
    assert window.labels[115, 110]
