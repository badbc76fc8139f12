"""The one tool: what the mouse does on the prompts is told to whoever listens.

Left click is positive, right click or Alt-click negative, a drag draws a box, Shift-drag a
scribble, Ctrl-click takes an object up again. The wheel zooms; with Space held, a drag pans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

LEFT, RIGHT = 1, 2

MODIFIERS = ("Alt", "Shift", "Control", "Meta")

# A press that moves less than this, in pixels of the screen, is a click.
CLICK_TOLERANCE = 5


class Listener(Protocol):
    """Who is told what the mouse did; positions are in the world's coordinates."""

    def clicked(self, position: Any, *, positive: bool) -> None:
        """A click."""

    def boxed(self, start: Any, stop: Any, *, finished: bool) -> None:
        """A drag, at each move and, finished, at its end."""

    def scribbled(self, stroke: list[Any], *, positive: bool, finished: bool) -> None:
        """A drag with Shift, likewise."""

    def picked(self, position: Any) -> None:
        """A click with Ctrl."""


def drag_callback(listener: Listener) -> Callable[[Any, Any], Iterator[None]]:
    """What to put among a layer's ``mouse_drag_callbacks``.

    Parameters
    ----------
    listener : Listener
        Who is told.

    Returns
    -------
    callable
    """

    def on_drag(layer: Any, event: Any) -> Iterator[None]:
        # With Space held the layer may be panned, see `hold_to_pan`.
        if event.button not in (LEFT, RIGHT) or layer.mouse_pan:
            return
        # napari's modifiers are equal to their names, but have other hashes.
        modifiers = [name for name in MODIFIERS if name in list(event.modifiers)]
        positive = event.button == LEFT and "Alt" not in modifiers
        start_on_screen = np.asarray(event.pos, dtype=np.float64)
        stroke = [np.array(event.position)]
        moved = False
        yield
        while event.type == "mouse_move":
            distance = np.asarray(event.pos, dtype=np.float64) - start_on_screen
            moved = moved or bool(np.hypot(*distance) > CLICK_TOLERANCE)
            stroke.append(np.array(event.position))
            if moved:
                _tell_drag(listener, stroke, modifiers, positive, finished=False)
            yield
        if moved:
            stroke.append(np.array(event.position))
            _tell_drag(listener, stroke, modifiers, positive, finished=True)
        elif "Control" in modifiers or "Meta" in modifiers:
            listener.picked(stroke[0])
        else:
            listener.clicked(stroke[0], positive=positive)

    return on_drag


def _tell_drag(
    listener: Listener, stroke: list[Any], modifiers: list[str], positive: bool, *, finished: bool
) -> None:
    if "Shift" in modifiers:
        listener.scribbled(stroke, positive=positive, finished=finished)
    else:
        listener.boxed(stroke[0], stroke[-1], finished=finished)


def hold_to_pan(layer: Any) -> Iterator[None]:
    """Pan with the mouse while a key is held: to be bound to Space.

    Parameters
    ----------
    layer : napari.layers.Layer
        The prompts.

    Yields
    ------
    None
        While the key is held.
    """
    layer.mouse_pan = True
    yield
    layer.mouse_pan = False
