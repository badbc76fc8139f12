"""Commands of the palette. Those that need the widget open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

if TYPE_CHECKING:
    import napari

    from napari_sam.widget import SegmentAnythingWidget

PLUGIN, WIDGET = "sam-plugins", "Segment Anything"


def segment_everything(viewer: napari.Viewer) -> None:
    """Propose masks for everything that is seen.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    _widget(viewer).controller.run("segment_everything")


def commit_object(viewer: napari.Viewer) -> None:
    """Keep the mask that is under way as an object.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    _widget(viewer).controller.run("commit")


def restore_session(viewer: napari.Viewer) -> None:
    """Bring back the objects of the last time with this image.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    """
    _widget(viewer).restore_session()


def clear_embedding_cache(viewer: napari.Viewer | None = None) -> None:
    """Forget all embeddings, in memory and on disk.

    Parameters
    ----------
    viewer : napari.Viewer, optional
        Not used; all windows share one cache.
    """
    from napari_sam.models import embedding_cache

    cache = embedding_cache()
    size = cache.disk_usage()
    cache.clear()
    show_info(f"The embedding cache is empty now; {size / 1e6:.0f} MB were freed on disk")


def _widget(viewer: napari.Viewer) -> SegmentAnythingWidget:
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    return widget
