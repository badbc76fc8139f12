"""What needs no model, on shapes that are easy to find."""

import builtins

import numpy as np
import pytest

from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.baselines import (
    filled_box,
    filled_ellipse,
    flood,
    grabcut,
    opencv,
    random_walk,
)
from sam_plugins.evaluation.clicks import box_of, iou


def scene(*, scale=1):
    """A bright disc on a dark noisy ground, (60, 80) times the scale, and its mask."""
    y, x = np.ogrid[: 60 * scale, : 80 * scale]
    truth = (x - 45 * scale) ** 2 + (y - 30 * scale) ** 2 < (12 * scale) ** 2
    image = np.random.default_rng(0).integers(0, 40, (*truth.shape, 3)).astype(np.uint8)
    image[truth] += 180
    return image, truth


def test_the_ellipse_has_its_area_and_touches_its_box():
    mask = filled_ellipse((10, 20, 90, 60), (80, 100))
    assert mask.sum() == pytest.approx(np.pi * 40 * 20, rel=0.01)
    assert box_of(mask) == (10, 20, 90, 60)


def test_the_box_is_full():
    mask = filled_box((10, 20, 90, 60), (80, 100))
    assert mask.sum() == 80 * 40
    assert box_of(mask) == (10, 20, 90, 60)


def test_the_flood_stops_where_brightness_changes():
    image = np.zeros((40, 50, 3), dtype=np.uint8)
    image[5:35, 5:45] = 200
    mask = flood(image, (25.5, 20.5))
    truth = image[..., 0] > 0
    # Smoothing costs a pixel along the border.
    assert iou(mask, truth) > 28 * 38 / (30 * 40) - 0.02
    assert not mask[0, 0]


@pytest.mark.parametrize("scale", [1, 5])
def test_the_random_walk_finds_the_disc(scale):
    """Also where the image is solved at a smaller size."""
    image, truth = scene(scale=scale)
    mask = random_walk(image, (45.5 * scale, 30.5 * scale))
    assert mask.shape == truth.shape
    assert iou(mask, truth) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (40, 40)])
def test_a_random_walk_over_nothing_finds_nothing_or_a_little(size):
    mask = random_walk(np.full((*size, 3), 7, dtype=np.uint8), (0.5, 0.5))
    assert mask.shape == size


@pytest.mark.parametrize("scale", [1, 3])
def test_grabcut_finds_the_disc(scale):
    """The disc of the small image is 23 pixels wide, and is looked at enlarged."""
    image, truth = scene(scale=scale)
    mask = grabcut(image, box_of(truth))
    assert iou(mask, truth) > 0.9
    assert (mask == grabcut(image, box_of(truth))).all()


def test_grabcut_falls_back_on_the_ellipse():
    image, truth = scene()
    whole = (0.0, 0.0, 80.0, 60.0)  # no pixel is left for the background
    assert (grabcut(image, whole) == filled_ellipse(whole, (60, 80))).all()
    box = box_of(truth)
    black = np.zeros_like(image)
    assert (grabcut(black, box) == filled_ellipse(box, (60, 80))).all()


def test_without_opencv_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "cv2":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SamPluginsError, match=r"sam-plugins\[bench\]"):
        opencv()
