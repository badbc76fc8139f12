"""Masks become regions of each kind, and the regions describe the masks."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from skimage import draw

from labelstudio_backend.protocol.brush_rle import decode
from labelstudio_backend.protocol.labelling_config import Control
from labelstudio_backend.protocol.regions import regions_of

SIZE = (120, 200)


def two_pieces():
    mask = np.zeros(SIZE, dtype=bool)
    mask[10:60, 20:90] = True
    mask[20:30, 30:40] = False
    mask[70:100, 120:180] = True
    return mask


def written(mask, tag, label="Cat"):
    control = Control("out", "image", tag, ("Cat",), False)
    regions = regions_of(mask, control, label, score=0.7, region_id="abc", image_rotation=90)
    for number, region in enumerate(regions):
        assert (region["from_name"], region["to_name"]) == ("out", "image")
        assert region["type"] == control.region_type
        assert (region["original_width"], region["original_height"]) == (200, 120)
        assert (region["score"], region["image_rotation"]) == (0.7, 90)
        assert region["id"] == ("abc" if number == 0 else f"abc-{number + 1}")
        assert region["value"].get(control.region_type) == ([label] if label else None)
    return [region["value"] for region in regions]


def test_a_brush_holds_the_mask_exactly():
    mask = two_pieces()
    (value,) = written(mask, "BrushLabels")
    assert value["format"] == "rle"
    assert np.array_equal(decode(value["rle"], SIZE), mask)
    assert "brush" not in written(mask, "Brush", label=None)[0]


def test_a_bitmask_is_a_picture():
    (value,) = written(two_pieces(), "BitmaskLabels")
    data = base64.b64decode(value["imageDataURL"].removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    assert np.array_equal(pixels[..., 3] > 0, two_pieces())
    assert not pixels[..., :3].any()


def test_polygons_are_one_a_piece_without_holes():
    values = written(two_pieces(), "PolygonLabels")
    assert len(values) == 2
    found = np.zeros(SIZE, dtype=bool)
    for value in values:
        assert value["closed"]
        points = np.array(value["points"]) / 100 * [SIZE[1], SIZE[0]]
        found |= draw.polygon2mask(SIZE, points[:, ::-1] - 0.5)
    wanted = two_pieces()
    wanted[20:30, 30:40] = True
    assert (found & wanted).sum() / (found | wanted).sum() > 0.97


def test_a_rectangle_is_the_box():
    (value,) = written(two_pieces(), "RectangleLabels")
    box = [value[name] for name in ("x", "y", "width", "height")]
    assert box == pytest.approx([10, 100 / 12, 80, 75])


@pytest.mark.parametrize("angle", [0, 30, 80, 120])
def test_an_ellipse_of_an_ellipse(angle):
    rows, columns = draw.ellipse(60, 100, 20, 45, SIZE, rotation=-np.radians(angle))
    mask = np.zeros(SIZE, dtype=bool)
    mask[rows, columns] = True
    (value,) = written(mask, "EllipseLabels")
    assert (value["x"], value["y"]) == pytest.approx((50.25, 50.4), abs=0.5)
    assert value["radiusX"] / 100 * SIZE[1] == pytest.approx(45, abs=1)
    assert value["radiusY"] / 100 * SIZE[0] == pytest.approx(20, abs=1)
    turned = min(abs(value["rotation"] - angle), 180 - abs(value["rotation"] - angle))
    assert turned < 2


def test_an_empty_mask_is_no_region():
    assert written(np.zeros(SIZE, dtype=bool), "BrushLabels") == []
