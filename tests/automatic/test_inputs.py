"""What automatic masks take as an image, and which settings by default."""

from __future__ import annotations

import copy
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from PIL import Image

from sam_plugins import Normalization, Predictor
from sam_plugins.automatic import generate, generate_batch, propose
from sam_plugins.images import to_rgb


@pytest.fixture(params=[0, 1], ids=["whole", "crops"])
def settings(request, everything):
    return replace(everything, points_per_side=2, crop_n_layers=request.param)


@pytest.fixture(scope="module")
def stack(image):
    """Five channels, 16 bits: (5, 90, 120)."""
    channels = [image[..., 0], image[::-1, :, 1], image[..., 2], image[..., 1], image[:, ::-1, 0]]
    return np.stack(channels).astype(np.uint16) * 11 + 70


def both_ways(predictor, image, **options):
    """By itself and as one of a batch."""
    alone = generate(predictor, image, **options)
    assert alone
    assert list(generate_batch(predictor, [image], **options)) == [alone]
    return alone


NORMALIZATIONS = [
    Normalization(channels=(0, 3, 4)),
    Normalization(channels=(4, 0, 3)),
    Normalization(channels=2, kind="limits", limits=(0, 1500)),
    Normalization(channels=2, kind="percentile", percentiles=(20, 80)),
]


@pytest.mark.parametrize("normalization", NORMALIZATIONS, ids=lambda each: each.key())
def test_colours_are_made_of_the_whole_image_as_asked(predictor, stack, settings, normalization):
    rgb = to_rgb(stack, normalization=normalization, channel_axis=0)
    records = both_ways(
        predictor, stack, settings=settings, normalization=normalization, channel_axis=0
    )
    assert records == generate(predictor, rgb, settings=settings)


def test_normalizations_matter(predictor, stack, everything):
    scores = {
        propose(predictor, stack, settings=everything, normalization=each, channel_axis=0)
        .candidates[0]
        .predicted_iou.tobytes()
        for each in NORMALIZATIONS
    }
    assert len(scores) == len(NORMALIZATIONS)


def test_the_channels_axis_can_be_named(predictor, image, settings):
    # Of 3 x 30 x 4 the last axis would be taken for the channels.
    narrow = np.moveaxis(image[::3, :4], -1, 0)
    assert narrow.shape == (3, 30, 4)
    named = propose(predictor, narrow, settings=settings, channel_axis=0)
    assert named.image_size == (30, 4)
    assert propose(predictor, narrow, settings=settings).image_size == (3, 30)
    records = both_ways(predictor, narrow, settings=settings, channel_axis=0)
    assert {record.image_size for record in records} == {(30, 4)}
    assert records == generate(predictor, np.moveaxis(narrow, 0, -1), settings=settings)


def test_dask_arrays_are_taken(blob_sam, predictor, stack, settings):
    options = {
        "settings": settings,
        "normalization": Normalization(channels=(0, 3, 4)),
        "channel_axis": 0,
    }
    lazy = da.from_array(stack, chunks=(1, 32, 50))
    fresh = Predictor(blob_sam, device="cpu", precision="float32")
    assert both_ways(fresh, lazy, **options) == generate(predictor, stack, **options)


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_files_are_taken(predictor, image, settings, tmp_path, kind):
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path)
    records = both_ways(predictor, kind(path), settings=settings)
    assert records == generate(predictor, image, settings=settings)


def test_a_crop_is_looked_at_like_an_image_of_its_own(predictor, image, everything):
    layered = propose(predictor, image, settings=replace(everything, crop_n_layers=1))
    assert len(layered.candidates) == 5
    for candidates in layered.candidates[1:]:
        x0, y0, x1, y1 = candidates.crop_box
        (alone,) = propose(
            predictor, image[y0:y1, x0:x1], settings=replace(everything, points_per_side=2)
        ).candidates
        there = alone.areas > 0
        assert there.sum() > 3
        np.testing.assert_array_equal(candidates.predicted_iou, alone.predicted_iou)
        np.testing.assert_array_equal(candidates.areas, alone.areas)
        np.testing.assert_array_equal(candidates.stability, alone.stability)
        np.testing.assert_array_equal(candidates.points, alone.points + np.array([x0, y0]))
        np.testing.assert_array_equal(
            candidates.boxes[there], (alone.boxes + np.array([x0, y0, x0, y0]))[there]
        )


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (9, 9), (20, 24)])
def test_crops_that_are_too_small_are_left_out(predictor, everything, size):
    told = []
    found = propose(
        predictor,
        np.arange(size[0] * size[1], dtype=np.uint8).reshape(size),
        settings=replace(everything, points_per_side=1, crop_n_layers=3),
        progress=lambda done, total: told.append((done, total)),
    )
    count = len(found.candidates)
    assert told == [(done, count) for done in range(1, count + 1)]
    assert count == 1 if size == (2, 2) else 1 < count < 85
    for x0, y0, x1, y1 in (candidates.crop_box for candidates in found.candidates):
        assert 0 <= x0 <= x1 - 2 <= size[1] - 2
        assert 0 <= y0 <= y1 - 2 <= size[0] - 2


@pytest.mark.parametrize("run", [generate, lambda *one: next(generate_batch(one[0], [one[1]]))])
def test_settings_are_the_models_by_default(blob_sam, image, run):
    model = copy.deepcopy(blob_sam)
    # The fixed defaults would keep no mask of it.
    model.config = replace(model.config, pred_iou_thresh=0.4, stability_score_thresh=0)
    records = run(Predictor(model, device="cpu", precision="float32"), image)
    assert records
    assert 0.4 < min(record.predicted_iou for record in records) < 0.88
    assert min(record.stability_score for record in records) < 0.95
