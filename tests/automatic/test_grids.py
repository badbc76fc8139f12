"""Grids and crops against the reference's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from segment_anything.utils.amg import build_all_layer_point_grids, generate_crop_boxes

from sam_plugins.automatic.grids import crops_of, grid_of
from sam_plugins.automatic.settings import AutomaticSettings


@given(side=st.integers(1, 40), layers=st.integers(0, 3), factor=st.integers(1, 2))
def test_grids_are_the_reference_s(side, layers, factor):
    if side // factor**layers < 1:
        return
    settings = AutomaticSettings(
        points_per_side=side, crop_n_layers=layers, crop_n_points_downscale_factor=factor
    )
    for layer, expected in enumerate(build_all_layer_point_grids(side, layers, factor)):
        np.testing.assert_allclose(grid_of(settings, layer), expected, rtol=0, atol=1e-15)


@given(
    height=st.integers(8, 3000),
    width=st.integers(8, 3000),
    layers=st.integers(0, 3),
    ratio=st.floats(0, 0.6),
)
def test_crops_are_the_reference_s_and_cover_the_image(height, width, layers, ratio):
    settings = AutomaticSettings(crop_n_layers=layers, crop_overlap_ratio=ratio)
    crops = crops_of((height, width), settings)
    boxes, indices = generate_crop_boxes((height, width), layers, ratio)
    assert [list(crop.box) for crop in crops] == boxes
    assert [crop.layer for crop in crops] == indices
    for layer in range(1, layers + 1):
        columns = np.zeros(width, dtype=bool)
        rows = np.zeros(height, dtype=bool)
        for crop in crops:
            if crop.layer == layer:
                columns[crop.box[0] : crop.box[2]] = True
                rows[crop.box[1] : crop.box[3]] = True
        assert columns.all()
        assert rows.all()


def test_given_grids_replace_regular_ones():
    grids = [np.array([[0.5, 0.25]]), np.array([[0.1, 0.2], [0.3, 0.4]])]
    settings = AutomaticSettings(point_grids=grids, crop_n_layers=1)
    np.testing.assert_array_equal(grid_of(settings, 0), grids[0])
    np.testing.assert_array_equal(grid_of(settings, 1), grids[1])
