"""Settings: the reference's and the paper's values, and what is out of range."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict

import numpy as np
import pytest

from sam_plugins.automatic import AutomaticSettings
from sam_plugins.automatic.grids import crops_of, grid_of
from sam_plugins.modeling import build_sam


def test_the_defaults_are_the_reference_s():
    assert asdict(AutomaticSettings()) == {
        "points_per_side": 32,
        "points_per_batch": None,
        "pred_iou_thresh": 0.88,
        "stability_score_thresh": 0.95,
        "stability_score_offset": 1.0,
        "box_nms_thresh": 0.7,
        "crop_n_layers": 0,
        "crop_nms_thresh": 0.7,
        "crop_overlap_ratio": 512 / 1500,
        "crop_n_points_downscale_factor": 1,
        "point_grids": None,
        "min_mask_region_area": 0,
        "drop_small_masks": False,
        "max_mask_fraction": 1.01,
    }


def test_sa1b_is_made_as_the_paper_says():
    settings = AutomaticSettings.sa1b()
    crops = crops_of((1500, 2250), settings)
    # The image, 2 x 2 and 4 x 4 crops of it, with 32 x 32, 16 x 16 and 8 x 8 points each.
    assert [crop.layer for crop in crops] == [0] + [1] * 4 + [2] * 16
    assert [len(grid_of(settings, layer)) for layer in range(3)] == [32**2, 16**2, 8**2]
    assert settings.pred_iou_thresh == 0.88
    assert (settings.stability_score_thresh, settings.stability_score_offset) == (0.95, 1.0)
    assert (settings.box_nms_thresh, settings.crop_nms_thresh) == (0.7, 0.7)
    assert settings.max_mask_fraction == 0.95
    assert (settings.min_mask_region_area, settings.drop_small_masks) == (100, True)


def test_a_model_brings_its_own_thresholds():
    settings = AutomaticSettings.for_model(build_sam("lite"))
    assert settings == AutomaticSettings(pred_iou_thresh=0.5, stability_score_thresh=0.8)


def test_the_official_models_have_the_reference_s_thresholds(tiny_sam):
    assert AutomaticSettings.for_model(tiny_sam) == AutomaticSettings()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("points_per_side", 0),
        ("points_per_side", -3),
        ("points_per_batch", 0),
        ("points_per_batch", -1),
        ("crop_n_points_downscale_factor", 0),
        ("crop_n_layers", -1),
        ("crop_n_layers", 6),
        ("min_mask_region_area", -1),
        ("pred_iou_thresh", float("nan")),
        ("stability_score_thresh", -0.1),
        ("stability_score_thresh", 2.0),
        ("stability_score_offset", -1.0),
        ("stability_score_offset", float("nan")),
        ("box_nms_thresh", 1.2),
        ("box_nms_thresh", float("nan")),
        ("crop_nms_thresh", -0.1),
        ("crop_nms_thresh", 70),
        ("crop_overlap_ratio", -0.2),
        ("crop_overlap_ratio", 1.5),
        ("max_mask_fraction", 0),
        ("max_mask_fraction", float("nan")),
        ("point_grids", []),
        ("point_grids", [np.zeros((3, 3))]),
        ("point_grids", [np.array([0.5, 0.5])]),
        ("point_grids", [np.array([[0.5, 1.5]])]),
        ("point_grids", [np.array([[-0.1, 0.5]])]),
        ("point_grids", [np.array([[np.nan, 0.5]])]),
    ],
)
def test_a_value_out_of_range_is_refused_and_its_field_named(field, value):
    with pytest.raises(ValueError, match=f"{field} must") as caught:
        AutomaticSettings(**{field: value})
    assert "\n" not in str(caught.value)


def test_values_at_the_ends_of_their_ranges_are_taken():
    low = AutomaticSettings(
        points_per_side=1,
        points_per_batch=1,
        pred_iou_thresh=-1,
        stability_score_thresh=0,
        stability_score_offset=0,
        box_nms_thresh=0,
        crop_nms_thresh=0,
        crop_overlap_ratio=0,
        crop_n_layers=0,
        min_mask_region_area=0,
    )
    assert low.points_per_batch == 1
    high = AutomaticSettings(
        stability_score_thresh=1,
        box_nms_thresh=1,
        crop_nms_thresh=1,
        crop_overlap_ratio=1,
        crop_n_layers=5,
        point_grids=[np.array([[0, 0], [1, 1]])] * 6,
    )
    assert high.crop_n_layers == 5


def test_each_layer_of_crops_needs_a_grid():
    grid = np.array([[0.5, 0.5]])
    with pytest.raises(ValueError, match="point_grids must have a grid for each of the 3 layers"):
        AutomaticSettings(point_grids=[grid, grid], crop_n_layers=2)


def test_settings_are_values():
    arrays = AutomaticSettings(point_grids=[np.array([[0.5, 0.25], [0.75, 1.0]])])
    lists = AutomaticSettings(point_grids=[[[0.5, 0.25], [0.75, 1]]])
    assert arrays.point_grids == (((0.5, 0.25), (0.75, 1.0)),)
    assert arrays == lists
    assert hash(arrays) == hash(lists)
    with pytest.raises(FrozenInstanceError):
        arrays.points_per_side = 3  # type: ignore[misc]
