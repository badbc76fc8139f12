"""The text tower's file: half-precision weights and its vocabulary, in safetensors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sam_plugins.errors import CheckpointError, CheckpointNotFoundError
from sam_plugins.files import atomic_path

if TYPE_CHECKING:
    from sam_plugins.modeling.text_tower import TextTower

FORMAT = "sam-plugins text tower 1"

# The one that ships.
TOWER = Path(__file__).parent / "data" / "text_tower.safetensors"


def save_tower(tower: TextTower, path: str | os.PathLike[str]) -> None:
    """Write a tower in half precision, whole or not at all.

    Parameters
    ----------
    tower : TextTower
        The tower.
    path : path-like
        The file. Its folder is made if it is missing.
    """
    from dataclasses import asdict

    from safetensors.torch import save

    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous().clone()
        for name, value in tower.state_dict().items()
    }
    content = save(tensors, {"tower": json.dumps({"format": FORMAT} | asdict(tower.config))})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def load_tower(path: str | os.PathLike[str] = TOWER) -> TextTower:
    """Read a tower, by default the one that ships; ready to answer, on the CPU.

    Parameters
    ----------
    path : path-like
        A file that `save_tower` wrote.

    Returns
    -------
    TextTower
        In evaluation mode.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If it is damaged or something else.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from sam_plugins.modeling.text_tower import TextTower, TextTowerConfig

    name = Path(path).name
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise CheckpointNotFoundError(f"there is no text tower at {os.fspath(path)}") from None
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        told = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["tower"])
        if told.pop("format") != FORMAT:
            raise CheckpointError(f"{name} is no text tower of this version")
        told["slots"] = tuple((slot, tuple(values)) for slot, values in told["slots"])
        told["channels"] = tuple(told["channels"])
        tower = TextTower(TextTowerConfig(**told))
        tower.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{name} is damaged or no text tower: {error}") from error
    return tower.eval()
