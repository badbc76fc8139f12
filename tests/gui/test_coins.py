"""The coins of scikit-image, labelled as a person would: how many actions, how good the masks."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from scipy import ndimage

from tests.gui.canvas import CONTROL, SHIFT, click, drag, press

pytestmark = pytest.mark.gui


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def ious(labels, masks):
    """Of each coin with the label that most of it has; no label may serve twice."""
    found, used = [], set()
    for mask in masks:
        label = np.bincount(labels[mask]).argmax()
        assert label
        assert label not in used
        used.add(label)
        found.append(iou(labels == label, mask))
    return found


def box_of(mask):
    rows, columns = ndimage.find_objects(mask.astype(int))[0]
    return (rows.start, columns.start), (rows.stop - 1, columns.stop - 1)


def test_one_click_and_n_a_coin(open_widget, coins):
    image, masks = coins
    window = open_widget(Image(image, name="coins"))
    actions = 0
    for mask in masks:
        click(window.viewer, ndimage.center_of_mass(mask))
        # Nobody waits for the mask: N holds for the answer that is under way.
        press(window.viewer, "n")
        actions += 2
    window.until(lambda: len(window.session.objects) == len(masks))
    window.idle()
    assert actions == 48
    found = ious(window.labels, masks)
    assert np.mean(found) > 0.92
    assert min(found) > 0.8


def test_one_click_a_coin(open_widget, coins):
    image, masks = coins
    window = open_widget(Image(image, name="coins"))
    window.widget.one_click.setChecked(True)
    for mask in masks:
        click(window.viewer, ndimage.center_of_mass(mask))
    window.until(lambda: len(window.session.objects) == len(masks))
    window.idle()
    found = ious(window.labels, masks)
    assert np.mean(found) > 0.92
    # One undo takes the object and its click together.
    press(window.viewer, "u")
    assert len(window.session.objects) == len(masks) - 1
    assert window.session.prompts.empty


def test_one_box_a_coin(open_widget, coins):
    image, masks = coins
    window = open_widget(Image(image, name="coins"))
    window.widget.box_to_object.setChecked(True)
    for mask in masks:
        drag(window.viewer, box_of(mask))
    window.until(lambda: len(window.session.objects) == len(masks))
    window.idle()
    found = ious(window.labels, masks)
    assert np.mean(found) > 0.95
    assert min(found) > 0.9


def test_undo_goes_back_through_every_state(open_widget, coins):
    image, masks = coins
    window = open_widget(Image(image, name="coins"))
    states = []

    def state():
        session = window.session
        labels = window.controller.work.labels
        painted = np.zeros(image.shape, np.uint16) if labels is None else labels.data.copy()
        return painted, session.prompts, len(session.objects)

    def act(action, *arguments, **options):
        states.append(state())
        action(window.viewer, *arguments, **options)
        if not window.session.prompts.empty:
            window.mask()
        window.idle()

    for mask in masks[:3]:
        centre = ndimage.center_of_mass(mask)
        act(click, centre)
        act(click, (centre[0] + 3, centre[1] + 3))
        act(press, "n")
    act(drag, box_of(masks[3]))
    act(press, "n")
    act(click, ndimage.center_of_mass(masks[4]))
    for painted, prompts, count in reversed(states):
        press(window.viewer, "u")
        window.idle()
        now = state()
        assert np.array_equal(now[0], painted)
        assert now[1] == prompts
        assert now[2] == count
    press(window.viewer, "u")
    assert window.widget.status.text() == "Nothing to undo"


def test_the_control_key_undoes_as_well(open_widget, coins):
    image, masks = coins
    window = open_widget(Image(image, name="coins"))
    for mask in masks[:2]:
        click(window.viewer, ndimage.center_of_mass(mask))
        press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 2)
    press(window.viewer, "z", CONTROL)
    assert np.unique(window.labels).tolist() == [0, 1]


def test_napari_s_own_undo_goes_on_working(open_widget, coins):
    image, masks = coins
    window = open_widget(Image(image, name="coins"))
    for mask in masks[:2]:
        click(window.viewer, ndimage.center_of_mass(mask))
        press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 2)
    layer = window.controller.work.labels
    window.viewer.layers.selection.active = window.viewer.layers[layer.name]
    press(window.viewer, "z", CONTROL)
    assert np.unique(window.labels).tolist() == [0, 1]
    window.until(lambda: window.widget.objects.rowCount() == 1)
    press(window.viewer, "z", CONTROL | SHIFT)
    assert np.unique(window.labels).tolist() == [0, 1, 2]
    window.until(lambda: window.widget.objects.rowCount() == 2)
