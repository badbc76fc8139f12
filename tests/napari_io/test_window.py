"""Files in a real window: opened on their image, and saved from it."""

import os
import sys

import numpy as np
import pytest

pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(
        sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys(),
        reason="no display: run under xvfb-run",
    ),
]


def test_annotations_of_an_open_image(make_napari_viewer, plugin, tmp_path):
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("sam-plugins", "generated_cells")
    (image,) = viewer.layers
    labels = np.zeros(image.data.shape, np.uint16)
    labels[100:200, 300:350] = 7
    made = viewer.add_labels(labels, name="generated cells objects", scale=image.scale)
    path = str(tmp_path / "cells.geojson")
    assert made.save(path, plugin="sam-plugins") == [path]
    viewer.layers.remove(made)

    (found,) = viewer.open(path, plugin="sam-plugins")
    np.testing.assert_array_equal(found.data, labels)
    np.testing.assert_allclose(found.scale, (0.2, 0.2))
    assert found.units == image.units
    viewer.reset_view()
    shown = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    viewer.layers.remove(found)
    bare = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    changed = (shown != bare).any(axis=2)
    # The object covers 100 x 50 of 512 x 512 pixels, right of the middle and above it.
    rows, columns = np.nonzero(changed)
    assert columns.min() > changed.shape[1] * 0.45
    assert rows.max() < changed.shape[0] * 0.5
    assert np.ptp(rows) == pytest.approx(2 * np.ptp(columns), rel=0.1)
