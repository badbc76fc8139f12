"""What candidates and records say of their masks, against slow computations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from segment_anything.utils.transforms import ResizeLongestSide
from torch.nn import functional

from sam_plugins.automatic import propose, select
from sam_plugins.masks.polygons import polygons_to_mask
from sam_plugins.masks.records import MaskRecord

THRESHOLD, OFFSET = 0.1, 0.02  # of blob_sam, and of the settings
# How far float32 interpolations of logits may lie apart.
UNSURE = 1e-5


def upsampled(logits, size):
    """Logits (K, 32, 32) at an image's size, by SAM's two steps: (K, H, W)."""
    height, width = ResizeLongestSide.get_preprocess_shape(*size, 128)
    frame = functional.interpolate(
        torch.from_numpy(logits)[None], (128, 128), mode="bilinear", align_corners=False
    )
    inside = frame[..., :height, :width]
    return functional.interpolate(inside, size, mode="bilinear", align_corners=False)[0].numpy()


@pytest.fixture
def decoded(predictor, monkeypatch):
    """All logits and predicted IoUs that the decoder gives, in order."""
    decode, answers = predictor.decode_tensors, []

    def kept(*arguments, **options):
        answers.append(decode(*arguments, **options))
        return answers[-1]

    monkeypatch.setattr(predictor, "decode_tensors", kept)
    return answers


@pytest.mark.parametrize("crop_layers", [0, 1])
@pytest.mark.parametrize("size", [(90, 120), (150, 61), (23, 31), (128, 128)])
def test_candidates_are_the_upsampled_logits(
    predictor, image, everything, decoded, size, crop_layers
):
    height, width = size
    pixels = np.resize(image, (height, width, 3))
    settings = replace(everything, crop_n_layers=crop_layers, crop_n_points_downscale_factor=1)
    proposals = propose(predictor, pixels, settings=settings)
    logits = np.concatenate([each.flatten(0, 1) for each, _ in decoded])
    scores = np.concatenate([each.flatten() for _, each in decoded])
    assert len(proposals) == len(logits) == 48 * (5 if crop_layers else 1)
    filled = 0
    for number, found in enumerate(proposals.candidates):
        mine = slice(48 * number, 48 * number + 48)
        np.testing.assert_array_equal(found.predicted_iou, scores[mine])
        x0, y0, x1, y1 = found.crop_box
        full = np.full((48, height, width), -np.inf)
        full[:, y0:y1, x0:x1] = upsampled(logits[mine], (y1 - y0, x1 - x0))
        masks = coco.decode(list(found.rles)).transpose(2, 0, 1).astype(bool)
        assert masks.shape == full.shape
        assert not ((masks != (full > THRESHOLD)) & (abs(full - THRESHOLD) > UNSURE)).any()
        np.testing.assert_array_equal(found.areas, masks.sum((1, 2)))
        for index, mask in enumerate(masks):
            cuts = [
                (full[index] > THRESHOLD + side * OFFSET + error).sum()
                for side in (1, -1)
                for error in (UNSURE, -UNSURE)
            ]
            least, most = cuts[0] / max(cuts[3], 1), cuts[1] / max(cuts[2], 1)
            assert least <= found.stability[index] <= most
            row, column = divmod(index // 3, 4)  # three masks a point, 4 x 4 points
            point = x0 + (column + 0.5) / 4 * (x1 - x0), y0 + (row + 0.5) / 4 * (y1 - y0)
            np.testing.assert_allclose(found.points[index], point)
            if mask.any():
                filled += 1
                rows, columns = np.nonzero(mask)
                box = columns.min(), rows.min(), columns.max(), rows.max()
                assert tuple(found.boxes[index]) == box
    assert filled > 20 * len(proposals.candidates)
    stability = np.concatenate([found.stability for found in proposals.candidates])
    assert ((stability > 0.1) & (stability < 0.9)).sum() > 10


@pytest.fixture(scope="module", params=[0, 1])
def records(request, predictor, image, everything):
    settings = replace(
        everything, crop_n_layers=request.param, box_nms_thresh=0.95, min_mask_region_area=30
    )
    found = select(propose(predictor, image, settings=settings))
    assert len(found) > 10
    return found


def test_records_describe_their_masks(records):
    for record in records:
        mask = coco.decode(record.segmentation).astype(bool)
        assert mask.shape == record.image_size == (90, 120)
        np.testing.assert_array_equal(record.mask(), mask)
        assert record.area == mask.sum() > 0
        rows, columns = np.nonzero(mask)
        x, y, width, height = record.bbox
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max(), rows.max())
        left, top, crop_width, crop_height = record.crop_box
        assert left <= x <= x + width < left + crop_width <= 120
        assert top <= y <= y + height < top + crop_height <= 90
        ((at_x, at_y),) = record.point_coords
        assert left < at_x < left + crop_width
        assert top < at_y < top + crop_height
        assert 0 <= record.stability_score <= 1
    # No two are near duplicates.
    assert len({record.segmentation["counts"] for record in records}) == len(records)


def test_forms_of_the_masks_agree(records):
    for record in records:
        forms = {
            output: record.as_dict(output=output)
            for output in ("rle", "uncompressed_rle", "binary_mask", "polygons")
        }
        mask = forms["binary_mask"]["segmentation"]
        assert mask.dtype == bool
        assert mask.sum() == record.area
        np.testing.assert_array_equal(coco.decode(forms["rle"]["segmentation"]), mask)
        runs = forms["uncompressed_rle"]["segmentation"]
        assert runs["size"] == [90, 120]
        values = np.arange(len(runs["counts"])) % 2
        flat = np.repeat(values, runs["counts"]).reshape(120, 90).T
        np.testing.assert_array_equal(flat, mask)
        polygons = forms["polygons"]["segmentation"]
        np.testing.assert_array_equal(polygons_to_mask(polygons, mask.shape), mask)
        for form in forms.values():
            assert form.keys() == forms["rle"].keys()
            assert form["bbox"] == list(record.bbox)
            assert form["point_coords"] == [list(record.point_coords[0])]
        for output in ("rle", "uncompressed_rle", "binary_mask"):
            assert MaskRecord.from_dict(forms[output]) == record
        with pytest.raises(ValueError, match="output must be"):
            record.as_dict(output="svg")
