"""Proposing, selecting, and what a caller may give and expect."""

from __future__ import annotations

from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_plugins import Predictor
from sam_plugins.automatic import generate, generate_batch, propose, select
from sam_plugins.errors import CancelledError, SamPluginsError
from sam_plugins.masks import device_summaries, rle, streaming


@pytest.fixture(scope="module")
def proposals(predictor, image, everything):
    """Without crops, and with one layer of them."""
    return [
        propose(predictor, image, settings=replace(everything, crop_n_layers=layers))
        for layers in (0, 1)
    ]


@pytest.mark.parametrize("crop_layers", [0, 1])
def test_generating_is_proposing_and_selecting(predictor, image, proposals, crop_layers):
    found = proposals[crop_layers]
    # 4 x 4 points on the image, 2 x 2 on each of 2 x 2 crops, three masks each.
    counts = [48, 12, 12, 12, 12] if crop_layers else [48]
    assert [len(candidates) for candidates in found.candidates] == counts
    assert len(found) == sum(counts)
    records = generate(predictor, image, settings=found.settings)
    assert records == select(found)
    assert 5 < len(records) < len(found)
    # Masks of crops are among them, if there are crops.
    assert len({record.crop_box for record in records}) > crop_layers


@hypothesis.settings(max_examples=hypothesis.settings().max_examples // 2)
@given(
    layers=st.sampled_from([0, 1]),
    pred_iou_thresh=st.floats(-0.3, 0.4),
    stability_score_thresh=st.floats(0, 0.8),
    box_nms_thresh=st.floats(0, 1),
    crop_nms_thresh=st.floats(0, 1),
    max_mask_fraction=st.floats(0.05, 1.1),
    min_mask_region_area=st.integers(0, 400),
    drop_small_masks=st.booleans(),
)
def test_selecting_later_is_generating_with_those_thresholds(
    predictor, image, proposals, layers, **thresholds
):
    settings = replace(proposals[layers].settings, **thresholds)
    assert select(proposals[layers], settings=settings) == generate(
        predictor, image, settings=settings
    )


def test_selecting_below_what_was_proposed_is_refused(predictor, image, everything):
    found = propose(predictor, image, settings=replace(everything, pred_iou_thresh=0.1))
    with pytest.raises(ValueError, match=r"pred_iou_thresh 0\.1: propose again .* with 0\.09"):
        select(found, settings=replace(everything, pred_iou_thresh=0.09))
    assert select(found, settings=replace(everything, pred_iou_thresh=0.1)) == select(found)


def test_an_embedding_serves_as_well_as_its_image(blob_sam, predictor, image, proposals):
    embedding = predictor.embed(image)
    other = Predictor(blob_sam, device="cpu", precision="float32")
    other._encode = lambda batch: pytest.fail("encoded again")  # type: ignore[method-assign]
    assert generate(other, embedding, settings=proposals[0].settings) == select(proposals[0])
    with pytest.raises(SamPluginsError, match="crops need the image itself"):
        generate(other, embedding, settings=proposals[1].settings)


@pytest.mark.parametrize(("size", "crop_layers"), [((90, 120), 0), ((90, 120), 2), ((5, 3), 1)])
@pytest.mark.parametrize(
    "strict", [{"pred_iou_thresh": 99}, {"max_mask_fraction": 1e-9}], ids=["IoU", "area"]
)
def test_no_mask_at_all_is_fine(predictor, everything, crop_layers, size, strict):
    side = 2 if size == (90, 120) else 4  # more points than pixels
    settings = replace(everything, points_per_side=side, crop_n_layers=crop_layers, **strict)
    blank = np.zeros(size, np.uint8)
    assert generate(predictor, blank, settings=settings) == []
    assert list(generate_batch(predictor, [blank, blank], settings=settings)) == [[], []]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
@pytest.mark.parametrize("crop_layers", [0, 1])
def test_many_images_are_answered_like_each(
    blob_sam, predictor, image, everything, batch_size, crop_layers
):
    images = [image[:40, :30], image[..., 0], image[:64, 20:50], image[::2], image[30:63, :33]]
    settings = replace(everything, points_per_side=2, crop_n_layers=crop_layers, box_nms_thresh=1)
    fresh = Predictor(blob_sam, device="cpu", precision="float32")
    encode, sizes = fresh._encode, []
    fresh._encode = lambda batch: sizes.append(len(batch)) or encode(batch)  # type: ignore[method-assign,func-returns-value]
    together = list(generate_batch(fresh, images, batch_size=batch_size, settings=settings))
    whole = {1: [1] * 5, 2: [2, 2, 1], 3: [3, 2]}[batch_size]
    assert sizes == ([1] * 25 if crop_layers else whole)
    for one, records in zip(images, together, strict=True):
        alone = generate(predictor, one, settings=settings)
        assert len(alone) > 3
        for ours, theirs in zip(records, alone, strict=True):
            assert ours.image_size == one.shape[:2]
            assert ours.crop_box == theirs.crop_box
            assert ours.predicted_iou == pytest.approx(theirs.predicted_iou, abs=1e-4)
            assert (ours.mask() ^ theirs.mask()).sum() <= 0.01 * theirs.area


def test_an_empty_batch_of_images_has_no_answers_and_no_batch_is_empty(predictor, image):
    assert list(generate_batch(predictor, [])) == []
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"batch_size must be 1 or more, got {size}"):
            list(generate_batch(predictor, [image], batch_size=size))


