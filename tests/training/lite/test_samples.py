"""Crops keep image and masks together; clicks and boxes belong to their objects."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image

from sam_plugins.errors import SamPluginsError
from sam_plugins.modeling import build_sam
from sam_plugins.training.lite.recipe import Part
from sam_plugins.training.lite.samples import Crops, pick_objects
from sam_plugins.training.lite.views import OUTSIDE, Annotated, random_view, read_folder, recolour


def annotated(height=90, width=140):
    """An image whose colour is its label, so that any misalignment shows."""
    labels = np.zeros((3, height, width), dtype=np.int32)
    labels[1, 10:50, 20:90] = 3
    labels[1, 60:85, 70:130] = 7
    labels[2, 20:40, 30:60] = 1
    image = np.repeat((labels[1] * 30)[..., None], 3, axis=2).astype(np.uint8)
    return Annotated(image, labels)


@pytest.mark.parametrize("long_side", [(60, 70), (140, 141), (300, 400)])
def test_views_move_image_and_masks_alike(long_side):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        view = random_view(rng, annotated(), 96, long_side)
        assert view.image.shape == (96, 96, 3)
        assert view.labels.shape == (3, 96, 96)
        agrees = 0
        for label in (3, 7):
            mask = view.labels[1] == label
            if mask.sum() > 50:
                agrees += 1
                # Pixels at borders are mixtures.
                assert (np.abs(view.image[mask].astype(int) - 30 * label) < 25).mean() > 0.8
        outside = (view.image == OUTSIDE).all(axis=2)
        assert not view.labels[:, outside].any()
        assert agrees or long_side[0] > 200


def test_outside_is_what_the_model_pads_with():
    mean = build_sam("lite").pixel_mean.flatten().numpy()
    assert np.abs(mean - OUTSIDE).max() <= 0.5


def test_the_same_seed_gives_the_same_view():
    views = [random_view(np.random.default_rng(1), annotated(), 64, (100, 200)) for _ in range(2)]
    assert np.array_equal(views[0].image, views[1].image)
    assert np.array_equal(views[0].labels, views[1].labels)


def test_recolouring_keeps_shape_and_type_and_sometimes_changes_nothing():
    image = annotated().image
    made = [recolour(np.random.default_rng(seed), image) for seed in range(40)]
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in made)
    same = sum(np.array_equal(each, image) for each in made)
    assert 0 < same < 30


def test_clicks_lie_in_their_objects_and_boxes_around_them():
    labels = annotated().labels
    rng = np.random.default_rng(0)
    table = pick_objects(rng, labels, 200, (0.1, 0.6, 0.3))
    assert {tuple(row) for row in table[:, :2].astype(int).tolist()} == {(1, 3), (1, 7), (2, 1)}
    for level, label, x, y, x0, y0, x1, y1 in table.astype(int):
        mask = labels[level] == label
        assert mask[y, x]
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        assert mask[y0].any() | mask[:, x0].any()
        assert mask[y1 - 1, x0:x1].any()
        assert mask[y0:y1, x1 - 1].any()


def test_tiny_and_huge_objects_are_not_picked():
    labels = np.zeros((3, 50, 50), dtype=np.int32)
    labels[1, :2, :3] = 1
    assert pick_objects(np.random.default_rng(0), labels, 4, (1, 1, 1)) is None
    labels[0] = 1
    assert pick_objects(np.random.default_rng(0), labels, 4, (1, 1, 1)) is None


def write_set(folder, count):
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        item = annotated()
        Image.fromarray(item.image).save(folder / "images" / f"{index:02}.png")
        Image.fromarray(item.labels[1].astype(np.uint16)).save(folder / "masks" / f"{index:02}.png")


def test_folders_are_read_without_the_images_kept_for_measuring(tmp_path):
    write_set(tmp_path / "set", 12)
    read = read_folder(tmp_path / "set", keep_every=(5, 3))
    assert len(read) == 12 - 2
    assert np.array_equal(read[0].labels[1], annotated().labels[1])
    with pytest.raises(FileNotFoundError, match="images"):
        read_folder(tmp_path, keep_every=(5, 3))


def test_files_that_cannot_be_used_are_named(tmp_path):
    write_set(tmp_path / "set", 3)
    image, mask = tmp_path / "set" / "images" / "01.png", tmp_path / "set" / "masks" / "01.png"
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SamPluginsError, match=r"images.01\.png cannot be read"):
        read_folder(tmp_path / "set", keep_every=(9, 8))
    image.write_bytes(whole)
    Image.fromarray(np.zeros((90, 139), np.uint16)).save(mask)
    with pytest.raises(SamPluginsError, match=r"masks.01\.png is of shape \(90, 139\)"):
        read_folder(tmp_path / "set", keep_every=(9, 8))
    mask.unlink()
    with pytest.raises(FileNotFoundError, match=r"masks.01\.png"):
        read_folder(tmp_path / "set", keep_every=(9, 8))


def scenes_of(item, count=2):
    return (
        np.repeat(item.image[None], count, axis=0),
        np.repeat(item.labels[None].astype(np.uint8), count, axis=0),
    )


PART = Part(
    "p", 10, size=64, batch=4, objects=3, level_weights=(0.1, 0.6, 0.3), real_weights={"a": 1.0}
)


def same(left, right):
    return all(torch.equal(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))


def test_a_batch_is_a_function_of_its_number_and_has_the_shapes_promised():
    crops = Crops({"a": [annotated()]}, scenes_of(annotated(64, 64)), PART)
    batch = crops[0]
    assert same(batch, crops[0])
    assert not same(batch, crops[1])
    assert not same(batch, Crops(crops.real, crops.scenes, replace(PART, seed=1))[0])
    assert batch.images.shape == (4, 3, 64, 64)
    assert batch.labels.shape == (4, 3, 64, 64)
    assert batch.clicks.shape == (4, 3, 2)
    assert batch.boxes.shape == (4, 3, 4)
    for image in range(4):
        for k in range(3):
            x, y = batch.clicks[image, k].long().tolist()
            level, label = batch.levels[image, k], batch.ids[image, k]
            assert batch.labels[image, level, y, x] == label


def test_processes_share_a_batch():
    real, scenes = {"a": [annotated()]}, scenes_of(annotated(64, 64))
    whole = Crops(real, scenes, PART)[7]
    shares = [Crops(real, scenes, PART, process=p, processes=3)[7] for p in range(3)]
    assert [len(share.images) for share in shares] == [1, 1, 2]
    assert torch.equal(torch.cat([share.images for share in shares]), whole.images)
    assert torch.equal(torch.cat([share.clicks for share in shares]), whole.clicks)


def test_data_without_any_object_is_an_error_and_not_an_endless_search():
    empty = scenes_of(annotated(64, 64))
    empty[1][:] = 0
    with pytest.raises(ValueError, match="none of 1000 crops has an object"):
        Crops({}, empty, PART)[0]


@pytest.mark.parametrize("size", [32, 64, 160])
def test_crops_may_be_smaller_and_larger_than_the_scenes(size):
    part = replace(PART, size=size, batch=3, objects=2)
    batch = Crops({}, scenes_of(annotated(64, 64)), part)[0]
    assert batch.images.shape == (3, 3, size, size)
    assert batch.labels.shape == (3, 3, size, size)
