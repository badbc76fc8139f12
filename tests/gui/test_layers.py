"""Layers in any order and place: nothing raises or is cleared, masks lie where one clicked."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels
from scipy import ndimage
from skimage import data

from napari_sam.camera import camera_of
from tests.gui.canvas import click, press

pytestmark = pytest.mark.gui


def rotation(degrees, ndim=2):
    turn = np.deg2rad(degrees)
    matrix = np.eye(ndim)
    matrix[-2:, -2:] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    return matrix


@pytest.mark.parametrize(
    "place",
    [
        {"scale": (0.2, 0.2), "translate": (10, -30)},
        {"rotate": 30},
        {"scale": (2, 0.5)},
        {"affine": [[0.8, 0.2, 5], [-0.1, 1.1, 7], [0, 0, 1]], "scale": (0.5, 0.5)},
        {"shear": [0.3], "rotate": -20, "scale": (3, 3)},
    ],
)
def test_masks_lie_where_one_clicked(open_widget, coins, place):
    image, masks = coins
    window = open_widget(Image(image, name="coins", **place))
    layer = window.viewer.layers["coins"]
    for mask in masks[:4]:
        click(window.viewer, layer.data_to_world(ndimage.center_of_mass(mask)))
        window.mask()
        window.idle()
        centre = layer.data_to_world(ndimage.center_of_mass(mask))
        assert window.controller.layers.get("preview").get_value(centre, world=True) == 1
        press(window.viewer, "n")
    window.idle()
    labels = window.controller.work.labels
    for number, mask in enumerate(masks[:4], start=1):
        found = labels.data == number
        assert (found & mask).sum() / (found | mask).sum() > 0.75
        world = layer.data_to_world(ndimage.center_of_mass(mask))
        assert labels.get_value(world, world=True) == number


def test_a_stack_slice_by_slice(open_widget, coins):
    image, masks = coins
    stack = np.stack([image, image[::-1], image[:, ::-1]])
    window = open_widget(Image(stack, name="stack", scale=(5, 0.2, 0.2)))
    layer = window.viewer.layers["stack"]
    flips = (lambda m: m, lambda m: m[::-1], lambda m: m[:, ::-1])
    for index in (0, 2, 1):
        window.viewer.dims.set_current_step(0, index)
        window.idle()
        coin = flips[index](masks[0])
        click(window.viewer, layer.data_to_world((index, *ndimage.center_of_mass(coin))))
        window.mask()
        press(window.viewer, "n")
        window.idle()
        found = window.labels[index] > 0
        assert (found & coin).sum() / (found | coin).sum() > 0.75
    assert [np.unique(plane).tolist() for plane in window.labels] == [[0, 1], [0, 3], [0, 2]]
    # In the other direction the same pixels are rows and columns of other slices.
    window.viewer.dims.order = (1, 0, 2)
    window.idle()
    assert window.controller.plane[1] is not None
    window.viewer.dims.order = (0, 1, 2)
    window.viewer.dims.ndisplay = 3
    window.idle()
    assert window.controller.plane is None
    press(window.viewer, "n")
    press(window.viewer, "g")
    window.viewer.dims.ndisplay = 2
    window.idle()
    press(window.viewer, "u")
    assert not (window.labels[1] > 0).any()


def test_drafts_of_slices_are_kept(open_widget, coins):
    window = open_widget(Image(np.stack([coins[0]] * 3), name="stack"))
    window.viewer.dims.set_current_step(0, 0)
    window.idle()
    click(window.viewer, (0, *ndimage.center_of_mass(coins[1][0])))
    window.mask()
    window.viewer.dims.set_current_step(0, 1)
    window.idle()
    assert window.session.prompts.empty
    assert len(window.controller.layers.get("prompts").data) == 0
    window.viewer.dims.set_current_step(0, 0)
    window.idle()
    assert len(window.session.prompts.points) == 1
    assert len(window.controller.layers.get("prompts").data) == 1


def test_rgb_and_channels(open_widget):
    image = data.immunohistochemistry()
    window = open_widget(Image(image, name="rgb", rgb=True))
    click(window.viewer, (150, 200))
    assert window.mask().area
    channels = np.moveaxis(image, -1, 0)
    window.viewer.add_layer(Image(channels, name="channels"))
    layer = window.viewer.layers["channels"]
    window.controller.set_image(layer, channel_axis=0)
    window.idle()
    assert [box.currentData() for box in window.widget.image_panel.channels] == [0, 1, 2]
    click(window.viewer, (0, 150, 200))
    first = window.mask()
    # The same object whichever channel is shown.
    window.viewer.dims.set_current_step(0, 2)
    window.idle()
    assert window.session.cutout is first
    press(window.viewer, "n")
    labels = window.controller.work.labels
    assert labels.data.shape == (1, *image.shape[:2])
    assert labels.get_value((2, 150, 200), world=True) == 1
    assert labels.get_value((0, 150, 200), world=True) == 1


def test_an_existing_layer_is_added_to(open_widget, coins):
    image, masks = coins
    painted = np.zeros(image.shape, np.int32)
    painted[masks[0]] = 7
    window = open_widget(Image(image, name="coins"), Labels(painted.copy(), name="mine"))
    window.widget.labels.setCurrentIndex(window.widget.labels.findText("mine"))
    window.widget._on_labels()
    window.idle()
    click(window.viewer, ndimage.center_of_mass(masks[1]))
    press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 1)
    assert np.unique(window.labels).tolist() == [0, 7, 8]
    assert np.array_equal(window.labels == 7, painted == 7)
    assert len(window.viewer.layers) == 6


def test_changing_the_image_and_back_keeps_everything(open_widget, coins):
    image, masks = coins
    window = open_widget(Image(image, name="a"), Image(image[:, ::-1], name="b"))
    first, second = window.viewer.layers["a"], window.viewer.layers["b"]
    for layer, flip in ((first, 1), (second, -1)):
        window.controller.set_image(layer)
        window.idle()
        click(window.viewer, ndimage.center_of_mass(masks[0][:, ::flip]))
        press(window.viewer, "n")
        window.until(lambda: len(window.session.objects) == 1)
    window.controller.set_image(first)
    window.idle()
    assert len(window.session.objects) == 1
    assert window.labels.any()
    press(window.viewer, "u")
    assert not window.labels.any()
    window.controller.set_image(second)
    assert window.labels.any()


@pytest.mark.parametrize("role", ["prompts", "boxes", "preview"])
def test_our_layers_come_back(open_widget, coins, role):
    window = open_widget(Image(coins[0], name="coins"))
    click(window.viewer, ndimage.center_of_mass(coins[1][0]))
    window.mask()
    window.idle()
    ours = window.controller.layers.get(role)
    window.viewer.layers.remove(window.viewer.layers[ours.name])
    window.idle()
    window.controller.layers.activate()
    click(window.viewer, ndimage.center_of_mass(coins[1][0]))
    window.mask()
    window.idle()
    press(window.viewer, "n")
    assert len(window.session.objects) == 1
    assert window.labels.any()


def test_deleting_in_any_order(open_widget, coins):
    image, masks = coins
    kept = Labels(np.ones(image.shape, np.uint16), name="others")
    window = open_widget(Image(image, name="coins"), kept)
    click(window.viewer, ndimage.center_of_mass(masks[0]))
    press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 1)
    labels = window.controller.work.labels
    before = np.array(labels.data)
    click(window.viewer, ndimage.center_of_mass(masks[1]))
    window.viewer.layers.remove(window.viewer.layers["coins"])
    window.idle()
    assert window.controller.work is None
    assert np.array_equal(labels.data, before)
    press(window.viewer, "n")
    press(window.viewer, "u")
    press(window.viewer, "g")
    window.viewer.add_layer(Image(image, name="again"))
    window.idle()
    click(window.viewer, ndimage.center_of_mass(masks[1]))
    press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 1)
    window.viewer.layers.remove(window.viewer.layers[window.controller.work.labels.name])
    window.idle()
    assert len(window.session.objects) == 0
    click(window.viewer, ndimage.center_of_mass(masks[2]))
    press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 1)
    window.viewer.layers.clear()
    window.idle()
    assert (kept.data == 1).all()
    assert np.array_equal(labels.data, before)


def test_two_viewers_are_independent(open_widget, coins):
    image, masks = coins
    windows = [open_widget(Image(image, name="coins")) for _ in range(2)]
    for number, window in enumerate(windows):
        for mask in masks[: number + 1]:
            click(window.viewer, ndimage.center_of_mass(mask))
            press(window.viewer, "n")
    for number, window in enumerate(windows):
        window.until(lambda window=window, number=number: len(window.session.objects) == number + 1)
        window.idle()
    folders = {window.controller.work.folder.path for window in windows}
    assert len(folders) == 2
    press(windows[0].viewer, "u")
    assert not windows[0].labels.any()
    assert len(windows[1].session.objects) == 2


def test_the_last_session_is_restored(open_widget, coins):
    image, masks = coins
    window = open_widget(Image(image, name="coins"))
    for mask in masks[:3]:
        click(window.viewer, ndimage.center_of_mass(mask))
        press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 3)
    click(window.viewer, ndimage.center_of_mass(masks[4]))
    window.idle()
    before = np.array(window.labels)
    window.controller.close()
    window.viewer.layers.clear()
    again = open_widget(Image(image, name="coins"))
    assert again.widget.restore.isVisible()
    again.widget.restore.click()
    again.idle()
    assert np.array_equal(again.labels, before)
    assert len(again.session.objects) == 3
    assert len(again.session.prompts.points) == 1
    again.mask()
    for _ in range(3):
        press(again.viewer, "u")
    assert len(again.session.objects) == 2


def test_what_napari_draws_late_is_looked_at_nevertheless(open_widget, coins):
    large = np.tile(coins[0], (12, 12))
    window = open_widget(Image(large, name="large"))
    camera = camera_of(window.viewer)
    camera.center = (0.0, 5 * 303 + 150, 5 * 384 + 190)
    camera.zoom = 2
    # As if the camera had settled before anything was drawn: the whole is what was seen last.
    window.controller.looking.embed()
    window.idle()
    x0, y0, x1, y1 = window.controller.asking.region
    assert max(x1 - x0, y1 - y0) < 1200


def test_a_large_image_is_looked_at_where_one_zooms(open_widget, coins):
    image, masks = coins
    large = np.tile(image, (12, 12)).astype(np.uint16) * 7
    window = open_widget(Image(large, name="large"))
    assert window.controller.asking.region == (0, 0, large.shape[1], large.shape[0])
    camera = camera_of(window.viewer)
    camera.center = (0.0, 5 * 303 + 150, 5 * 384 + 190)
    camera.zoom = 2
    window.idle()
    x0, y0, x1, y1 = window.controller.asking.region
    assert max(x1 - x0, y1 - y0) < 1200
    coin = np.add(ndimage.center_of_mass(masks[12]), (5 * 303, 5 * 384))
    click(window.viewer, coin)
    window.mask()
    press(window.viewer, "n")
    found = window.labels[5 * 303 : 6 * 303, 5 * 384 : 6 * 384] > 0
    assert (found & masks[12]).sum() / (found | masks[12]).sum() > 0.75
