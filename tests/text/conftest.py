from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sam_plugins.predictor import Predictor


@pytest.fixture(scope="session")
def lite() -> Predictor:
    return Predictor("lite", device="cpu", precision="float32")


@pytest.fixture(scope="session")
def discs() -> NDArray[np.uint8]:
    """A large red, a small red and a blue disc on grey, 160 x 160."""
    image = np.full((160, 160, 3), 150, dtype=np.uint8)
    y, x = np.mgrid[:160, :160]
    for cx, cy, radius, colour in (
        (45, 50, 26, (230, 10, 10)),
        (120, 40, 13, (230, 10, 10)),
        (110, 115, 22, (10, 40, 230)),
    ):
        image[np.hypot(x - cx, y - cy) <= radius] = colour
    return image


def centre_of(mask: NDArray[np.bool_]) -> tuple[float, float]:
    y, x = np.nonzero(mask)
    return float(x.mean()), float(y.mean())
