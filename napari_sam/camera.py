"""The camera: how near one looks, and looking at something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.geometry import to_data, visible_box
from sam_plugins.regions import Plane, contains

if TYPE_CHECKING:
    import napari

    from napari_sam.work import Work

# An object that is looked at fills this part of the view.
FILLED = 1 / 4


def camera_of(viewer: Any) -> Any:
    """The camera, which moved to the scene in napari 0.9.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.

    Returns
    -------
    napari.components.Camera
    """
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def screen_pixel(viewer: napari.Viewer, work: Work) -> float:
    """Pixels of an image to one of the screen, roughly.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    work : Work
        The image.

    Returns
    -------
    float
    """
    shown = viewer.dims.displayed[-1] - viewer.dims.ndim
    zoom = float(camera_of(viewer).zoom)
    return 1 / max(zoom * abs(float(work.image.scale[shown])), 1e-9)


def look_at(
    viewer: napari.Viewer,
    work: Work,
    plane: Plane,
    box: tuple[int, int, int, int],
    *,
    zoom: bool = False,
) -> None:
    """Bring a box of a slice into view.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    work : Work
        The image.
    plane : tuple of int or None
        The slice.
    box : tuple of int
        x0, y0, x1, y1 in pixels.
    zoom : bool
        Whether to zoom to it as well; else nothing moves if it is in view already.
    """
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    world = work.image.data_to_world(to_data(plane, x, y))
    offset = viewer.dims.ndim - work.image.ndim
    for axis, index in enumerate(plane):
        if index is not None and axis != work.channel_axis:
            viewer.dims.set_point(axis + offset, float(world[axis]))
    camera = camera_of(viewer)
    seen = visible_box(viewer, work.image, plane)
    if seen is None:
        return
    if zoom:
        span = max(box[2] - box[0], box[3] - box[1], 8) / FILLED
        camera.zoom *= max(seen[2] - seen[0], seen[3] - seen[1]) / span
    elif contains((int(seen[0]), int(seen[1]), int(seen[2]), int(seen[3])), box):
        return
    camera.center = (0.0, *(float(world[axis - offset]) for axis in viewer.dims.displayed))
