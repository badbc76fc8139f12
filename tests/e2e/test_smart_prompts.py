"""Clicks and boxes in a real browser: what people see is what they get."""

import numpy as np
from playwright.sync_api import expect

from labelstudio_backend.sample.project import LABEL_CONFIG
from tests.e2e.coins import CLOSE, COIN, OTHER, corners, overlap, truth
from tests.e2e.recorder import masks_of

# Keys of the sample's labels.
CELL_POINT, CELL_BOX, OBJECT_BOX = "1", "3", "4"


def test_points_make_one_mask_which_is_submitted_as_it_was_answered(new_team, annotator):
    team = new_team()
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("key-point-tool")
    annotator.click(CELL_POINT, *COIN)
    annotator.take("click")
    annotator.click(CELL_POINT, COIN[0] + 12, COIN[1])
    annotator.click(CELL_POINT, 290, 20, negative=True)
    annotator.take("points")
    flags = [[point["is_positive"] for point in each.context] for each in team.recorder.clicks]
    assert flags == [[True], [True, True], [True, True, False]]
    for each in team.recorder.clicks:
        (mask,) = each.masks
        assert overlap(mask, truth(COIN)) > CLOSE
    annotator.accept()
    expect(annotator.regions).to_have_text(["Cell"])  # the prompts are gone
    annotator.submit()
    annotator.take("submitted")
    (result,) = team.annotations(team.tasks[0])
    (region,) = result
    assert region["value"]["brushlabels"] == ["Cell"]
    (submitted,) = masks_of([region])
    assert np.array_equal(submitted, mask)


def test_a_negative_point_takes_away(new_team, annotator):
    team = new_team(4)
    annotator.open_task(team.project, team.tasks[3])  # the astronaut
    annotator.use("key-point-tool")
    annotator.click("2", 250, 400)
    annotator.click("2", 225, 120, negative=True)
    first, second = (each.masks[0] for each in team.recorder.clicks)
    assert second[400, 250]
    assert not second[120, 225]
    assert first[400, 250]


def test_each_box_has_a_mask(new_team, annotator):
    team = new_team()
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("rectangle-tool")
    annotator.drag(CELL_BOX, *corners(COIN))
    annotator.drag(CELL_BOX, *corners(OTHER))
    annotator.take("boxes")
    assert [len(each.masks) for each in team.recorder.clicks] == [1, 2]
    answered = team.recorder.clicks[-1].masks
    for mask, coin in zip(answered, (COIN, OTHER), strict=True):
        assert overlap(mask, truth(coin)) > CLOSE
    annotator.accept()
    expect(annotator.regions).to_have_text(["Cell", "Cell"])
    annotator.submit()
    (result,) = team.annotations(team.tasks[0])
    submitted = masks_of(result)
    assert len(result) == len(submitted) == 2
    for mask in answered:
        assert any(np.array_equal(mask, each) for each in submitted)


def test_labels_are_asked_about_apart(new_team, annotator):
    team = new_team()
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("rectangle-tool")
    annotator.drag(CELL_BOX, *corners(COIN))
    annotator.accept()
    annotator.drag(OBJECT_BOX, *corners(OTHER))
    annotator.accept()
    expect(annotator.regions).to_have_text(["Cell", "Object"])
    annotator.submit()
    (result,) = team.annotations(team.tasks[0])
    assert [region["value"]["brushlabels"] for region in result] == [["Cell"], ["Object"]]


def test_prompts_that_a_draft_kept_count_after_a_reload(new_team, annotator):
    team = new_team()
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("key-point-tool")
    with annotator.page.expect_response(lambda each: "/drafts" in each.url):
        annotator.click(CELL_POINT, *COIN)
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("key-point-tool")
    annotator.click(CELL_POINT, COIN[0] + 12, COIN[1])
    restored, new = team.recorder.clicks[-1].context
    assert "is_positive" not in restored
    assert new["is_positive"]
    (mask,) = team.recorder.clicks[-1].masks
    assert overlap(mask, truth(COIN)) > CLOSE


def test_a_turned_image_has_its_mask_in_the_same_place(new_team, annotator):
    turnable = LABEL_CONFIG.replace("zoomControl", 'rotateControl="true" zoomControl')
    team = new_team(label_config=turnable)
    annotator.open_task(team.project, team.tasks[0], turned=True)
    annotator.use("key-point-tool")
    annotator.click(CELL_POINT, *OTHER)
    (point,) = team.recorder.clicks[-1].context
    assert point["image_rotation"] == 90
    annotator.take("turned")
    (mask,) = team.recorder.clicks[-1].masks
    assert overlap(mask, truth(OTHER)) > CLOSE
