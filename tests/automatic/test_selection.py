"""Which candidates are kept, against slow and plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_plugins.automatic import AutomaticSettings
from sam_plugins.automatic.selection import Candidates, select_records
from sam_plugins.masks import rle
from sam_plugins.masks.boxes import mask_to_box

SIZE = (100, 120)
IMAGE = (0, 0, 120, 100)
# In order of their layers; the last is the smallest.
CROPS = (IMAGE, (0, 0, 80, 70), (40, 30, 115, 100))


def settings(**changes):
    return AutomaticSettings(**{"pred_iou_thresh": 0, "stability_score_thresh": 0, **changes})


def rectangle(x0, y0, x1, y1):
    mask = np.zeros(SIZE, bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask


def candidates(masks, scores, *, crop_box=IMAGE, stability=None):
    return Candidates(
        predicted_iou=np.array(scores, np.float32),
        points=np.zeros((len(masks), 2)),
        boxes=np.array([mask_to_box(mask) for mask in masks], np.int64).reshape(-1, 4),
        areas=np.array([mask.sum() for mask in masks], np.int64),
        stability=np.ones(len(masks)) if stability is None else np.array(stability),
        rles=tuple(rle.encode(mask) for mask in masks),
        crop_box=crop_box,
    )


def kept_boxes(*crops, **changes):
    """Inclusive x0, y0, x1, y1 of what is selected."""
    records = select_records(crops, SIZE, settings(**changes))
    return [(x, y, x + w, y + h) for x, y, w, h in (record.bbox for record in records)]


def textbook_overlap(first, second):
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both) if sum(areas) > both else 0


def textbook_nms(items, score, threshold):
    """The best item, then the best of those that do not overlap with it, and so on."""
    left, kept = sorted(items, key=score, reverse=True), []
    while left:
        best, *left = left
        kept.append(best)
        left = [item for item in left if textbook_overlap(item["box"], best["box"]) <= threshold]
    return kept


def is_cut_off(box, crop):
    """Whether it comes within 20 pixels of a side of its crop, but not of the image's side."""
    return any(
        abs(at - inner) <= 20 and abs(at - outer) > 20
        for at, inner, outer in zip(box, crop, IMAGE, strict=True)
    )


@given(
    seed=st.integers(0, 2**32 - 1),
    crops=st.integers(1, 3),
    within=st.sampled_from([0, 0.1, 0.3, 0.5, 0.7, 0.9, 1]),
    between=st.sampled_from([0, 0.1, 0.3, 0.5, 0.7, 0.9, 1]),
)
def test_crops_are_searched_for_duplicates_by_themselves_then_together(
    seed, crops, within, between
):
    rng = np.random.default_rng(seed)
    sets, expected = [], []
    for crop in CROPS[:crops]:
        low = rng.integers((crop[0], crop[1]), (crop[2] - 5, crop[3] - 5), (3, 2)).repeat(4, axis=0)
        low = (low + rng.integers(-3, 4, low.shape)).clip(crop[:2])
        high = (low + rng.integers(0, 40, low.shape)).clip(low, (crop[2] - 1, crop[3] - 1))
        boxes = np.concatenate([low, high], axis=1).tolist()
        scores = (rng.integers(1, 8, 12) / 10).tolist()  # some are equal
        sets.append(candidates([rectangle(*box) for box in boxes], scores, crop_box=crop))
        area = (crop[2] - crop[0]) * (crop[3] - crop[1])
        items = [
            {"box": tuple(box), "score": score, "area": area}
            for box, score in zip(boxes, scores, strict=True)
            if not is_cut_off(box, crop)
        ]
        expected += textbook_nms(items, lambda item: item["score"], within)
    if crops > 1:
        expected = textbook_nms(expected, lambda item: -item["area"], between)
    kept = kept_boxes(*sets, box_nms_thresh=within, crop_nms_thresh=between)
    assert kept == [item["box"] for item in expected]


def test_thresholds_and_empty_masks():
    masks = [rectangle(5, 5, 20, 20), rectangle(40, 5, 60, 20), np.zeros(SIZE, bool)]
    found = candidates(masks, [0.5, 0.75, 1.0], stability=[0.875, 0.5, 1])
    first, second = (5, 5, 20, 20), (40, 5, 60, 20)
    assert kept_boxes(found) == [second, first]
    # Above the one threshold, at or above the other.
    assert kept_boxes(found, pred_iou_thresh=0.5) == [second]
    assert kept_boxes(found, pred_iou_thresh=0.75) == []
    assert kept_boxes(found, stability_score_thresh=0.875) == [first]
    assert kept_boxes(found, stability_score_thresh=0.88) == []
    negative = candidates(masks[:2], [-0.5, -0.25], stability=[0, 0])
    assert kept_boxes(negative) == [second, first]


