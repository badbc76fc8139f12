"""``EngineSettings``: what a data engine is set up with, once."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields

from sam_plugins.errors import SamPluginsError


@dataclass(frozen=True)
class EngineSettings:
    """How a data engine works; kept in its state.

    Parameters
    ----------
    model : str
        The model that the first round begins with: a name or a checkpoint's path.
    rounds : int
        The model is retrained at most so often (paper, §4: six times in the first stage).
    masks_per_round : int
        New masks by people after which the model is retrained.
    mode : str
        Which weights learn; see `sam_plugins.training.finetuning.FinetuneSettings`.
    minutes : float
        Time to train in a round.
    steps : int
        Images to train on in a round, at most.
    held_out : float
        Share of the images that no round is trained on: the rounds are measured on those that
        people have labelled.
    seed : int
        Of the order of the images and of the training.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    model: str = "lite"
    rounds: int = 6
    masks_per_round: int = 200
    mode: str = "decoder"
    minutes: float = 10.0
    steps: int = 100_000
    held_out: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rounds", "masks_per_round", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out must lie between 0 and 1, got {self.held_out}")
        if not self.minutes > 0:
            raise ValueError(f"minutes must be above 0, got {self.minutes}")

    def as_json(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EngineSettings:
        """Read what `as_json` wrote.

        Parameters
        ----------
        text : str

        Returns
        -------
        EngineSettings

        Raises
        ------
        SamPluginsError
            If it was written by another version.
        """
        saved = json.loads(text)
        unknown = sorted(set(saved) - {each.name for each in fields(cls)})
        if unknown:
            raise SamPluginsError(f"the engine was made by another version: {unknown[0]!r}")
        return cls(**saved)
