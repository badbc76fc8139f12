"""Proposing, selecting, and what a caller may give and expect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from segment_anything.utils.amg import calculate_stability_score

from sam_plugins import Normalization, Predictor
from sam_plugins.automatic import AutomaticSettings, generate, generate_batch, propose, select
from sam_plugins.errors import CancelledError, SamPluginsError

# The random model's predicted IoUs lie around 0.
ALL = AutomaticSettings(
    points_per_side=4, pred_iou_thresh=-10, stability_score_thresh=0, box_nms_thresh=0.95
)


@pytest.fixture(scope="module")
def predictor(tiny_sam):
    return Predictor(tiny_sam, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def proposals(predictor, image):
    return propose(predictor, image, settings=ALL)


@pytest.mark.parametrize("crop_layers", [0, 1])
def test_generating_is_proposing_and_selecting(predictor, image, crop_layers):
    settings = replace(ALL, crop_n_layers=crop_layers)
    found = propose(predictor, image, settings=settings)
    assert len(found) > 10
    assert len(found.candidates) == (5 if crop_layers else 1)
    assert generate(predictor, image, settings=settings) == select(found)


@pytest.mark.parametrize("quantile", [0.3, 0.6, 0.9])
def test_selecting_later_is_generating_with_those_thresholds(predictor, image, proposals, quantile):
    candidates = proposals.candidates[0]
    strict = replace(
        ALL,
        pred_iou_thresh=float(np.quantile(candidates.predicted_iou, quantile)),
        stability_score_thresh=float(np.quantile(candidates.stability, 0.3)),
        box_nms_thresh=0.8,
    )
    later = select(proposals, settings=strict)
    assert later == generate(predictor, image, settings=strict)
    assert all(record.predicted_iou > strict.pred_iou_thresh for record in later)
    assert all(record.stability_score >= strict.stability_score_thresh for record in later)


def test_selecting_below_what_was_proposed_is_refused(proposals):
    with pytest.raises(ValueError, match="propose again"):
        select(proposals, settings=replace(ALL, pred_iou_thresh=-11))


def test_an_embedding_serves_as_well_as_its_image(predictor, image, proposals):
    embedding = predictor.embed(image)
    assert select(propose(predictor, embedding, settings=ALL)) == select(proposals)
    with pytest.raises(SamPluginsError, match="crops need the image"):
        propose(predictor, embedding, settings=replace(ALL, crop_n_layers=1))


def test_records_describe_their_masks(predictor, image, proposals):
    embedding = predictor.embed(image)
    records = select(proposals)
    assert records
    for record in records:
        mask = coco.decode(record.segmentation).astype(bool)
        assert mask.shape == (50, 70)
        assert record.area == mask.sum()
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x0, y0, x1, y1 = columns[0], rows[0], columns[-1], rows[-1]
        assert record.bbox == (x0, y0, x1 - x0, y1 - y0)
        assert record.crop_box == (0, 0, 70, 50)
        ((x, y),) = record.point_coords
        assert 0 < x < 70
        assert 0 < y < 50
    best = max(records, key=lambda record: record.predicted_iou)
    from sam_plugins import Prompt

    answer = predictor.predict(embedding, Prompt(points=best.point_coords), multimask=True)
    full = embedding.frame.upsample(torch.from_numpy(answer.low_resolution_logits))
    index = int(np.abs(answer.predicted_iou - best.predicted_iou).argmin())
    stability = calculate_stability_score(full[index : index + 1], 0.0, 1.0).item()
    assert best.stability_score == pytest.approx(stability, abs=2e-3)


def test_forms_of_the_masks_agree(proposals):
    from sam_plugins.masks import rle
    from sam_plugins.masks.polygons import polygons_to_mask

    record = select(proposals)[0]
    mask = record.as_dict(output="binary_mask")["segmentation"]
    np.testing.assert_array_equal(rle.decode(record.as_dict()["segmentation"]), mask)
    uncompressed = record.as_dict(output="uncompressed_rle")["segmentation"]
    np.testing.assert_array_equal(rle.decode(rle.from_uncompressed(uncompressed)), mask)
    polygons = record.as_dict(output="polygons")["segmentation"]
    np.testing.assert_array_equal(polygons_to_mask(polygons, mask.shape), mask)
    with pytest.raises(ValueError, match="output must be"):
        record.as_dict(output="svg")


@pytest.mark.parametrize("crop_layers", [0, 1])
@pytest.mark.parametrize("size", [(50, 70), (3, 5)])
def test_no_mask_at_all_is_fine(predictor, crop_layers, size):
    settings = AutomaticSettings(points_per_side=3, pred_iou_thresh=99, crop_n_layers=crop_layers)
    assert generate(predictor, np.zeros(size, np.uint8), settings=settings) == []


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("crop_layers", [0, 1])
def test_many_images_are_answered_like_each(predictor, batch_size, crop_layers):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, size, dtype=np.uint8) for size in [(40, 30), (20, 64), (33, 33)]]
    settings = replace(ALL, points_per_side=2, crop_n_layers=crop_layers)
    together = list(generate_batch(predictor, images, batch_size=batch_size, settings=settings))
    assert len(together) == 3
    for one, records in zip(images, together, strict=True):
        alone = generate(predictor, one, settings=settings)
        assert [each.area for each in records] == pytest.approx(
            [each.area for each in alone], rel=0.02, abs=2
        )


def test_the_batch_of_points_does_not_matter(predictor, image, proposals):
    one_by_one = propose(predictor, image, settings=replace(ALL, points_per_batch=1))
    ours, theirs = one_by_one.candidates[0], proposals.candidates[0]
    np.testing.assert_allclose(ours.predicted_iou, theirs.predicted_iou, atol=1e-5)
    np.testing.assert_allclose(ours.areas, theirs.areas, atol=2)


def test_progress_is_told_and_cancelling_stops(predictor, image):
    seen = []
    propose(predictor, image, settings=ALL, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (16, 16)
    asked = []
    with pytest.raises(CancelledError, match="of 16 points"):
        propose(predictor, image, settings=ALL, cancelled=lambda: asked.append(1) or len(asked) > 2)
    assert len(asked) == 3


def test_masks_below_the_threshold_are_never_brought_to_the_images_size(
    predictor, image, proposals, monkeypatch
):
    from sam_plugins.masks import streaming

    rows, real = [], streaming.summarize

    def counted(logits, *arguments, **options):
        rows.append(len(logits))
        return real(logits, *arguments, **options)

    monkeypatch.setattr(streaming, "summarize", counted)
    iou = proposals.candidates[0].predicted_iou
    strict = replace(ALL, pred_iou_thresh=float(np.quantile(iou, 0.8)))
    propose(predictor, image, settings=strict)
    assert sum(rows) == (iou > strict.pred_iou_thresh).sum()


def test_how_values_become_colours_is_passed_on(predictor):
    import dask.array as da

    stack = np.random.default_rng(2).integers(0, 4000, (5, 40, 40), dtype=np.uint16)
    chosen = Normalization(channels=(0, 3, 4))
    settings = replace(ALL, points_per_side=2, crop_n_layers=1)
    lazy = da.from_array(stack, chunks=(1, 16, 40))
    found = generate(predictor, lazy, settings=settings, normalization=chosen, channel_axis=0)
    same = generate(predictor, stack[[0, 3, 4]], settings=settings, channel_axis=0)
    assert [record.area for record in found] == [record.area for record in same]
    assert found