@pytest.mark.parametrize("points_per_batch", [1, 2, 3, 5, 100])
def test_the_batch_of_points_does_not_matter(
    predictor, image, proposals, monkeypatch, points_per_batch
):
    decode, sizes = predictor.decode_tensors, []

    def counted(embedding, prompts, **options):
        sizes.append(len(prompts))
        return decode(embedding, prompts, **options)

    monkeypatch.setattr(predictor, "decode_tensors", counted)
    settings = replace(proposals[0].settings, points_per_batch=points_per_batch)
    (ours,) = propose(predictor, image, settings=settings).candidates
    (theirs,) = proposals[0].candidates
    assert sum(sizes) == 16
    assert max(sizes) == min(points_per_batch, predictor.prompts_per_batch)
    np.testing.assert_array_equal(ours.points, theirs.points)
    np.testing.assert_allclose(ours.predicted_iou, theirs.predicted_iou, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours.areas, theirs.areas, rtol=0, atol=2)


@pytest.mark.parametrize("run", [propose, generate])
@pytest.mark.parametrize("crop_layers", [0, 1])
def test_progress_is_told_and_cancelling_asked_batch_by_batch(
    predictor, image, everything, run, crop_layers
):
    settings = replace(everything, points_per_batch=3, crop_n_layers=crop_layers)
    total = 32 if crop_layers else 16
    log: list[object] = []

    def go(most):
        run(
            predictor,
            image,
            settings=settings,
            progress=lambda *told: log.append(told),
            cancelled=lambda: log.append("asked") or log.count("asked") > most,
        )

    go(99)
    steps = [3, 6, 9, 12, 15, 16, 19, 20, 23, 24, 27, 28, 31, 32]
    expected = [each for done in steps if done <= total for each in ("asked", (done, total))]
    assert log == expected
    for most in (0, 2, 4):
        log.clear()
        with pytest.raises(CancelledError, match=f"stopped after {3 * most} of {total} points"):
            go(most)
        assert log == [*expected[: 2 * most], "asked"]


@pytest.mark.parametrize("threshold", [0.05, 0.2, 0.35])
def test_masks_below_the_threshold_are_never_brought_to_the_images_size(
    predictor, image, everything, proposals, monkeypatch, threshold
):
    rows, real = [], streaming.summarize

    def counted(logits, *arguments, **options):
        rows.append(len(logits))
        return real(logits, *arguments, **options)

    monkeypatch.setattr(streaming, "summarize", counted)
    (candidates,) = proposals[0].candidates
    (kept,) = propose(
        predictor, image, settings=replace(everything, pred_iou_thresh=threshold)
    ).candidates
    above = candidates.predicted_iou > threshold
    assert 0 < above.sum() < len(above)
    assert sum(rows) == len(kept) == above.sum()
    np.testing.assert_array_equal(kept.predicted_iou, candidates.predicted_iou[above])
    assert kept.rles == candidates.take(above).rles


@pytest.mark.parametrize("crop_layers", [0, 1])
def test_where_masks_are_summarized_does_not_matter(
    predictor, image, everything, monkeypatch, crop_layers
):
    settings = replace(everything, crop_n_layers=crop_layers, pred_iou_thresh=0.05)
    kernels = propose(predictor, image, settings=settings)
    monkeypatch.setattr(
        device_summaries, "summarize_where_it_is", device_summaries.summarize_on_device
    )
    monkeypatch.setattr(streaming, "summarize", None)
    device = propose(predictor, image, settings=settings)
    for ours, theirs in zip(device.candidates, kernels.candidates, strict=True):
        np.testing.assert_array_equal(ours.predicted_iou, theirs.predicted_iou)
        np.testing.assert_array_equal(ours.points, theirs.points)
        # A value next to a cut may be rounded to its other side.
        np.testing.assert_allclose(ours.areas, theirs.areas, rtol=0, atol=1)
        np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=0, atol=1)
        masks = [[rle.decode(each) for each in some.rles] for some in (ours, theirs)]
        for one, other in zip(*masks, strict=True):
            assert (one ^ other).sum() <= 1
