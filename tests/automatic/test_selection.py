"""Which candidates are kept, and settings that make no sense."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_plugins.automatic import AutomaticSettings
from sam_plugins.automatic.selection import Candidates, select_records
from sam_plugins.masks import rle
from sam_plugins.masks.boxes import box_iou, mask_to_box
from sam_plugins.modeling import build_sam

SIZE = (100, 120)
LOOSE = AutomaticSettings(pred_iou_thresh=0, stability_score_thresh=0)


def rectangle(x0, y0, x1, y1):
    mask = np.zeros(SIZE, bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def candidates(masks, scores, *, crop_box=(0, 0, 120, 100), stability=None):
    return Candidates(
        predicted_iou=np.array(scores, np.float32),
        points=np.zeros((len(masks), 2)),
        boxes=np.array([mask_to_box(mask) for mask in masks]).reshape(-1, 4),
        areas=np.array([mask.sum() for mask in masks]),
        stability=np.ones(len(masks)) if stability is None else np.array(stability),
        rles=tuple(rle.encode(mask) for mask in masks),
        crop_box=crop_box,
    )


def kept_boxes(*crops, settings=LOOSE):
    return [record.bbox for record in select_records(crops, SIZE, settings)]


@given(st.integers(0, 2**32 - 1))
def test_of_two_that_overlap_the_better_one_stays(seed):
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 60, (12, 2))
    boxes = np.concatenate([corner, corner + rng.integers(5, 38, (12, 2))], axis=1)
    scores = rng.permutation(12) / 12 + 0.01
    masks = [rectangle(*box) for box in boxes]
    records = select_records([candidates(masks, scores)], SIZE, LOOSE)
    kept = [int(np.abs(scores - record.predicted_iou).argmin()) for record in records]
    assert kept == sorted(kept, key=lambda index: -scores[index])
    overlaps = box_iou(boxes, boxes)
    for index in range(12):
        rivals = [other for other in kept if scores[other] > scores[index]]
        beaten = any(overlaps[index, other] > 0.7 for other in rivals)
        assert (index in kept) != beaten


def test_thresholds_and_empty_masks():
    masks = [rectangle(5, 5, 20, 20), rectangle(40, 5, 60, 20), np.zeros(SIZE, bool)]
    found = candidates(masks, [0.5, 0.9, 1.0], stability=[0.99, 0.6, 1])
    assert kept_boxes(found) == [(40, 5, 20, 15), (5, 5, 15, 15)]
    strict = AutomaticSettings(pred_iou_thresh=0.5, stability_score_thresh=0)
    assert kept_boxes(found, settings=strict) == [(40, 5, 20, 15)]
    stable = AutomaticSettings(pred_iou_thresh=0, stability_score_thresh=0.9)
    assert kept_boxes(found, settings=stable) == [(5, 5, 15, 15)]


def test_what_a_crop_cuts_off_is_dropped_but_not_at_the_images_own_border():
    crop = (0, 0, 70, 60)
    masks = [rectangle(50, 10, 69, 30), rectangle(0, 0, 20, 20), rectangle(30, 40, 45, 59)]
    assert kept_boxes(candidates(masks, [0.9, 0.8, 0.7], crop_box=crop)) == [(0, 0, 20, 20)]
    assert len(kept_boxes(candidates(masks, [0.9, 0.8, 0.7]))) == 3


def test_between_crops_the_smaller_crop_wins():
    whole = candidates([rectangle(10, 10, 40, 40)], [0.99])
    part = candidates([rectangle(10, 10, 41, 40)], [0.5], crop_box=(0, 0, 90, 80))
    assert kept_boxes(whole, part) == [(10, 10, 31, 30)]
    assert kept_boxes(whole, candidates([], [], crop_box=(0, 0, 90, 80))) == [(10, 10, 30, 30)]


def test_small_holes_and_islands_go():
    mask = rectangle(10, 10, 50, 50)
    mask[20:23, 20:23] = False
    mask[80, 80] = True
    settings = AutomaticSettings(
        pred_iou_thresh=0, stability_score_thresh=0, min_mask_region_area=30
    )
    (record,) = select_records([candidates([mask], [0.9])], SIZE, settings)
    np.testing.assert_array_equal(record.mask(), rectangle(10, 10, 50, 50))
    assert record.area == 41 * 41
    assert record.bbox == (10, 10, 40, 40)


@pytest.mark.parametrize(("drop", "count"), [(False, 1), (True, 0)])
def test_a_mask_with_nothing_large_keeps_its_largest_piece_or_goes(drop, count):
    mask = rectangle(10, 10, 12, 12) | rectangle(30, 30, 31, 31)
    settings = AutomaticSettings(
        pred_iou_thresh=0,
        stability_score_thresh=0,
        min_mask_region_area=50,
        drop_small_masks=drop,
    )
    records = select_records([candidates([mask], [0.9])], SIZE, settings)
    assert len(records) == count
    for record in records:
        np.testing.assert_array_equal(record.mask(), rectangle(10, 10, 12, 12))


def test_masks_of_nearly_the_whole_image_go_if_asked():
    masks = [rectangle(0, 0, 119, 97), rectangle(5, 5, 60, 60)]
    assert len(kept_boxes(candidates(masks, [0.9, 0.8]))) == 2
    settings = AutomaticSettings(
        pred_iou_thresh=0, stability_score_thresh=0, max_mask_fraction=0.95
    )
    assert kept_boxes(candidates(masks, [0.9, 0.8]), settings=settings) == [(5, 5, 55, 55)]


def test_the_papers_settings():
    settings = AutomaticSettings.sa1b()
    factor = settings.crop_n_points_downscale_factor
    assert [settings.points_per_side // factor**layer for layer in range(3)] == [32, 16, 8]
    assert settings.crop_n_layers == 2
    assert (settings.pred_iou_thresh, settings.stability_score_thresh) == (0.88, 0.95)
    assert (settings.box_nms_thresh, settings.crop_nms_thresh) == (0.7, 0.7)
    assert (settings.min_mask_region_area, settings.max_mask_fraction) == (100, 0.95)


def test_a_model_brings_its_own_thresholds():
    model = build_sam("lite")
    settings = AutomaticSettings.for_model(model)
    assert settings.pred_iou_thresh == model.config.pred_iou_thresh
    assert settings.stability_score_thresh == model.config.stability_score_thresh


@pytest.mark.parametrize(
    "wrong",
    [
        {"points_per_side": 0},
        {"points_per_batch": -1},
        {"crop_n_points_downscale_factor": 0},
        {"crop_n_layers": -1},
        {"crop_n_layers": 6},
        {"min_mask_region_area": -1},
        {"box_nms_thresh": 1.2},
        {"crop_nms_thresh": -0.1},
        {"stability_score_thresh": 2.0},
    ],
)
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AutomaticSettings(**wrong)


@pytest.mark.parametrize("grids", [[], [np.zeros((3, 3))], [np.array([[0.5, 1.5]])]])
def test_wrong_grids_are_refused(grids):
    with pytest.raises(ValueError, match="grid"):
        AutomaticSettings(point_grids=grids)
