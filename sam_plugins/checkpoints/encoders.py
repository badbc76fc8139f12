"""Pre-trained image encoders: putting one into a model for training to go on from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sam_plugins.checkpoints.sources import local_checkpoint
from sam_plugins.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from sam_plugins.modeling.configs import SamConfig
    from sam_plugins.modeling.sam import Sam


def load_image_encoder(model: Sam, path: str | os.PathLike[str]) -> list[str]:
    """Put a pre-trained image encoder into a model, for training to go on from it.

    Parameters
    ----------
    model : Sam
        With a ViT image encoder; changed in place. The rest of it stays as it is.
    path : path-like
        A masked autoencoder's checkpoint, a timm ``samvit_*`` one, or a complete SAM's.

    Returns
    -------
    list of str
        Names of the image encoder's weights that the file does not have and that stay as they
        were: the neck, for a masked autoencoder.

    Raises
    ------
    CheckpointNotFoundError, CheckpointError
        If there is no such file, it cannot be read, or its weights do not fit the model.
    """
    from sam_plugins.checkpoints.fitting import fit
    from sam_plugins.checkpoints.reading import read_checkpoint

    source = local_checkpoint(Path(path).expanduser(), os.fspath(path)).path
    stored = read_checkpoint(source)
    try:
        state = _encoder_weights(stored.tensors, model.config)
    except CheckpointError as error:
        raise CheckpointError(f"{source} cannot be loaded: {error}") from error
    own = {name for name in model.state_dict() if name.startswith("image_encoder.")}
    neck = {name for name in own if name.startswith("image_encoder.neck.")}
    without = set() if neck & state.keys() else neck
    fitted = fit(state, model, source=source, names=own - without)
    model.load_state_dict(fitted, strict=False)
    model.weights_hash = None
    return sorted(without)


def _encoder_weights(tensors: Mapping[str, Tensor], config: SamConfig) -> dict[str, Tensor]:
    from sam_plugins.checkpoints.mae import mae_to_image_encoder
    from sam_plugins.checkpoints.renaming import (
        detect_layout,
        from_hugging_face,
        from_timm,
        strip_prefix,
    )
    from sam_plugins.modeling.configs import ViTConfig

    state = strip_prefix(tensors)
    layout = detect_layout(state)
    if layout == "mae":
        if not isinstance(config.encoder, ViTConfig):
            raise CheckpointError(f"a masked autoencoder does not fit the model {config.name!r}")
        return mae_to_image_encoder(state, config.encoder, frame_size=config.frame_size)
    if layout == "timm":
        return from_timm(state)
    state = from_hugging_face(state) if layout == "hugging_face" else state
    return {name: value for name, value in state.items() if name.startswith("image_encoder.")}
