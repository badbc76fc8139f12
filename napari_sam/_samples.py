"""Sample data: images that ship inside scikit-image, and generated ones. Nothing is downloaded."""

from __future__ import annotations

from typing import Any

LayerData = tuple[Any, dict[str, Any], str]

# What is generated is the same every time.
_SEED = 0


def coins() -> list[LayerData]:
    """Greek coins from Pompeii: (303, 384), uint8."""
    from skimage import data

    return [(data.coins(), {"name": "coins"}, "image")]


def cell() -> list[LayerData]:
    """A cell, by digital holography: (660, 550), uint8."""
    from skimage import data

    return [(data.cell(), {"name": "cell"}, "image")]


def glands() -> list[LayerData]:
    """Colonic glands, immunohistochemistry: (512, 512, 3), uint8."""
    from skimage import data

    return [(data.immunohistochemistry(), {"name": "glands", "rgb": True}, "image")]


def generated_cells() -> list[LayerData]:
    """Fluorescent cells, generated: (512, 512), uint8, 0.2 µm a pixel."""
    import numpy as np

    from sam_plugins.datasets.procedural import scene

    made = scene(np.random.default_rng(_SEED), 512, kind="fluorescence")
    scale = {"scale": (0.2, 0.2), "units": ("µm", "µm")}
    return [(made.image.max(axis=2), {"name": "generated cells", **scale}, "image")]


def generated_stack() -> list[LayerData]:
    """Fluorescent nuclei, generated: (20, 192, 192), uint16, slices 4 times as far as pixels."""
    import numpy as np

    from sam_plugins.datasets.procedural.stacks import ANISOTROPY, nuclei_stack

    image, _labels = nuclei_stack(np.random.default_rng(_SEED))
    scale = {"scale": (0.3 * ANISOTROPY, 0.3, 0.3), "units": ("µm",) * 3}
    return [(image, {"name": "generated nuclei", **scale}, "image")]
