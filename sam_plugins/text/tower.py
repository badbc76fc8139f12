"""Text prompts by the tower that ships: small, offline, of a closed vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam_plugins.phrases import Phrase
from sam_plugins.text.looks import Looks

if TYPE_CHECKING:
    from sam_plugins.modeling.text_tower import TextTower

# A candidate that is more likely meant than not is a match.
THRESHOLD = 0.5


@cache
def shipped_tower() -> TextTower:
    """Give the tower that ships, read once a process.

    Returns
    -------
    TextTower
        In evaluation mode; not to be changed.
    """
    from sam_plugins.checkpoints.tower import load_tower

    return load_tower()


def tower_scores(tower: TextTower, looks: Looks, phrases: Sequence[Phrase]) -> NDArray[np.float32]:
    """Ask a tower which candidates phrases mean.

    Parameters
    ----------
    tower : TextTower
        In evaluation mode.
    looks : Looks
        Of N candidates of one image.
    phrases : sequence of Phrase
        Q phrases.

    Returns
    -------
    ndarray of shape (Q, N), float32
        Probabilities.
    """
    import torch

    if not len(looks) or not phrases:
        return np.zeros((len(phrases), len(looks)), dtype=np.float32)
    with torch.inference_mode():
        measures = torch.from_numpy(looks.measures)
        tokens = tower.tokens(torch.from_numpy(looks.crops), measures)
        count = len(phrases)
        found = tower(
            tokens.expand(count, -1, -1),
            measures[:, :2].expand(count, -1, -1),
            torch.ones(count, len(looks), dtype=torch.bool),
            tower.numbers(phrases),
        )
    return found.exp().clamp(max=1).numpy()
