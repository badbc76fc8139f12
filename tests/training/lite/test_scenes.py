"""Scenes on disk: each depends on its number alone, and is made once."""

import os

import numpy as np
import pytest

from sam_plugins.datasets.procedural import scene
from sam_plugins.training.lite.scenes import make_scenes, reserve


def test_scenes_are_kept_and_each_depends_on_its_number(tmp_path):
    images, labels = make_scenes(tmp_path, count=3, size=48, seed=7)
    assert images.shape == (3, 48, 48, 3)
    for index in range(3):
        made = scene(np.random.default_rng([7, index]), 48)
        assert np.array_equal(images[index], made.image)
        assert np.array_equal(labels[index], made.labels)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again, _ = make_scenes(tmp_path, count=3, size=48, seed=7)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert np.array_equal(images, again)
    assert len(before) == 2


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not on this system")
def test_room_is_taken_before_it_is_needed(tmp_path):
    path = tmp_path / "images.npy"
    with path.open("wb") as file:
        file.truncate(1_000_000)
    reserve(path)
    assert path.stat().st_size == 1_000_000
    assert path.stat().st_blocks * 512 >= 1_000_000
    with pytest.raises(OSError, match=r"none\.npy"):
        reserve(tmp_path / "none.npy")
