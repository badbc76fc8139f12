"""Answers without a model: discs about the clicks, so that tests know what to expect."""

import numpy as np

from sam_plugins.frames import Frame
from sam_plugins.prediction import Prediction


def disc(size, x, y, radius):
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def prediction(size, prompt, radii=(6, 4, 8), scores=(0.6, 0.9, 0.3)):
    """Three discs about the middle of the foreground clicks or of the first box."""
    if prompt.points is not None:
        x, y = prompt.points[prompt.labels == 1].mean(axis=0)
    elif prompt.boxes is not None:
        x, y = prompt.boxes[0].reshape(2, 2).mean(axis=0)
    else:
        y, x = np.argwhere(prompt.mask).mean(axis=0)
    frame = Frame(size, max(size), 1)
    logits = np.full((3, max(size), max(size)), -5.0, dtype=np.float32)
    for index, radius in enumerate(radii):
        logits[index, : size[0], : size[1]][disc(size, x, y, radius)] = 5.0
    return Prediction(logits, np.array(scores, dtype=np.float32), frame)
