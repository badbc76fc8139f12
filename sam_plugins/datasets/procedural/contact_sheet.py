"""A picture of all kinds of scenes: ``python -m sam_plugins.datasets.procedural.contact_sheet``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sam_plugins.datasets.procedural.scene import KINDS, scene
from sam_plugins.datasets.procedural.shapes import OBJECT, PART

GAP = 4
TITLE = 16


def painted(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Paint each object in a colour of its own, its parts darker.

    Parameters
    ----------
    labels : ndarray of shape (3, S, S), integer
        Groups, objects and parts.

    Returns
    -------
    ndarray of shape (S, S, 3), uint8
        Black where no object is.
    """
    palette = np.random.default_rng(0).integers(90, 256, (256, 3))
    palette[0] = 0
    colours = palette[labels[OBJECT].astype(int) % 256]
    shade = np.where(labels[PART] > 0, 0.4 + 0.1 * (labels[PART] % 4), 1.0)
    return (colours * shade[..., None]).astype(np.uint8)


def contact_sheet(*, columns: int = 5, size: int = 128, seed: int = 0) -> Image.Image:
    """Draw scenes of each kind, with their masks below.

    Parameters
    ----------
    columns : int
        Scenes of a kind.
    size : int
        Side of a scene, in pixels.
    seed : int
        Of the scenes.

    Returns
    -------
    PIL.Image.Image
        One row a kind, in two columns of rows.
    """
    kinds = list(KINDS)
    rows = -(-len(kinds) // 2)
    width, height = columns * (size + GAP) + 3 * GAP, TITLE + 2 * size + 3 * GAP
    sheet = Image.new("RGB", (2 * width, rows * height), "white")
    pen = ImageDraw.Draw(sheet)
    for number, kind in enumerate(kinds):
        left, top = width * (number // rows), height * (number % rows)
        pen.text((left + GAP, top + 2), kind.replace("_", " "), fill="black")
        for column in range(columns):
            made = scene(np.random.default_rng([seed, number, column]), size, kind=kind)
            x, y = left + GAP + column * (size + GAP), top + TITLE
            sheet.paste(Image.fromarray(made.image), (x, y))
            sheet.paste(Image.fromarray(painted(made.labels)), (x, y + size + 1))
    return sheet


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments and write the picture.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="the file to write: .png or .jpg")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    contact_sheet(seed=arguments.seed).save(arguments.out, quality=85)


if __name__ == "__main__":
    main()
