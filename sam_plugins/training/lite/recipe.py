"""The recipe of ``lite`` as data: parts that follow each other, read from a TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from sam_plugins.training.loop import LoopSettings
from sam_plugins.training.optimizer import OptimizerSettings

# The recipe of the checkpoint in the package.
RECIPE = Path(__file__).parent / "recipe.toml"


@dataclass(frozen=True)
class Part:
    """One part of the training: it begins with the averaged weights of the part before.

    Parameters
    ----------
    name : str
        Also of its folder.
    steps : int
        Optimizer steps.
    kind : str
        ``"masks"`` trains all weights; ``"calibration"`` the predicted IoU alone.
    seed : int
        Of the weights, the scenes and the crops.
    size : int
        Side of a crop, in pixels.
    batch : int
        Crops a step.
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
        Numbers of prompting rounds; one is drawn for each step.
    learning_rate, weight_decay : float
        Of AdamW.
    betas : tuple of float
        Of AdamW.
    warm_up : int
        Steps until the full learning rate; it then falls as a cosine.
    least : float
        What it falls to, as a fraction.
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

    name: str
    steps: int
    kind: Literal["masks", "calibration"] = "masks"
    seed: int = 0
    size: int = 256
    batch: int = 6
    scenes: int = 5000
    scene_size: int = 256
    real_share: float = 0.5
    collage_share: float = 0.0
    real_weights: Mapping[str, float] = field(default_factory=dict)
    level_weights: tuple[float, ...] = (0.12, 0.66, 0.22)
    objects: int = 4
    box_share: float = 0.45
    box_noise: float = 0.06
    rounds: tuple[int, ...] = (1, 2, 3)
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    warm_up: int = 60
    least: float = 0.03
    clip: float = 1.0
    ema: float = 0.997
    all_heads: float = 0.05
    iou_weight: float = 1.0
    background_weight: float = 0.0

    def scaled(self, factor: float) -> Part:
        """Make the part shorter or longer.

        Parameters
        ----------
        factor : float
            Of its steps and scenes; at least one of each stays.

        Returns
        -------
        Part
        """
        return replace(
            self,
            steps=max(1, round(factor * self.steps)),
            scenes=max(1, round(min(1.0, factor) * self.scenes)),
        )

    def optimizer_settings(self) -> OptimizerSettings:
        """Tell how the weights move.

        Returns
        -------
        OptimizerSettings
        """
        return OptimizerSettings(
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            betas=self.betas,
            layer_decay=1.0,
            undecayed=(),
            warm_up=self.warm_up,
            decay="cosine",
            least=self.least,
        )

    def loop_settings(self, *, part_bytes: int | None = None) -> LoopSettings:
        """Tell how long the part goes.

        Parameters
        ----------
        part_bytes : int, optional
            Largest size of a checkpoint's files.

        Returns
        -------
        LoopSettings
            In full precision: the objective itself uses half precision where that is enough.
        """
        return LoopSettings(
            steps=self.steps,
            clip=self.clip,
            ema=self.ema,
            seed=self.seed,
            report_every=50,
            checkpoint_every=100,
            part_bytes=part_bytes,
        )


def read_recipe(path: str | os.PathLike[str] = RECIPE) -> tuple[Part, ...]:
    """Read a recipe from a TOML file.

    Parameters
    ----------
    path : path-like
        A file with a table ``[[part]]`` for each part. What stands above them holds for all parts
        that do not say otherwise.

    Returns
    -------
    tuple of Part

    Raises
    ------
    ValueError
        If there is no part, a field that a part does not have, or a name twice.

    Examples
    --------
    >>> [part.name for part in read_recipe()][0]
    '1-small'
    """
    common = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    tables = common.pop("part", [])
    if not tables:
        raise ValueError(f"{path}: there is no [[part]]")
    parts = tuple(_part_of({**common, **table}, path) for table in tables)
    names = [part.name for part in parts]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: two parts have the same name, out of {', '.join(names)}")
    return parts


def _part_of(table: dict[str, Any], path: str | os.PathLike[str]) -> Part:
    known = {each.name for each in fields(Part)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ValueError(f"{path}: unknown field {unknown[0]!r}; known are {', '.join(known)}")
    missing = {"name", "steps"} - set(table)
    if missing:
        raise ValueError(f"{path}: a part needs {' and '.join(sorted(missing))}")
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Part(**given)
