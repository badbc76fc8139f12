"""A few small images of blobs, a data engine over them, and the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import draw

from sam_plugins.data_engine import Engine, EngineSettings, SourceImage
from sam_plugins.datasets.labelled import LabelledImage
from sam_plugins.masks import rle

SIZE = (72, 96)


def blobs(index):
    """Three bright discs on a dark ground: image and masks."""
    rng = np.random.default_rng([5, index])
    image = rng.normal(40, 6, SIZE)
    masks = []
    for column in (18, 48, 78):
        mask = np.zeros(SIZE, bool)
        row, radius = int(rng.integers(20, 52)), int(rng.integers(8, 13))
        mask[draw.disk((row, column), radius, shape=SIZE)] = True
        image[mask] += 120
        masks.append(mask)
    gray = image.clip(0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2), masks


@pytest.fixture
def truth():
    """The true masks of twelve images, by name."""
    found = {}
    for index in range(12):
        image, masks = blobs(index)
        name = f"b{index:02d}.png"
        found[name] = LabelledImage(name, image, tuple(rle.encode(mask) for mask in masks))
    return found


@pytest.fixture
def sources(tmp_path: Path, truth):
    """The twelve images as files."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, labelled in truth.items():
        Image.fromarray(labelled.image).save(folder / name)
    return [SourceImage(name, str(folder / name)) for name in sorted(truth)]


@pytest.fixture
def engine(tmp_path: Path, sources):
    """An engine over them, whose rounds are as short as can be."""
    settings = EngineSettings(masks_per_round=6, rounds=2, steps=2, held_out=0.25)
    return Engine.create(tmp_path / "engine", sources, settings)
