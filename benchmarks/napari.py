"""How long does a person wait in napari? Clicks, masks, commits, pauses of the window.

Needs a display with OpenGL, such as ``xvfb-run -a -s "-screen 0 1400x900x24"``; a software renderer
draws slower than any graphics card.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import skimage

from benchmarks.measure import save, table

SIDES = (2048, 6000)

# The image is the coins, again and again, enlarged so that a coin is a twentieth of its side: what
# a person clicks on when all of it is seen. One coin is here, row then column.
TILE, COIN = np.array((303, 384)), np.array((120, 270))
SIDE_OF_COINS = 1000


class Window:
    """A viewer with the widget, and what it takes to time them."""

    def __init__(self, side: int) -> None:
        import napari

        from napari_sam.widget import SegmentAnythingWidget

        self.factor = round(side / SIDE_OF_COINS)
        coins = skimage.data.coins().repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        repeats = -(-side // coins.shape[0]), -(-side // coins.shape[1])
        self.image = np.tile(coins, repeats)[:side, :side]
        self.viewer = napari.Viewer(show=True, show_welcome_screen=False)
        self.viewer.window.resize(1200, 800)
        self.viewer.add_image(self.image, name="coins")
        # As a person finds it: napari has drawn the image before the widget is opened.
        for _ in range(50):
            self.events()
            time.sleep(0.01)
        start = time.perf_counter()
        self.widget = SegmentAnythingWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, area="right")
        self.opened = 1000 * (time.perf_counter() - start)
        self.controller = self.widget.controller

    def events(self) -> None:
        """Let the window do what waits."""
        from qtpy.QtWidgets import QApplication

        QApplication.processEvents()

    def until(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Let the window live until something has happened."""
        end = time.perf_counter() + seconds
        while not condition():
            self.events()
            # As Qt's own loop does: a loop that spins would take the processor from the model.
            time.sleep(0.0005)
            if time.perf_counter() > end:
                raise TimeoutError(f"still waiting: {self.widget.status.text()}")

    def idle(self) -> None:
        """Until nothing runs and all is drawn."""
        self.until(lambda: self.controller.idle and not self.controller.timers.active)
        for _ in range(3):
            self.events()


class Pauses:
    """The longest time that the event loop did not come round, seen by a timer in it."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.longest = 0.0
        self.last = time.perf_counter()
        self.timer = QTimer()
        self.timer.timeout.connect(self.tick)
        self.timer.start(1)

    def tick(self) -> None:
        """Come round."""
        now = time.perf_counter()
        self.longest = max(self.longest, now - self.last)
        self.last = now

    def end(self) -> float:
        """Stop, and tell the longest pause in milliseconds."""
        self.timer.stop()
        return 1000 * self.longest


def measure_pauses(window: Window) -> dict[str, float]:
    """The longest pauses while a model is loaded, an image encoded and masks are proposed."""
    from napari_sam.models import embedding_cache

    found = {}
    pauses = Pauses()
    window.until(window.controller.worker.busy)
    found["longest pause, opening (napari makes and draws layers), ms"] = pauses.end()
    pauses = Pauses()
    window.until(lambda: window.widget.status.text().startswith("Ready"))
    found["longest pause, first use (imports torch), ms"] = pauses.end()
    window.idle()
    embedding_cache().clear()
    window.controller.asking.forget()
    pauses = Pauses()
    window.controller.looking.embed()
    window.until(lambda: window.widget.status.text().startswith("Ready"))
    found["longest pause, encoding, ms"] = pauses.end()
    window.idle()
    window.controller.proposing.set_points(16)
    pauses = Pauses()
    window.controller.run("segment_everything")
    window.until(lambda: window.controller.proposing.ready)
    found["longest pause, proposing, ms"] = pauses.end()
    window.idle()
    window.controller.proposing.clear()
    return found


def measure_clicks(window: Window, repetitions: int) -> dict[str, float]:
    """Click at random spots of the image as shown, keep each mask."""
    controller, rng = window.controller, np.random.default_rng(0)
    handler, painted, kept = [], [], []
    canvas = window.viewer.window._qt_viewer.canvas._scene_canvas
    masks, drawn = [], []
    controller.layers.get("preview").events.set_data.connect(lambda: masks.append(canvas))

    def on_draw(_: Any) -> None:
        # Until every pixel is there: a graphics card draws while the program goes on.
        canvas.context.finish()
        if masks:
            drawn.append(time.perf_counter())

    canvas.events.draw.connect(on_draw, position="last")
    for _ in range(repetitions):
        # The middle of a coin somewhere in the image.
        period = np.multiply(TILE, window.factor)
        spot = rng.integers(0, window.image.shape // period) * period + COIN * window.factor
        masks.clear()
        drawn.clear()
        start = time.perf_counter()
        controller.gestures.clicked(spot, positive=True)
        handler.append(time.perf_counter() - start)
        window.until(lambda: bool(drawn))
        painted.append(drawn[0] - start)
        window.idle()
        start = time.perf_counter()
        controller.run("commit")
        kept.append(time.perf_counter() - start)
        window.idle()
        for _ in ("the object", "its click"):
            controller.run("undo")
        window.idle()
    return {
        "click handler, ms": 1000 * float(np.median(handler)),
        "click to painted mask, ms": 1000 * float(np.median(painted)),
        "commit, ms": 1000 * float(np.median(kept[1:])),
    }


def measure(side: int, repetitions: int) -> dict[str, Any]:
    """All figures for one image."""
    window = Window(side)
    row: dict[str, Any] = {"image": f"{side} x {side}", "open, ms": window.opened}
    row |= measure_pauses(window) | measure_clicks(window, repetitions)
    window.controller.worker.close(wait=20)
    window.controller.close()
    window.viewer.close()
    return row


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--side", type=int, help="of one image only; its row is printed")
    arguments = parser.parse_args(argv)
    repetitions = 8 if arguments.quick else 30
    if arguments.side is None:
        from benchmarks.measure import in_child

        # A process each: what is imported once is not paid for twice.
        quick = ["--quick"] if arguments.quick else []
        rows = [in_child("benchmarks.napari", ["--side", str(side), *quick]) for side in SIDES]
        save("napari", rows)
        print(table(rows, list(rows[0])))
        return
    import json

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SAM_PLUGINS_SESSIONS"] = os.environ["SAM_PLUGINS_CACHE"] = folder
        row = measure(arguments.side, repetitions)
    print(json.dumps(row), file=sys.stdout)


if __name__ == "__main__":
    main()
