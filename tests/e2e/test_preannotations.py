"""Masks that are there before anybody clicks."""

import numpy as np
from playwright.sync_api import expect

from labelstudio_backend.client.records import Prediction
from tests.e2e.coins import CLOSE, COIN, OTHER, box_region, overlap, truth
from tests.e2e.recorder import masks_of


def test_boxes_of_another_model_become_masks(new_team, annotator):
    team = new_team()
    boxes = [box_region(COIN), box_region(OTHER)]
    team.label_studio.client.import_predictions(
        team.project, [Prediction(team.tasks[0], boxes, 0.9, "detector")]
    )
    team.retrieve()
    version = team.recorder.application.service.model.version
    (ours,) = [each for each in team.predictions(team.tasks[0]) if each["model_version"] == version]
    for mask, coin in zip(masks_of(ours["result"]), (COIN, OTHER), strict=True):
        assert overlap(mask, truth(coin)) > CLOSE
    asked = len(team.recorder.exchanges)
    team.retrieve()
    assert "/predict" not in [each.path for each in team.recorder.exchanges[asked:]]
    annotator.open_task(team.project, team.tasks[0])
    expect(annotator.page.get_by_text(version)).to_be_visible()
    expect(annotator.regions).to_have_text(["Cell", "Cell"])
    annotator.take("filled-boxes")


def test_everything_is_segmented_when_the_task_is_opened(new_team, annotator):
    team = new_team()
    team.configure({"segment_everything": True, "label": "Cell", "pred_iou_thresh": 0.7})
    annotator.open_task(team.project, team.tasks[0])
    expect(annotator.regions).not_to_have_count(0)
    annotator.take("everything")
    (ours, *_) = team.predictions(team.tasks[0])
    masks = masks_of(ours["result"])
    assert len(masks) >= 20  # of 24 coins
    for coin in (COIN, OTHER):
        assert max(overlap(mask, truth(coin)) for mask in masks) > CLOSE
    assert set(annotator.regions.all_text_contents()) == {"Cell"}
    annotator.submit()
    (result,) = team.annotations(team.tasks[0])
    assert len(result) == len(masks)
    for mask, submitted in zip(masks, masks_of(result), strict=True):
        assert np.array_equal(mask, submitted)


def test_nothing_to_begin_from_leaves_nothing_behind(new_team, annotator):
    team = new_team()
    annotator.open_task(team.project, team.tasks[0])
    assert any(each.path == "/predict" for each in team.recorder.exchanges)
    # An empty prediction would keep the model from ever being asked again.
    assert team.predictions(team.tasks[0]) == []
