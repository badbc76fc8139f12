"""``python -m napari_sam``: napari on a sample, with the widget docked."""

from __future__ import annotations

import napari

from napari_sam.settings import PLUGIN


def main() -> None:
    """Open the coins and the widget, and stay until the window is closed."""
    viewer = napari.Viewer(title="Segment Anything")
    viewer.open_sample(PLUGIN, "coins")
    viewer.window.add_plugin_dock_widget(PLUGIN, "Segment Anything")
    napari.run()


if __name__ == "__main__":
    main()
