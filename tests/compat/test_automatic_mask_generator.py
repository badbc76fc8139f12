"""``SamAutomaticMaskGenerator`` finds the same masks as the reference's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from segment_anything import SamAutomaticMaskGenerator as ReferenceGenerator
from segment_anything.utils.amg import rle_to_mask

from sam_plugins.compat import SamAutomaticMaskGenerator
from tests.compat.conftest import smooth_image

SETTINGS = {
    "default thresholds": {"points_per_side": 6},
    "crops": {
        "points_per_side": 4,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
    },
    "small regions": {"points_per_side": 5, "min_mask_region_area": 60},
    "everything": {
        "points_per_side": 3,
        "points_per_batch": 5,
        "pred_iou_thresh": 0.5,
        "stability_score_thresh": 0.9,
        "stability_score_offset": 2.0,
        "box_nms_thresh": 0.8,
        "crop_n_layers": 1,
        "crop_nms_thresh": 0.6,
        "crop_overlap_ratio": 0.5,
        "min_mask_region_area": 30,
        "output_mode": "coco_rle",
    },
    "own points": {
        "points_per_side": None,
        "point_grids": [np.array([[0.2, 0.3], [0.5, 0.5], [0.9, 0.1], [0.4, 0.8]])],
        "output_mode": "uncompressed_rle",
    },
}


def as_mask(segmentation):
    """A mask in any of the three output modes."""
    if isinstance(segmentation, np.ndarray):
        return segmentation
    if isinstance(segmentation["counts"], list):
        return rle_to_mask(segmentation)
    return coco.decode(segmentation).astype(bool)


def assert_same_masks(theirs, ours):
    """The same masks in the same order, up to a pixel in ten thousand."""
    assert len(ours) == len(theirs)
    for a, b in zip(theirs, ours, strict=True):
        assert type(b["segmentation"]) is type(a["segmentation"])
        mask_a, mask_b = as_mask(a["segmentation"]), as_mask(b["segmentation"])
        assert mask_b.shape == mask_a.shape
        # Logits that are equal to five digits may still fall on either side of the threshold.
        pixels = 1e-4 * mask_a.size
        assert (mask_a != mask_b).sum() < pixels
        assert b["area"] == pytest.approx(a["area"], abs=pixels)
        if (mask_a == mask_b).all():
            assert list(b["bbox"]) == list(a["bbox"])
            assert b["area"] == a["area"]
        np.testing.assert_allclose(b["point_coords"], a["point_coords"], atol=1e-9)
        assert list(b["crop_box"]) == list(a["crop_box"])
        assert b["predicted_iou"] == pytest.approx(a["predicted_iou"], rel=1e-4)
        assert b["stability_score"] == pytest.approx(a["stability_score"], abs=pixels / a["area"])
        assert set(b) == set(a)


@pytest.mark.parametrize("pair", ["vit_b"], indirect=True)
@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_masks(pair, name):
    image = smooth_image(0, (240, 300))
    theirs = ReferenceGenerator(pair[0], **SETTINGS[name]).generate(image)
    ours = SamAutomaticMaskGenerator(pair[1], **SETTINGS[name]).generate(image)
    assert len(theirs) > 2
    assert_same_masks(theirs, ours)


@pytest.mark.parametrize("pair", ["vit_h"], indirect=True)
def test_the_same_masks_with_another_encoder(pair):
    image = smooth_image(0, (240, 300))
    settings = {"points_per_side": 5, "min_mask_region_area": 20}
    theirs = ReferenceGenerator(pair[0], **settings).generate(image)
    ours = SamAutomaticMaskGenerator(pair[1], **settings).generate(image)
    assert len(theirs) > 2
    assert_same_masks(theirs, ours)


@pytest.mark.parametrize("pair", ["vit_b"], indirect=True)
def test_no_mask_is_fine(pair):
    image = smooth_image(0, (60, 80))
    settings = {"points_per_side": 2, "pred_iou_thresh": 100.0}
    assert SamAutomaticMaskGenerator(pair[1], **settings).generate(image) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"output_mode": "polygons"}, "output_mode"),
        ({"points_per_side": None}, "points_per_side"),
        ({"point_grids": [np.zeros((1, 2))]}, "points_per_side"),
    ],
)
@pytest.mark.parametrize("pair", ["vit_b"], indirect=True)
def test_wrong_settings_are_refused(pair, settings, words):
    with pytest.raises(ValueError, match=words):
        SamAutomaticMaskGenerator(pair[1], **settings)


@pytest.mark.parametrize("pair", ["vit_b"], indirect=True)
def test_the_weights_stay(pair):
    before = {name: value.clone() for name, value in pair[1].state_dict().items()}
    SamAutomaticMaskGenerator(pair[1], points_per_side=1).generate(smooth_image(0, (60, 80)))
    for name, value in pair[1].state_dict().items():
        assert torch.equal(value, before[name]), name
