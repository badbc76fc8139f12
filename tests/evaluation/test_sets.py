"""Reading sets: which objects are measured, and which pixels do not count."""

import json

import numpy as np
import pytest
from PIL import Image

from sam_plugins.evaluation.sets import read_set


def write(path, array):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path)


def make_set(root, *, images=3, ignore=False, name="a_set"):
    folder = root / name
    folder.mkdir()
    entries = []
    for index in range(images):
        labels = np.zeros((64, 80), dtype=np.uint16)
        labels[5:30, 5:30], labels[40:60, 10:70], labels[2, 70] = 2, 1, 300
        write(folder / "images" / f"{index}.png", np.full((64, 80, 3), index, dtype=np.uint8))
        write(folder / "masks" / f"{index}.png", labels)
        entry = {"image": f"images/{index}.png", "mask": f"masks/{index}.png"}
        if ignore:
            write(folder / "ignore" / f"{index}.png", (labels == 1).astype(np.uint8) * 255)
            entry["ignore"] = f"ignore/{index}.png"
        entries.append(entry)
    (folder / "index.json").write_text(json.dumps(entries))
    return folder


def test_all_objects_but_the_tiny_ones(tmp_path):
    samples = list(read_set(make_set(tmp_path), limit=100))
    assert len(samples) == 3
    for sample in samples:
        assert sorted(mask.sum() for mask in sample.masks) == [25 * 25, 20 * 60]
        assert sample.image.shape == (64, 80, 3)
        assert not sample.ignore.any()


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_the_limit_is_kept_and_spread_over_images(tmp_path, limit):
    samples = list(read_set(make_set(tmp_path), limit=limit))
    assert sum(len(sample.masks) for sample in samples) <= limit
    assert len(samples) >= min(limit, 3) - 1


def test_the_same_seed_gives_the_same_objects(tmp_path):
    folder = make_set(tmp_path, images=8)
    areas = [
        [(s.name, int(m.sum())) for s in read_set(folder, limit=6, seed=seed) for m in s.masks]
        for seed in (0, 0, 1)
    ]
    assert areas[0] == areas[1] != areas[2]


def test_pixels_to_ignore_are_read_and_what_lies_all_in_them_is_left_out(tmp_path):
    for sample in read_set(make_set(tmp_path, ignore=True)):
        assert sample.ignore.sum() == 20 * 60
        assert [mask.sum() for mask in sample.masks] == [25 * 25]


def test_cells_with_nuclei_are_wholes_and_parts(tmp_path):
    for sample in read_set(make_set(tmp_path, name="wbc_parts")):
        whole, part = sorted(sample.masks, key=np.count_nonzero, reverse=True)
        assert whole.sum() == 25 * 25 + 20 * 60 + 1
        assert part.sum() == 25 * 25
        assert not (part & ~whole).any()


def test_a_volume_is_a_set_of_slices(tmp_path):
    labels = np.zeros((4, 50, 50), dtype=np.int32)
    labels[:, 10:40, 10:40] = 5
    image = np.arange(4, dtype=np.uint8)[:, None, None].repeat(50, 1).repeat(50, 2)
    np.savez(tmp_path / "volume.npz", image=image, labels=labels)
    samples = list(read_set(tmp_path, limit=10))
    assert sorted(sample.image[0, 0, 0] for sample in samples) == [0, 1, 2, 3]
    assert all(sample.masks[0].sum() == 900 for sample in samples)


def test_another_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        list(read_set(tmp_path))