def test_what_a_crop_cuts_off_is_dropped_but_not_at_the_images_own_border():
    crop = (0, 0, 70, 60)
    masks = [rectangle(30, 0, 69, 30), rectangle(0, 0, 20, 20), rectangle(0, 30, 15, 59)]
    assert kept_boxes(candidates(masks, [0.9, 0.8, 0.7], crop_box=crop)) == [(0, 0, 20, 20)]
    assert len(kept_boxes(candidates(masks, [0.9, 0.8, 0.7]))) == 3


def test_between_crops_the_smaller_crop_wins():
    whole = candidates([rectangle(10, 10, 40, 40)], [0.99])
    part = candidates([rectangle(10, 10, 41, 40)], [0.5], crop_box=(0, 0, 90, 80))
    assert kept_boxes(whole, part) == kept_boxes(part, whole) == [(10, 10, 41, 40)]
    assert kept_boxes(whole, candidates([], [], crop_box=(0, 0, 90, 80))) == [(10, 10, 40, 40)]
    assert kept_boxes(candidates([], []), candidates([], [], crop_box=(0, 0, 90, 80))) == []


@given(hole=st.integers(1, 12), island=st.integers(1, 12), limit=st.integers(0, 150))
def test_holes_and_islands_below_the_limit_go_and_others_stay(hole, island, limit):
    with_hole = rectangle(10, 10, 50, 50) & ~rectangle(20, 20, 19 + hole, 19 + hole)
    separate = rectangle(70, 60, 69 + island, 59 + island)
    touching = rectangle(51, 51, 52, 52)  # at a corner: no island
    (record,) = select_records(
        [candidates([with_hole | separate | touching], [0.9])],
        SIZE,
        settings(min_mask_region_area=limit),
    )
    expected = (rectangle(10, 10, 50, 50) if hole**2 < limit else with_hole) | touching
    if island**2 >= limit:
        expected |= separate
    np.testing.assert_array_equal(record.mask(), expected)
    assert record.area == expected.sum()
    x0, y0, x1, y1 = mask_to_box(expected)
    assert record.bbox == (x0, y0, x1 - x0, y1 - y0)


@pytest.mark.parametrize(("drop", "count"), [(False, 1), (True, 0)])
def test_a_mask_with_nothing_large_keeps_its_largest_piece_or_goes(drop, count):
    mask = rectangle(10, 10, 12, 12) | rectangle(30, 30, 31, 31)
    chosen = settings(min_mask_region_area=50, drop_small_masks=drop)
    large = rectangle(60, 60, 67, 67)
    records = select_records([candidates([large, mask], [0.8, 0.9])], SIZE, chosen)
    assert len(records) == 1 + count
    np.testing.assert_array_equal(records[0].mask(), large)
    for record in records[1:]:
        np.testing.assert_array_equal(record.mask(), rectangle(10, 10, 12, 12))
        assert record.area == 9


def test_of_duplicates_that_cleaning_makes_the_clean_one_stays():
    clean = rectangle(10, 10, 40, 40)
    dirty = clean | rectangle(90, 90, 91, 91)
    found = candidates([dirty, clean], [0.9, 0.5])
    assert len(kept_boxes(found)) == 2
    (record,) = select_records([found], SIZE, settings(min_mask_region_area=20))
    assert record.predicted_iou == 0.5
    # The larger of the two thresholds counts.
    both = {"min_mask_region_area": 20, "box_nms_thresh": 0.2, "crop_nms_thresh": 1}
    assert len(kept_boxes(found, **both)) == 2


def test_masks_of_nearly_the_whole_image_go_if_asked():
    masks = [rectangle(0, 0, 119, 74), rectangle(0, 0, 118, 74), rectangle(0, 0, 119, 99)]
    chosen = {"box_nms_thresh": 1, "max_mask_fraction": 0.75}
    found = candidates(masks, [0.9, 0.8, 0.7])
    assert len(kept_boxes(found, box_nms_thresh=1)) == 3
    assert kept_boxes(found, **chosen) == [(0, 0, 118, 74)]


def test_candidates_are_taken_by_position_or_by_choice():
    found = candidates([rectangle(0, 0, x, 5) for x in range(4)], [0.1, 0.2, 0.3, 0.4])
    chosen = found.take(np.array([False, True, False, True]))
    assert chosen.areas.tolist() == [12, 24]
    assert [rle.decode(each).sum() for each in found.take(np.array([3, 0])).rles] == [24, 6]
    joined = Candidates.join([chosen, found], crop_box=IMAGE)
    assert joined.areas.tolist() == [12, 24, 6, 12, 18, 24]
    assert len(joined.rles) == len(joined) == 6
