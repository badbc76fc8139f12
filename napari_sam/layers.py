"""The layers that the plugin draws on: prompts, boxes, the mask under way, proposals.

They are held as objects and never looked up by name, so that a person may rename, move or delete
them; one that was deleted is made again when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import shifted, to_data
from sam_plugins.regions import Plane
from sam_plugins.session import Cutout, PromptState

if TYPE_CHECKING:
    import napari

POSITIVE, NEGATIVE, BOX, PREVIEW = "#39ff14", "#ff3b30", "#ffd60a", "#00e5ff"

# Pixels along a side of the mask that is drawn while it is not committed. Larger ones are thinned
# out for display, which nobody sees on a screen; what is committed has all pixels.
MOST_DRAWN = 2048

POINT_SCREEN_PIXELS = 10
LINE_SCREEN_PIXELS = 2

PROMPTS_NAME, BOXES_NAME = "SAM prompts", "SAM boxes"
PREVIEW_NAME, PROPOSALS_NAME = "SAM preview", "SAM proposals"


class PromptLayers:
    """The plugin's own layers in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    on_created : callable
        Called with the name's role (``"prompts"``, ...) and each new layer.
    """

    def __init__(self, viewer: napari.Viewer, on_created: Callable[[str, Any], None]) -> None:
        self.viewer = viewer
        self._on_created = on_created
        self._layers: dict[str, Any] = {}
        self._transform: dict[str, Any] = {}
        self._ndim = 0

    # ---- which layers there are ------------------------------------------------------------

    def attach(self, transform: dict[str, Any], ndim: int) -> None:
        """Lie on an image.

        Parameters
        ----------
        transform : dict
            From `transform_of`.
        ndim : int
            The image's axes.
        """
        if ndim != self._ndim:
            self.remove()
        self._transform, self._ndim = transform, ndim
        for role, layer in list(self._layers.items()):
            if role in ("prompts", "boxes"):
                place(layer, transform)
        # All of them now: napari takes a tenth of a second for each.
        for role in ("proposals", "preview", "boxes", "prompts"):
            self.get(role)

    def owns(self, layer: Any) -> bool:
        """Whether a layer is one of these.

        Parameters
        ----------
        layer : napari.layers.Layer

        Returns
        -------
        bool
        """
        return any(layer == own for own in self._layers.values())

    def get(self, role: str) -> Any:
        """A layer, made if it is not there.

        Parameters
        ----------
        role : {"prompts", "boxes", "preview", "proposals"}

        Returns
        -------
        napari.layers.Layer
        """
        if role not in self._layers:
            active = self.viewer.layers.selection.active
            layer = getattr(self, f"_make_{role}")()
            self._layers[role] = layer
            self._raise_prompts()
            # A new layer becomes the selected one; the person's choice stays.
            self.viewer.layers.selection.active = active
            self._on_created(role, layer)
        return self._layers[role]

    def _raise_prompts(self) -> None:
        """Prompts are drawn above masks."""
        layers = self.viewer.layers
        for role in ("boxes", "prompts"):
            layer = self._layers.get(role)
            if layer is not None and layer in layers and layers[-1] != layer:
                layers.move(layers.index(layer), len(layers))

    def forget(self, layer: Any) -> None:
        """Take note that somebody removed a layer.

        Parameters
        ----------
        layer : napari.layers.Layer
        """
        for role, own in list(self._layers.items()):
            if own == layer:
                del self._layers[role]

    def remove(self) -> None:
        """Remove all of these layers from the viewer."""
        layers, self._layers = list(self._layers.values()), {}
        # Else napari 0.9 looks for garbage and rebuilds its scene after each.
        together = getattr(self.viewer.layers, "batched_update", nullcontext)
        with together():
            for layer in layers:
                with suppress(ValueError):  # somebody was faster
                    self.viewer.layers.remove(layer)

    def activate(self) -> None:
        """Select the prompts, so that clicks go there."""
        self.viewer.layers.selection.active = self.get("prompts")

    @property
    def active(self) -> bool:
        """Whether clicks go to the prompts."""
        prompts = self._layers.get("prompts")
        return prompts is not None and self.viewer.layers.selection.active == prompts

    def _make_prompts(self) -> Any:
        layer = self.viewer.add_points(
            ndim=self._ndim,
            name=PROMPTS_NAME,
            size=1,
            canvas_size_limits=(POINT_SCREEN_PIXELS, POINT_SCREEN_PIXELS),
            border_color="white",
            border_width=0.15,
            **self._transform,
        )
        layer.mouse_pan = False
        return layer

    def _make_boxes(self) -> Any:
        return self.viewer.add_shapes(
            ndim=self._ndim,
            name=BOXES_NAME,
            face_color="transparent",
            edge_color=BOX,
            **self._transform,
        )

    def _make_preview(self) -> Any:
        return self._make_mask(PREVIEW_NAME, {0: "transparent", 1: PREVIEW, None: PREVIEW}, 0.5)

    def _make_proposals(self) -> Any:
        return self._make_mask(PROPOSALS_NAME, None, 0.35)

    def _make_mask(self, name: str, colours: dict[Any, Any] | None, opacity: float) -> Any:
        from napari.utils.colormaps import DirectLabelColormap

        layer = self.viewer.add_labels(
            np.zeros((1,) * self._ndim, dtype=np.uint8),
            name=name,
            opacity=opacity,
            **({"colormap": DirectLabelColormap(color_dict=colours)} if colours else {}),
            **self._transform,
        )
        layer.editable = False
        return layer

    # ---- what they show --------------------------------------------------------------------

    def show_prompts(self, plane: Plane, said: PromptState, *, screen_pixel: float = 1.0) -> None:
        """Draw points and boxes.

        Parameters
        ----------
        plane : tuple of int or None
            Where they lie.
        said : PromptState
            What was said.
        screen_pixel : float
            Data pixels to one pixel of the screen.
        """
        points = [to_data(plane, x, y) for x, y in said.points]
        prompts = self.get("prompts")
        if len(points) or len(prompts.data):
            with drawn_once(prompts):
                prompts.data = np.array(points).reshape(-1, len(plane))
                if points:
                    prompts.face_color = [POSITIVE if label else NEGATIVE for label in said.labels]
                prompts.selected_data = set()
        self.show_boxes(plane, list(said.boxes), screen_pixel=screen_pixel)

    def show_boxes(self, plane: Plane, boxes: list[Any], *, screen_pixel: float = 1.0) -> None:
        """Draw boxes only.

        Parameters
        ----------
        plane : tuple of int or None
            Where they lie.
        boxes : list of tuple of float
            x0, y0, x1, y1 each, in pixels of the plane.
        screen_pixel : float
            See `show_prompts`.
        """
        layer = self.get("boxes")
        if not boxes and not len(layer.data):
            return
        corners = [
            np.array(
                [
                    to_data(plane, x - 0.5, y - 0.5)
                    for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
                ]
            )
            for x0, y0, x1, y1 in boxes
        ]
        layer.data = []
        if corners:
            width = LINE_SCREEN_PIXELS * screen_pixel
            layer.add(corners, shape_type="rectangle", edge_width=width)
            layer.selected_data = set()

    def show_mask(self, plane: Plane, cutout: Cutout | None) -> None:
        """Draw the mask that is under way.

        Parameters
        ----------
        plane : tuple of int or None
            Where it lies.
        cutout : Cutout or None
            None for none.
        """
        if cutout is None or not cutout.mask.size:
            self._empty("preview")
            return
        step = -(-max(cutout.mask.shape) // MOST_DRAWN)
        self._show_crop("preview", plane, cutout.mask[::step, ::step], cutout.corner, step)

    def show_proposals(
        self, plane: Plane, picture: NDArray[np.uint8], origin: tuple[int, int], step: int
    ) -> None:
        """Draw proposals.

        Parameters
        ----------
        plane : tuple of int or None
            Where they lie.
        picture : ndarray of shape (h, w), uint8
            Their colours, 0 where there is none.
        origin : tuple of int
            x, y of its first pixel in the plane.
        step : int
            Pixels of the plane to one of the picture.
        """
        self._show_crop("proposals", plane, picture, origin, step)

    def hide_proposals(self) -> None:
        """Show no proposals any more."""
        self._empty("proposals")

    def _empty(self, role: str) -> None:
        layer = self._layers.get(role)
        if layer is not None and layer.data.size > 1:
            with drawn_once(layer):
                layer.data = np.zeros((1,) * layer.ndim, dtype=np.uint8)

    def _show_crop(
        self,
        role: str,
        plane: Plane,
        pixels: NDArray[Any],
        origin: tuple[int, int],
        step: int,
    ) -> None:
        layer = self.get(role)
        data = np.ascontiguousarray(pixels).view(np.uint8)
        # The first pixel of a step x step block stands for it: the picture is half a block off.
        middle = (step - 1) / 2
        offset = to_data(plane, origin[0] + middle, origin[1] + middle)
        inside = np.array([step if index is None else 1 for index in plane])
        where = shifted(self._transform, offset, inside)
        shape = [1] * len(plane)
        for axis, side in zip(
            (axis for axis, index in enumerate(plane) if index is None), data.shape, strict=True
        ):
            shape[axis] = side
        with drawn_once(layer):
            layer.data = data.reshape(shape)
            moved = [
                name for name in where if not np.array_equal(getattr(layer, name), where[name])
            ]
            for name in moved:
                setattr(layer, name, where[name])
        if moved:
            layer.events.translate()


@contextmanager
def drawn_once(layer: Any) -> Iterator[None]:
    """Change data and looks of one of our layers, and draw it when all is said.

    At each change napari would draw the layer and measure the whole scene, which costs as much as
    the model's answer. Our layers lie on the image: the scene is no larger for them.

    Parameters
    ----------
    layer : napari.layers.Layer
    """
    with layer.events.blocker_all():
        yield
    layer.refresh()


def place(layer: Any, transform: dict[str, Any]) -> None:
    """Move a layer to where a transform says.

    Parameters
    ----------
    layer : napari.layers.Layer
    transform : dict
        From `transform_of`.
    """
    for name in ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels"):
        setattr(layer, name, transform[name])
