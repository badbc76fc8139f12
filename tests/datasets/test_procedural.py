"""Procedural scenes: the same from the same seed, masks that agree with each other."""

import numpy as np
import pytest
from scipy import ndimage

from sam_plugins.datasets.procedural import KINDS, scene
from sam_plugins.datasets.procedural.contact_sheet import contact_sheet
from sam_plugins.datasets.procedural.noise import TEXTURES, smooth_noise
from sam_plugins.datasets.procedural.shapes import (
    MOST_LABELS,
    OBJECT,
    PART,
    Canvas,
    fill,
    outline,
    rim,
)

SEEDS = range(3)


def make(kind, seed, size=128):
    return scene(np.random.default_rng(seed), size, kind=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_scene_and_another_seed_another(kind):
    first, again, other = make(kind, 0), make(kind, 0), make(kind, 1)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_types_and_something_to_click_in_most_scenes(kind):
    with_objects = 0
    for seed in SEEDS:
        made = make(kind, seed, size=96)
        assert made.image.shape == (96, 96, 3)
        assert made.image.dtype == np.uint8
        assert made.labels.shape == (3, 96, 96)
        assert made.labels.dtype == np.uint8
        assert made.kind == kind
        assert made.image.std() > 1
        with_objects += bool(made.labels[OBJECT].any())
    assert with_objects >= len(SEEDS) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_lies_in_one_object(kind):
    for seed in SEEDS:
        labels = make(kind, seed).labels
        for part in np.unique(labels[PART])[1:]:
            owners = np.unique(labels[OBJECT][labels[PART] == part])
            assert len(owners) == 1, (kind, seed, part)
            assert owners[0] > 0, (kind, seed, part)


def test_heaps_of_particles_are_their_connected_regions():
    for seed in SEEDS:
        group, objects, _ = make("particles", seed).labels
        assert np.array_equal(group > 0, objects > 0)
        regions, count = ndimage.label(objects > 0)
        if count < 256:
            pairs = {tuple(pair) for pair in np.stack([group, regions], -1)[objects > 0].tolist()}
            assert len(pairs) == count


@pytest.mark.parametrize("kind", ["grid", "leaves", "particles"])
def test_objects_differ_from_their_surroundings(kind):
    """The image shows what the masks say: borders of objects are where brightness changes."""
    higher = []
    for seed in range(8):
        made = make(kind, seed)
        light = ndimage.gaussian_filter(made.image.astype(float).mean(axis=2), 1)
        slope = np.hypot(ndimage.sobel(light, 0), ndimage.sobel(light, 1))
        objects = made.labels[OBJECT]
        border = ndimage.grey_dilation(objects, 3) != ndimage.grey_erosion(objects, 3)
        if border.any() and not border.all():
            higher.append(slope[border].mean() > slope[~border].mean())
    assert np.mean(higher) >= 0.75


def test_an_unknown_kind_and_a_tiny_size_are_errors():
    with pytest.raises(ValueError, match="leaves"):
        make("unicorns", 0)
    with pytest.raises(ValueError, match="31"):
        make("leaves", 0, size=31)


def test_without_a_kind_all_kinds_come_up():
    rng = np.random.default_rng(0)
    assert {scene(rng, 32).kind for _ in range(150)} == set(KINDS)


def test_labels_never_run_out_of_eight_bits():
    canvas = Canvas(32)
    patch = fill(32, np.array([[-3.0, -3], [3, -3], [3, 3], [-3, 3]]), np.array([16.0, 16]))
    labels = []
    while not canvas.full(OBJECT):
        labels.append(canvas.label(OBJECT, patch))
    assert labels == list(range(1, MOST_LABELS + 1))
    assert MOST_LABELS < 256


def test_a_filled_square_is_that_square_and_outside_is_none():
    square = np.array([[-4.0, -4], [4, -4], [4, 4], [-4, 4]])
    patch = fill(64, square, np.array([20.0, 30]))
    canvas = np.zeros((64, 64), bool)
    canvas[patch.window] = patch.mask
    rows, columns = np.nonzero(canvas)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (26, 34, 16, 24)
    assert canvas.sum() == 81
    assert fill(64, square, np.array([-40.0, 30])) is None


def test_rim_is_what_erosion_takes_away():
    rng = np.random.default_rng(0)
    mask = ndimage.gaussian_filter(rng.standard_normal((40, 50)), 3) > 0
    # Outside the canvas counts as inside the shape, so that a cut shape has no rim at the cut.
    eroded = ndimage.binary_erosion(mask, border_value=1)
    assert np.array_equal(rim(mask), mask & ~eroded)


@pytest.mark.parametrize("kind", ["ellipse", "blob", "polygon", "rounded", "lobed", "ragged"])
def test_outlines_scale_with_the_radius(kind):
    small = outline(np.random.default_rng(5), 10, kind)
    large = outline(np.random.default_rng(5), 30, kind)
    np.testing.assert_allclose(large, 3 * small)
    assert 3 < np.hypot(*small.T).mean() < 25


def test_smooth_noise_varies_over_its_cell():
    rng = np.random.default_rng(0)
    fine, coarse = smooth_noise(rng, 128, 128, 3), smooth_noise(rng, 128, 128, 30)
    step = [np.abs(np.diff(field, axis=1)).mean() / field.std() for field in (fine, coarse)]
    assert step[0] > 4 * step[1]


@pytest.mark.parametrize("texture", TEXTURES)
def test_textures_are_finite_fields_of_the_shape_asked_for(texture):
    field = texture(np.random.default_rng(0), 17, 43)
    assert field.shape == (17, 43)
    assert field.dtype == np.float32
    assert np.isfinite(field).all()


def test_the_contact_sheet_shows_every_kind():
    sheet = np.asarray(contact_sheet(columns=2, size=48))
    rows = -(-len(KINDS) // 2)
    assert sheet.shape[0] == rows * (16 + 2 * 48 + 12)
    # Each cell is something else than white paper.
    assert (sheet.reshape(rows, -1, *sheet.shape[1:]).std(axis=(1, 2, 3)) > 20).all()
