"""The store of accepted masks: what is put is what is trained on."""

import io

import numpy as np
import pytest
from PIL import Image

from labelstudio_backend.learning.examples import ExampleStore
from labelstudio_backend.protocol.masks import RegionMask
from sam_plugins.datasets.labelled import read_labelled


def picture(seed, height=40, width=50):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue(), pixels


def square(y, x, side=8, height=40, width=50):
    mask = np.zeros((height, width), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.fixture
def store(tmp_path):
    return ExampleStore(tmp_path / "7")


def test_what_was_put_is_read_for_training(store):
    masks = {3: [square(2, 2), square(4, 4)], 12: [square(20, 30)]}  # overlapping ones stay so
    pixels = {}
    for task, each in masks.items():
        data, pixels[task] = picture(task)
        store.put(task, data, [RegionMask(mask, "Cell") for mask in each])
    assert store.tasks() == [3, 12]
    assert store.collect(store.folder / "all.json") == 2
    found = read_labelled(store.folder / "all.json")
    assert len(found) == 2
    for labelled in found:
        task = next(t for t in masks if str(t) == labelled.name.rpartition("/")[2].split(".")[0])
        assert np.array_equal(labelled.image, pixels[task])
        assert np.array_equal(labelled.masks(), np.stack(masks[task]))


def test_a_task_is_replaced_and_forgotten(store):
    data, _ = picture(0)
    store.put(1, data, [RegionMask(square(0, 0), "A"), RegionMask(square(9, 9), None)])
    store.put(1, data, [RegionMask(square(5, 5), "B")])
    store.collect(store.folder / "all.json")
    (labelled,) = read_labelled(store.folder / "all.json")
    assert np.array_equal(labelled.masks(), square(5, 5)[None])
    store.remove(1)
    store.remove(1)
    assert store.tasks() == []
    assert not list((store.folder / "images").iterdir())


def test_an_image_without_its_masks_does_not_count(store):
    data, _ = picture(0)
    store.put(1, data, [RegionMask(square(0, 0), "A")])
    # As a kill between the two files leaves it.
    (store.folder / "tasks" / "1.json").rename(store.folder / "tasks" / ".1.json.partial")
    assert store.tasks() == []
