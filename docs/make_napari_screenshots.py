"""Make the pictures of the guide to napari: ``python docs/make_napari_screenshots.py FOLDER``.

Needs a display with OpenGL; without one, ``xvfb-run -a -s "-screen 0 1400x900x24"``. A
picture of each step is written to the folder named on the command line; docs/images has four.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from skimage import data

from sam_plugins.datasets.procedural.described import described_scene

# x, y of some coins.
COINS = ((334, 44), (156, 50), (215, 50), (276, 53), (45, 54))


class Film:
    """A window and the pictures taken of it."""

    def __init__(self, folder: Path, image: np.ndarray, name: str) -> None:
        from napari_sam.widget import SegmentAnythingWidget

        self.folder = folder
        self.viewer = napari.Viewer(show=True, show_welcome_screen=False)
        self.viewer.window.resize(1280, 820)
        self.viewer.add_image(image, name=name)
        self.widget = SegmentAnythingWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="Segment Anything", area="right")
        self.controller = self.widget.controller

    def until(self, condition: Callable[[], Any]) -> None:
        """Let the window live until something has happened."""
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + 120
        while not condition():
            QApplication.processEvents()
            time.sleep(0.005)
            if time.monotonic() > end:
                raise TimeoutError(self.widget.status.text())

    def settle(self, seconds: float = 0.7) -> None:
        """Until nothing runs and everything is drawn."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end and not self.controller.worker.busy())

    def take(self, name: str) -> None:
        """Take a picture."""
        self.settle()
        path = self.folder / f"napari-{name}.png"
        self.viewer.screenshot(str(path), canvas_only=False, flash=False)

    def click(self, x: float, y: float, *, positive: bool = True) -> None:
        """Click on the image."""
        self.controller.gestures.clicked(np.array([y, x]), positive=positive)
        self.until(lambda: self.controller.session.cutout is not None)

    def begin(self) -> None:
        """Until the image is embedded."""
        self.until(lambda: self.widget.status.text().startswith("Ready"))
        self.viewer.reset_view()

    def end(self) -> None:
        """Close the window."""
        self.controller.worker.close(wait=10)
        self.controller.close()
        self.viewer.close()


def ask_for(folder: Path, text: str) -> None:
    """Name objects of a scene."""
    film = Film(folder, described_scene(np.random.default_rng(3), 256).image, "scene")
    film.begin()
    film.widget.sections["Segment everything"].expand(animate=False)
    film.widget.everything.text.setText(text)
    film.widget.everything.text.returnPressed.emit()
    film.until(lambda: film.controller.proposing.count > 0)
    film.take("text")
    film.end()


def annotate_coins(folder: Path) -> None:
    """Annotate the coins, one picture a step."""
    film = Film(folder, data.coins(), "coins")
    film.begin()
    film.take("1-ready")
    film.widget.class_name.setEditText("coin")
    film.widget.class_name.lineEdit().editingFinished.emit()
    film.click(*COINS[0])
    film.take("click")
    for spot in COINS[1:]:
        film.controller.run("commit")
        film.click(*spot)
    film.controller.run("commit")
    film.take("2-objects")
    (x0, y0), (x1, y1) = (82, 106), (123, 146)
    film.controller.gestures.boxed(np.array([y0, x0]), np.array([y1, x1]), finished=True)
    film.until(lambda: film.controller.session.cutout is not None)
    film.take("box")
    film.controller.run("commit")
    film.controller.run("segment_everything")
    film.until(lambda: film.controller.proposing.count > 0)
    film.widget.sections["Segment everything"].expand(animate=False)
    film.take("everything")
    film.controller.run("accept_all")
    film.take("3-accepted")
    film.widget.sections["Objects"].collapse(animate=False)
    film.widget.sections["Segment everything"].collapse(animate=False)
    film.widget.sections["Mouse and keys"].expand(animate=False)
    film.take("4-help")
    film.end()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["SAM_PLUGINS_SESSIONS"] = os.environ["SAM_PLUGINS_CACHE"] = temporary
        os.environ["NAPARI_CONFIG"] = str(Path(temporary) / "napari.yaml")
        annotate_coins(Path(sys.argv[1]))
        ask_for(Path(sys.argv[1]), "the bright cells")
