"""A training run as data: read from a TOML file, so that it can be repeated."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path


@dataclass(frozen=True)
class Recipe:
    """Everything that decides how ``lite`` is trained, but for the time that it is given.

    Parameters
    ----------
    seed : int
        Of the weights, the scenes and the crops.
    scenes : int
        Procedural scenes to make before training.
    scene_size : int
        Their side, in pixels.
    real_share : float
        How often a crop comes from a real image.
    collage_share : float
        How often a crop is a collage of photographs; see `collages`.
    real_weights : dict of str to float
        How often each real data set is drawn.
    level_weights : tuple of float
        How often groups, objects and parts are clicked.
    objects : int
        Objects to click in each crop.
    box_share : float
        How often the first prompt is a box and not a click.
    box_noise : float
        Noise of a box, as a fraction of its sides.
    rounds : tuple of int
        Numbers of prompting rounds; one is drawn for each batch.
    stages : tuple of (float, int, int)
        (until, size, batch): up to this fraction of the run, crops of this size and batches of
        this many.
    learning_rate, weight_decay : float
        Of AdamW.
    betas : tuple of float
        Of AdamW.
    warm_up : int
        Steps until the full learning rate; it then falls to 3 % as a cosine.
    clip : float
        Largest norm of the gradient.
    ema : float
        Decay of the averaged weights, which are what is kept.
    all_heads : float
        Weight of the loss of all candidates; see `losses.ambiguous_loss`.
    iou_weight : float
        Weight of the squared error of the predicted IoU.
    background_weight : float
        Weight of the squared predicted IoU of clicks where nothing is.
    """

    seed: int = 0
    scenes: int = 5000
    scene_size: int = 256
    real_share: float = 0.5
    collage_share: float = 0.0
    real_weights: dict[str, float] = field(default_factory=dict)
    level_weights: tuple[float, ...] = (0.12, 0.66, 0.22)
    objects: int = 4
    box_share: float = 0.45
    box_noise: float = 0.06
    rounds: tuple[int, ...] = (1, 2, 3)
    stages: tuple[tuple[float, int, int], ...] = ((0.6, 128, 16), (1.0, 256, 6))
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: int = 60
    clip: float = 1.0
    ema: float = 0.997
    all_heads: float = 0.05
    iou_weight: float = 1.0
    background_weight: float = 0.0

    def stage_at(self, progress: float) -> tuple[int, int, int]:
        """Tell which stage the run is in.

        Parameters
        ----------
        progress : float
            Fraction of the run that is done, 0 .. 1.

        Returns
        -------
        index : int
            The stage's, counted from 0.
        size : int
            Side of its crops, in pixels.
        batch : int
            Crops a batch.
        """
        for index, (until, size, batch) in enumerate(self.stages):
            if progress < until:
                return index, size, batch
        return len(self.stages) - 1, self.stages[-1][1], self.stages[-1][2]


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe from a TOML file.

    Parameters
    ----------
    path : path-like
        The file; fields that it leaves out keep their defaults.

    Returns
    -------
    Recipe
        With tuples in place of the file's lists.

    Raises
    ------
    ValueError
        If the file has a field that a recipe does not have.
    """
    table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    known = {each.name for each in fields(Recipe)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"{path}: unknown field {unknown[0]!r}; known are {', '.join(known)}")
    for name, value in table.items():
        if isinstance(value, list):
            table[name] = tuple(tuple(x) if isinstance(x, list) else x for x in value)
    return Recipe(**table)
