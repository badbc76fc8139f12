"""The views: found, in an order that the seed gives, cut within the bounds, errors with names."""

from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from sam_plugins.errors import InvalidImageError
from sam_plugins.training.mae.data import ViewStream, crop_box, list_images, random_crop


@pytest.fixture
def folder(tmp_path):
    """Five images of one colour each, one of them gray and in a folder below."""
    for index in range(4):
        pixels = np.full((40, 50, 3), 10 * index + 10, dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index}.png")
    (tmp_path / "below").mkdir()
    np.save(tmp_path / "below" / "gray.npy", np.full((30, 30), 50, dtype=np.uint8))
    (tmp_path / ".hidden.png").write_text("not an image")
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def colours(views):
    return views.images[:, 0, 0, 0].tolist()


def first_batches(stream, count, *, first=0, **kind):
    return list(islice(stream.batches(first, **kind), count))


def test_images_are_found_below_as_well(folder):
    names = [path.relative_to(folder).as_posix() for path in list_images(folder)]
    assert names == ["0.png", "1.png", "2.png", "3.png", "below/gray.npy"]


def test_each_epoch_shows_each_image_once_in_an_order_of_its_own(folder):
    stream = ViewStream(list_images(folder), size=16)
    seen = colours(first_batches(stream, 1, size=50)[0])
    epochs = [seen[start : start + 5] for start in range(0, 50, 5)]
    assert all(sorted(epoch) == [10, 20, 30, 40, 50] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5


def test_views_depend_on_the_seed_and_the_number_alone(folder):
    paths = list_images(folder)
    whole = first_batches(ViewStream(paths, size=16, seed=3), 4, size=3)
    again = first_batches(ViewStream(paths, size=16, seed=3), 2, first=2, size=3, workers=1)
    other = first_batches(ViewStream(paths, size=16, seed=4), 4, size=3)
    for one, two in zip(whole[2:], again, strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.seeds, two.seeds)
    assert whole[0].images.shape == (3, 3, 16, 16)
    assert whole[0].images.dtype == torch.uint8
    assert len({seed for views in whole + other for seed in views.seeds.tolist()}) == 24


def test_processes_share_each_batch(folder):
    stream = ViewStream(list_images(folder), size=16)
    whole = first_batches(stream, 2, size=4)
    parts = [first_batches(stream, 2, size=4, rank=rank, world=2) for rank in (0, 1)]
    for index, views in enumerate(whole):
        assert torch.equal(views.seeds[0::2], parts[0][index].seeds)
        assert torch.equal(views.images[1::2], parts[1][index].images)
    with pytest.raises(ValueError, match="3 cannot be shared by 2"):
        first_batches(stream, 1, size=3, world=2)


def test_crops_lie_inside_and_have_the_sizes_of_the_paper():
    rng = np.random.default_rng(0)
    shares, ratios = [], []
    for _ in range(500):
        left, top, width, height = crop_box(300, 400, rng)
        assert left >= 0
        assert top >= 0
        assert left + width <= 400
        assert top + height <= 300
        shares.append(width * height / 120_000)
        ratios.append(width / height)
    assert 0.19 < min(shares) < 0.25
    assert 0.9 < max(shares) <= 1
    assert 0.74 < min(ratios) < 0.8
    assert 1.25 < max(ratios) < 1.34


@pytest.mark.parametrize(("height", "width"), [(1, 1000), (1000, 1), (1, 1), (2, 9)])
def test_images_that_are_narrow_or_small(height, width):
    rng = np.random.default_rng(0)
    view = random_crop(np.full((height, width, 3), 9, dtype=np.uint8), rng, size=16)
    assert view.shape == (16, 16, 3)
    assert (view == 9).all()


def test_half_of_the_views_are_mirrored():
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:, :, 0] = np.arange(64)
    views = [random_crop(image, np.random.default_rng(seed), size=16) for seed in range(200)]
    mirrored = sum(int(view[0, 0, 0]) > int(view[0, -1, 0]) for view in views)
    assert 70 < mirrored < 130


def test_errors_name_the_file(folder):
    (folder / "broken.png").write_bytes(b"not an image")
    paths = list_images(folder)
    with pytest.raises(InvalidImageError, match=r"broken\.png"):
        first_batches(ViewStream(paths, size=16), 1, size=6)
    np.save(folder / "broken.npy", np.zeros((5, 20, 20), dtype=np.uint8))
    with pytest.raises(InvalidImageError, match=r"broken\.npy.*channels"):
        first_batches(ViewStream([folder / "broken.npy"], size=16), 1, size=1)
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        first_batches(ViewStream([folder / "gone.png"], size=16), 1, size=1)


def test_folders_without_images(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image in .*looked for \.bmp"):
        list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        list_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no image"):
        ViewStream([])
