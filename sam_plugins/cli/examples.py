"""The images of the demo, and what is asked about each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam_plugins.prompts import Prompt

# Colours of foreground points, background points and boxes in pictures: RGB.
_FOREGROUND = (40, 200, 60)
_BACKGROUND = (220, 40, 40)
_BOX = (255, 210, 0)


@dataclass(frozen=True)
class Example:
    """One image that ships inside scikit-image, and what is asked about it.

    Parameters
    ----------
    file : str
        Name in scikit-image's folder of images.
    subject, target : str
        What it shows, and which object is prompted.
    points : tuple
        x, y, label of each point, in pixels.
    boxes : tuple
        x0, y0, x1, y1 of each box, in pixels.
    """

    file: str
    subject: str
    target: str
    points: tuple[tuple[float, float, int], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return Path(self.file).stem

    @property
    def hint(self) -> str:
        """What kind of prompt it is, for people."""
        parts = []
        for count, word in ((len(self.points), "point"), (len(self.boxes), "box")):
            if count:
                parts.append(f"a {word}" if count == 1 else f"{count} {word}s")
        return " and ".join(parts)

    def prompt(self) -> Prompt:
        """What is asked."""
        from sam_plugins.prompts import Prompt

        return Prompt(
            points=np.array([point[:2] for point in self.points], dtype=np.float32),
            labels=np.array([point[2] for point in self.points], dtype=np.int64),
            boxes=np.array(self.boxes, dtype=np.float32),
        )


EXAMPLES = (
    Example("coins.png", "Greek coins from Pompeii", "a coin", points=((335, 44, 1),)),
    Example("cell.png", "a cell, by digital holography", "the cell", points=((428, 374, 1),)),
    Example(
        "ihc.png", "colonic glands, immunohistochemistry", "a gland", boxes=((252, 303, 383, 509),)
    ),
    Example(
        "hubble_deep_field.jpg",
        "the Hubble eXtreme Deep Field",
        "a galaxy",
        points=((124, 401, 1),),
    ),
    Example("coffee.png", "a cup of coffee", "the spoon", boxes=((324, 240, 408, 327),)),
    Example("chelsea.png", "Chelsea the cat", "an eye", boxes=((134, 83, 208, 149),)),
    Example("astronaut.png", "the astronaut Eileen Collins", "a patch", points=((172, 385, 1),)),
    Example(
        "rocket.jpg", "a Falcon 9 before its launch", "the rocket", boxes=((308, 124, 337, 408),)
    ),
)


def image_folder() -> Path:
    """Scikit-image's folder of images that ship with it: nothing is downloaded.

    Raises
    ------
    FileNotFoundError
        If scikit-image is not installed.
    """
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("scikit-image, whose images the demo uses, is not installed")
    return Path(spec.submodule_search_locations[0], "data")


def draw_prompt(picture: NDArray[np.uint8], prompt: Prompt) -> NDArray[np.uint8]:
    """Draw a prompt's points and boxes on a picture.

    Parameters
    ----------
    picture : ndarray of shape (H, W, 3), uint8
        RGB; left as it is.
    prompt : Prompt
        Points become discs, green for foreground and red for background; boxes become yellow
        frames.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    radius = max(3, round(max(image.size) / 120))
    for box in () if prompt.boxes is None else prompt.boxes.tolist():
        draw.rectangle(box, outline=_BOX, width=max(1, radius // 3))
    if prompt.points is not None and prompt.labels is not None:
        for (x, y), label in zip(prompt.points.tolist(), prompt.labels.tolist(), strict=True):
            disc = (x - radius, y - radius, x + radius, y + radius)
            draw.ellipse(disc, fill=_FOREGROUND if label else _BACKGROUND, outline="white")
    return np.array(image)
