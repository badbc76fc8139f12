"""Collages: shapes of one photograph on another, with the masks where the shapes are."""

import numpy as np
import pytest
from scipy import ndimage

from sam_plugins.training.lite.collages import LEAST_VISIBLE, collage
from sam_plugins.training.lite.recipe import Part
from sam_plugins.training.lite.samples import PHOTOGRAPHS, Crops
from sam_plugins.training.lite.views import Annotated


def photo(value, height=120, width=160):
    pixels = np.full((height, width, 3), value, dtype=np.uint8)
    return Annotated(pixels, np.zeros((3, height, width), dtype=np.int32))


@pytest.mark.parametrize("seed", range(6))
def test_shapes_differ_from_what_lies_around_them(seed):
    made = collage(np.random.default_rng(seed), [photo(20), photo(120), photo(235)], 96)
    assert made.image.shape == (96, 96, 3)
    assert made.labels.shape == (3, 96, 96)
    assert not made.labels[0].any()
    # Pieces of shapes lie in shapes.
    assert not (made.labels[2][made.labels[1] == 0] > 0).any()
    for label in np.unique(made.labels[1])[1:]:
        # One tint over one flat photograph is flat; only borders are soft.
        core = ndimage.binary_erosion(made.labels[1] == label, iterations=4)
        if core.any():
            inside = made.image[core].mean(axis=1)
            assert (np.abs(inside - np.median(inside)) < 3).mean() > 0.5


def test_the_same_seed_gives_the_same_collage_and_most_have_a_shape():
    photos = [photo(20), photo(200)]
    twice = [collage(np.random.default_rng(3), photos, 64) for _ in range(2)]
    assert np.array_equal(twice[0].image, twice[1].image)
    assert np.array_equal(twice[0].labels, twice[1].labels)
    areas = [(collage(np.random.default_rng(s), photos, 64).labels[1] > 0).sum() for s in range(20)]
    assert np.median(areas) > 5 * LEAST_VISIBLE


def test_batches_can_be_made_of_collages_alone():
    scenes = np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 3, 64, 64), np.uint8)
    photos = {PHOTOGRAPHS: [photo(20), photo(200)]}
    part = Part(
        "p", 1, size=64, batch=3, objects=2, real_share=0.0, collage_share=1.0,
        real_weights={PHOTOGRAPHS: 1.0},
    )  # fmt: skip
    batch = Crops(photos, scenes, part)[0]
    assert (batch.labels[:, 1] > 0).flatten(1).any(1).all()
