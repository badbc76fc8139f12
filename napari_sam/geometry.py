"""Between the viewer's world and the pixels of a plane of an image.

Points have a pixel's centre at whole numbers, in napari as in a session. Boxes have its edges there
in a session, so that they are half a pixel apart from napari's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.regions import Plane, plane_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari

Box = tuple[float, float, float, float]


def image_shape(layer: Any, channel_axis: int | None = None) -> tuple[int, ...]:
    """The sides of an image's axes, those of RGB left out and those of channels taken as one.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.
    channel_axis : int, optional
        The axis that holds channels.

    Returns
    -------
    tuple of int
    """
    data = layer.data[0] if layer.multiscale else layer.data
    shape = [int(side) for side in data.shape]
    if layer.rgb:
        shape.pop()
    if channel_axis is not None:
        shape[channel_axis] = 1
    return tuple(shape)


def current_plane(
    viewer: napari.Viewer, layer: Any, channel_axis: int | None = None
) -> Plane | None:
    """The plane of an image that is shown.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : napari.layers.Image
        The image.
    channel_axis : int, optional
        The axis that holds channels.

    Returns
    -------
    tuple of int or None
        None if none is: the view is in 3D, beyond the image, or along the channels.
    """
    dims = viewer.dims
    if dims.ndisplay != 2:
        return None
    offset = dims.ndim - layer.ndim
    shown = {axis - offset for axis in dims.displayed}
    shape = image_shape(layer, channel_axis)
    if min(shown) < 0 or channel_axis in shown:
        return None
    position = np.asarray(layer.world_to_data(np.asarray(dims.point)))[-layer.ndim :]
    plane: list[int | None] = []
    for axis, side in enumerate(shape):
        if axis in shown:
            plane.append(None)
        elif axis == channel_axis:
            plane.append(0)
        else:
            index = round(float(position[axis]))
            if not 0 <= index < side:
                return None
            plane.append(index)
    return tuple(plane)


def to_pixels(layer: Any, plane: Plane, position: Sequence[float]) -> tuple[float, float]:
    """A position in the world as x, y in pixels of a plane.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.
    plane : tuple of int or None
        The plane.
    position : sequence of float
        World coordinates, as mouse events have them.

    Returns
    -------
    tuple of float
        x, y, a pixel's centre at whole numbers; may lie outside the image.
    """
    data = np.asarray(layer.world_to_data(np.asarray(position)))[-len(plane) :]
    y, x = (float(data[axis]) for axis, index in enumerate(plane) if index is None)
    return x, y


def to_data(plane: Plane, x: float, y: float) -> NDArray[np.float64]:
    """x, y in pixels of a plane as napari's data coordinates.

    Parameters
    ----------
    plane : tuple of int or None
        The plane.
    x, y : float
        In pixels.

    Returns
    -------
    ndarray of shape (ndim,), float64
    """
    sides = iter((y, x))
    return np.array([next(sides) if index is None else float(index) for index in plane])


def visible_box(viewer: napari.Viewer, layer: Any, plane: Plane) -> Box | None:
    """What of a plane is seen, as far as it is known.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : napari.layers.Image
        The image.
    plane : tuple of int or None
        The plane.

    Returns
    -------
    tuple of float or None
        x0, y0, x1, y1 in pixels of the plane.
    """
    corners = np.asarray(layer.corner_pixels, dtype=np.float64)
    if layer.multiscale:
        factors = np.asarray(layer.downsample_factors[layer.data_level])
        corners = corners * factors[: corners.shape[1]]
    rows, columns = (axis for axis, index in enumerate(plane) if index is None)
    height, width = plane_size(plane, image_shape(layer))
    # Both corners are pixels, the last one included.
    y0, y1 = np.clip(np.add(np.sort(corners[:, rows]), (0, 1)), 0, height)
    x0, x1 = np.clip(np.add(np.sort(corners[:, columns]), (0, 1)), 0, width)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    return float(x0), float(y0), float(x1), float(y1)


def transform_of(layer: Any, channel_axis: int | None = None) -> dict[str, Any]:
    """All that places an image in the world, for layers that lie on it.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.
    channel_axis : int, optional
        An axis of which the layers have one index only: it is stretched over all channels.

    Returns
    -------
    dict
        Arguments of ``viewer.add_labels`` and its like.
    """
    scale = np.array(layer.scale, dtype=np.float64)
    translate = np.array(layer.translate, dtype=np.float64)
    if channel_axis is not None:
        count = image_shape(layer)[channel_axis]
        translate[channel_axis] += scale[channel_axis] * (count - 1) / 2
        scale[channel_axis] *= count
    return {
        "scale": scale,
        "translate": translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": np.asarray(layer.affine.affine_matrix),
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def shifted(
    transform: dict[str, Any], offset: NDArray[np.float64], step: int | NDArray[np.integer]
) -> dict[str, Any]:
    """Scale and translation of a crop, every ``step``-th pixel of it, so that it lies in place.

    Parameters
    ----------
    transform : dict
        Of the whole, from `transform_of`.
    offset : ndarray of shape (ndim,), float64
        Of the crop's first pixel in the whole, in pixels.
    step : int or ndarray of shape (ndim,), integer
        Pixels of the whole to one of the crop.

    Returns
    -------
    dict
        ``scale`` and ``translate``.
    """
    from napari.utils.transforms import Affine

    linear = Affine(
        scale=transform["scale"], rotate=transform["rotate"], shear=transform["shear"]
    ).linear_matrix
    return {
        "scale": transform["scale"] * step,
        "translate": transform["translate"] + linear @ offset,
    }
