"""Every gesture and key, as real Qt events on the real canvas."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scipy import ndimage

from napari_sam.camera import camera_of
from tests.gui.canvas import ALT, CONTROL, RIGHT, SHIFT, canvas, click, drag, press

pytestmark = pytest.mark.gui


@pytest.fixture
def window(open_widget, coins):
    return open_widget(Image(coins[0], name="coins"))


def test_the_mask_appears_after_the_click(window, coins):
    mask = coins[1][0]
    click(window.viewer, ndimage.center_of_mass(mask))
    window.mask()
    window.idle()
    preview = window.controller.layers.get("preview")
    points = window.controller.layers.get("prompts")
    assert len(points.data) == 1
    centre = ndimage.center_of_mass(mask)
    assert preview.get_value(centre, world=True) == 1
    assert window.controller.work.labels is None


@pytest.mark.parametrize(
    "how", [{"button": RIGHT}, {"modifier": ALT}, {"button": RIGHT, "modifier": SHIFT}]
)
def test_negative_clicks(window, how):
    click(window.viewer, (50, 60))
    click(window.viewer, (50, 80), **how)
    assert window.session.prompts.labels == (1, 0)
    window.idle()
    colours = window.controller.layers.get("prompts").face_color
    assert not np.allclose(colours[0], colours[1])


def test_polarity(window):
    press(window.viewer, "w")
    click(window.viewer, (50, 60))
    click(window.viewer, (50, 80), button=RIGHT)
    assert window.session.prompts.labels == (0, 1)
    assert "background" in window.widget.polarity.text()


def test_a_box_is_drawn_while_it_is_dragged_and_the_camera_stays(window):
    camera = camera_of(window.viewer)
    before = tuple(camera.center)
    drag(window.viewer, [(20, 20), (80, 90)])
    assert tuple(camera.center) == before
    ((x0, y0, x1, y1),) = window.session.prompts.boxes
    assert np.allclose((y0, x0, y1, x1), (20.5, 20.5, 80.5, 90.5), atol=1)
    assert len(window.controller.layers.get("boxes").data) == 1


def test_a_box_may_begin_or_end_outside_the_image(window):
    drag(window.viewer, [(-8, -8), (60, 70)])
    assert window.session.prompts.boxes[0][:2] == (0, 0)


def test_a_scribble(window, coins):
    rows, columns = ndimage.find_objects(coins[1][10].astype(int))[0]
    y = (rows.start + rows.stop) / 2
    drag(
        window.viewer,
        [
            (y, columns.start + 8),
            (y + 3, (columns.start + columns.stop) / 2),
            (y, columns.stop - 8),
        ],
        modifier=SHIFT,
    )
    said = window.session.prompts
    assert len(said.points) > 1
    assert set(said.labels) == {1}
    assert said.mask is not None
    found = window.mask().whole(coins[0].shape)
    coin = coins[1][10]
    assert (found & coin).sum() / (found | coin).sum() > 0.7


def test_space_pans(window):
    native, camera = canvas(window.viewer).native, camera_of(window.viewer)
    before = tuple(camera.center)
    QTest.keyPress(native, Qt.Key.Key_Space)
    drag(window.viewer, [(100, 100), (150, 150)])
    QTest.keyRelease(native, Qt.Key.Key_Space)
    assert window.session.prompts.empty
    assert tuple(camera.center) != before
    window.idle()
    assert not window.controller.layers.get("prompts").mouse_pan
    drag(window.viewer, [(160, 120), (200, 180)])
    assert len(window.session.prompts.boxes) == 1


def test_candidates(window, coins):
    click(window.viewer, ndimage.center_of_mass(coins[1][0]))
    window.mask()
    seen = [window.session.candidate]
    for _ in range(3):
        press(window.viewer, "q")
        seen.append(window.session.candidate)
    assert sorted(seen[:3]) == [0, 1, 2]
    assert seen[3] == seen[0]


def test_hide_and_drop(window, coins):
    click(window.viewer, ndimage.center_of_mass(coins[1][0]))
    window.mask()
    window.idle()
    preview = window.controller.layers.get("preview")
    press(window.viewer, "h")
    assert not preview.visible
    press(window.viewer, "h")
    assert preview.visible
    press(window.viewer, Qt.Key.Key_Escape)
    window.idle()
    assert window.session.prompts.empty
    assert not preview.data.any()
    press(window.viewer, "u")
    assert len(window.session.prompts.points) == 1


def test_an_object_is_taken_up_again(window, coins):
    for mask in coins[1][:2]:
        click(window.viewer, ndimage.center_of_mass(mask))
        press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 2)
    centre = ndimage.center_of_mass(coins[1][0])
    click(window.viewer, centre, modifier=CONTROL)
    assert window.session.editing == 1
    click(window.viewer, (centre[0] + 5, centre[1]))
    press(window.viewer, "n")
    window.idle()
    assert set(window.session.objects) == {1, 2}
    assert window.labels[round(centre[0]), round(centre[1])] == 1


def test_keys_work_with_the_image_selected(window, coins):
    click(window.viewer, ndimage.center_of_mass(coins[1][0]))
    window.mask()
    window.viewer.layers.selection.active = window.viewer.layers["coins"]
    press(window.viewer, "n")
    assert len(window.session.objects) == 1


def test_clicks_while_the_image_is_encoded_wait_and_are_answered(window, coins):
    from napari_sam.models import embedding_cache

    embedding_cache().clear()
    window.controller.asking.region = None
    window.controller.looking.embed()
    click(window.viewer, ndimage.center_of_mass(coins[1][3]))
    cutout = window.mask()
    found = cutout.whole(coins[0].shape)
    assert (found & coins[1][3]).sum() / (found | coins[1][3]).sum() > 0.8


def test_a_newer_click_replaces_an_older_one(window, coins):
    centre = ndimage.center_of_mass(coins[1][0])
    for step in range(5):
        click(window.viewer, (centre[0] + step, centre[1]))
    window.mask()
    window.idle()
    assert len(window.session.prompts.points) == 5
    assert window.session.cutout.area > 500


def test_everything_sliders_next_and_accept(window, coins):
    masks = coins[1]
    click(window.viewer, ndimage.center_of_mass(masks[0]))
    press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 1)
    press(window.viewer, "g")
    window.until(lambda: window.controller.proposing.count > 0)
    window.idle()
    many = window.controller.proposing.count
    least = window.widget.everything.iou.value()
    window.widget.everything.iou.setValue(least + 0.1)
    window.until(lambda: window.controller.proposing.count < many)
    window.idle()
    press(window.viewer, "j")
    assert window.session.cutout is not None
    press(window.viewer, "n")
    assert len(window.session.objects) == 2
    left = window.controller.proposing.count
    window.widget.everything.accept.click()
    window.idle()
    count = len(window.session.objects)
    assert 2 < count <= 2 + left
    # What was labelled before stays as it was.
    assert window.session.objects[1].area == int((window.labels == 1).sum())
    press(window.viewer, "u")
    assert len(window.session.objects) == 2


def test_everything_in_a_box(window):
    drag(window.viewer, [(20, 20), (160, 200)])
    window.mask()
    press(window.viewer, "g")
    window.until(lambda: window.controller.proposing.count > 0)
    window.idle()
    window.controller.run("accept_all")
    rows, columns = np.nonzero(window.labels)
    assert rows.max() < 180
    assert columns.max() < 220


def test_the_table_selects_zooms_and_deletes(window, coins):
    for mask in coins[1][:3]:
        click(window.viewer, ndimage.center_of_mass(mask))
        press(window.viewer, "n")
    window.until(lambda: len(window.session.objects) == 3)
    window.idle()
    table = window.widget.table
    index = window.widget.objects.index(1, 0)
    table.clicked.emit(index)
    box = window.session.objects[2].box
    camera = camera_of(window.viewer)
    assert np.allclose(camera.center[-2:], [(box[1] + box[3]) / 2, (box[0] + box[2]) / 2], atol=1)
    table.setCurrentIndex(index)
    QTest.keyClick(table, Qt.Key.Key_Delete)
    assert set(window.session.objects) == {1, 3}
    assert not (window.labels == 2).any()
    window.widget.objects.setData(window.widget.objects.index(0, 1), "denarius")
    assert window.controller.classes.name_of(window.session.objects[1].class_id) == "denarius"
