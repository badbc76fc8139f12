"""Accepted regions become the masks that they show."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from labelstudio_backend.protocol.labelling_config import Control
from labelstudio_backend.protocol.masks import read_masks
from labelstudio_backend.protocol.regions import regions_of
from sam_plugins.errors import SamPluginsError


def blob(height=60, width=80):
    y, x = np.mgrid[:height, :width]
    return (y - 30) ** 2 / 300 + (x - 40) ** 2 / 700 < 1


def region(tag, mask, label="Cell"):
    control = Control("out", "image", tag, ("Cell", "Other"), smart=False)
    return regions_of(mask, control, label, score=0.5, region_id="r")


@pytest.mark.parametrize("tag", ["BrushLabels", "BitmaskLabels"])
def test_exact_forms_come_back_exactly(tag):
    mask = blob()
    mask[30, 40] = False  # a hole
    (found,) = read_masks(region(tag, mask), mask.shape)
    assert np.array_equal(found.mask, mask)
    assert found.label == "Cell"


def test_a_polygon_comes_back_within_its_tolerance():
    mask = blob()
    (found,) = read_masks(region("PolygonLabels", mask), mask.shape)
    union = (found.mask | mask).sum()
    assert (found.mask & mask).sum() / union > 0.97


def test_boxes_ellipses_points_and_empty_masks_are_left_out():
    mask = blob()
    boxes = [*region("RectangleLabels", mask), *region("EllipseLabels", mask)]
    point = {"type": "keypointlabels", "value": {"x": 1, "y": 2, "width": 1}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b"}
    assert read_masks([*boxes, point, relation, "text"], mask.shape) == []


def test_a_mask_that_was_stored_at_another_size_is_brought_to_the_images():
    mask = blob()
    (found,) = read_masks(region("BrushLabels", mask), (120, 160))
    assert np.array_equal(found.mask, mask.repeat(2, 0).repeat(2, 1))


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    "value",
    [
        {"imageDataURL": 5},
        {"imageDataURL": "data:image/png;base64,AAAA"},
        {"imageDataURL": "http://example.com/a.png"},
        {"imageDataURL": png(np.zeros((3, 3, 4), np.uint8))},
    ],
)
def test_a_malformed_bitmask_is_an_error(value):
    bad = {"type": "bitmasklabels", "original_width": 8, "original_height": 8, "value": value}
    with pytest.raises(SamPluginsError):
        read_masks([bad], (8, 8))


@pytest.mark.parametrize("points", [None, "abc", [[1, 2]], [[1, 2], [3, "x"], [5, 6]], [1, 2, 3]])
def test_a_malformed_polygon_is_an_error(points):
    with pytest.raises(SamPluginsError):
        read_masks([{"type": "polygonlabels", "value": {"points": points}}], (8, 8))
