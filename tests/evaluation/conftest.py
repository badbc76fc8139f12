"""A set of drawn images with their true masks, and the model that ships."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_plugins.cli.main import run
from sam_plugins.predictor import Predictor


@pytest.fixture(scope="session")
def lite() -> Predictor:
    return Predictor("lite", device="cpu", precision="float32")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run ``sam-plugins evaluate``: the exit code, standard output, standard error."""

    def run_here(*arguments: object) -> tuple[int, str, str]:
        code = run(["evaluate", *(str(argument) for argument in arguments)])
        return code, *capsys.readouterr()

    return run_here


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., Path]:
    """Write a set: images of two bright discs on a dark noisy ground, of the given radius."""

    def make(name: str = "discs", *, images: int = 2, radius: int = 14, height: int = 80) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        y, x = np.ogrid[:height, :100]
        entries = []
        for index in range(images):
            random = np.random.default_rng(index)
            labels = np.zeros((height, 100), dtype=np.uint8)
            labels[(x - 25) ** 2 + (y - 30 - 5 * index) ** 2 < radius**2] = 1
            labels[(x - 70) ** 2 + (y - 45) ** 2 < (radius + 4 * (radius > 3)) ** 2] = 2
            pixels = random.integers(0, 50, (height, 100, 3)).astype(np.uint8)
            pixels[labels == 1] += 150
            pixels[labels == 2] += np.array([180, 90, 20], dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
            Image.fromarray(labels).save(folder / f"{index}_mask.png")
            entries.append({"image": f"{index}.png", "mask": f"{index}_mask.png"})
        (folder / "index.json").write_text(json.dumps(entries))
        return folder

    return make
