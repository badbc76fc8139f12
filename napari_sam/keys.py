"""The keys: bound on the viewer and on the plugin's layers, shown in the widget.

Only letters that napari leaves free on every kind of layer are used: a layer's own keys win over
the viewer's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from napari_sam.mouse import hold_to_pan


@dataclass(frozen=True)
class Key:
    """One key.

    Parameters
    ----------
    keys : tuple of str
        As napari names them.
    action : str
        Name of a method of the controller, its editing or its proposing.
    label : str
        How the key is shown.
    help : str
        What it does.
    on_viewer : bool
        Whether it works whatever layer is selected; else on the plugin's own layers only.
    """

    keys: tuple[str, ...]
    action: str
    label: str
    help: str
    on_viewer: bool = True


KEYS = (
    Key(("n",), "commit", "N", "keep this mask as an object, go on with the next"),
    Key(("u", "Control-Z"), "undo", "U or Ctrl-Z", "undo the last click; if none, the last object"),
    Key(("q",), "cycle", "Q", "next of the candidate masks"),
    Key(("w",), "toggle_polarity", "W", "left click: object or background"),
    Key(("g",), "segment_everything", "G", "segment everything (in the box, if there is one)"),
    Key(("j",), "next_proposal", "J", "go to the next proposal that is not labelled"),
    Key(("h",), "toggle_preview", "H", "hide or show the mask"),
    Key(("Escape",), "clear", "Esc", "drop the clicks on this object", on_viewer=False),
)

MOUSE_HELP = (
    ("Click", "this is the object"),
    ("Right click, Alt-click", "this is background"),
    ("Drag", "box around the object"),
    ("Shift-drag", "scribble on the object (right button: on the background)"),
    ("Ctrl-click", "take an object up again"),
    ("Wheel, Space-drag", "zoom, pan"),
)


def bind_layer(layer: Any, run: Callable[[str], None]) -> None:
    """Bind all keys on one of the plugin's layers.

    Parameters
    ----------
    layer : napari.layers.Layer
        The layer.
    run : callable
        Called with the action's name.
    """
    for key in KEYS:
        for name in key.keys:
            layer.bind_key(name, _caller(run, key.action), overwrite=True)
    layer.bind_key("Space", hold_to_pan, overwrite=True)


def bind_viewer(viewer: Any, run: Callable[[str], None]) -> None:
    """Bind the keys that work on every layer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    run : callable
        See `bind_layer`.
    """
    for key in KEYS:
        if key.on_viewer:
            for name in key.keys:
                viewer.bind_key(name, _caller(run, key.action), overwrite=True)


def unbind_viewer(viewer: Any) -> None:
    """Undo `bind_viewer`.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    for key in KEYS:
        if key.on_viewer:
            for name in key.keys:
                with suppress(KeyError, ValueError):  # somebody else unbound it
                    viewer.bind_key(name, None)


def _caller(run: Callable[[str], None], action: str) -> Callable[[Any], None]:
    def call(_: Any) -> None:
        run(action)

    return call
