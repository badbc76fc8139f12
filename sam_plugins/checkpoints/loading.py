"""From a name, a path or a URL to a model that is ready to use."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from sam_plugins.checkpoints.sources import find_checkpoint
from sam_plugins.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from sam_plugins.checkpoints.reading import StoredWeights
    from sam_plugins.modeling.configs import SamConfig
    from sam_plugins.modeling.sam import Sam

Progress = Callable[[int, int], None]


def load_model(
    name: str | os.PathLike[str] = "lite",
    *,
    device: str = "cpu",
    progress: Progress | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Sam:
    """Load a model by its name, or from a checkpoint file or address.

    Parameters
    ----------
    name : str or path-like
        A name in `REGISTRY` (``"lite"`` ships with the package, the others are downloaded once);
        or the path of a checkpoint, or of a folder that Hugging Face's ``save_pretrained`` wrote;
        or a ``file://``, ``http://`` or ``https://`` URL of one.
    device : str
        Where the model is put.
    progress : callable, optional
        Called with (done, total) bytes during a download; total is 0 while it is unknown.
    cache_dir : path-like, optional
        Where downloads are kept, in place of `cache_directory`.

    Returns
    -------
    Sam
        In evaluation mode, float32, its parameters trainable. ``weights_hash`` is the SHA-256 of
        the file. The architecture is read from the file; official files, MobileSAM's, Hugging
        Face's and this project's are recognised, also inside a training program's wrappers.

    Raises
    ------
    CheckpointNotFoundError
        If there is no model, file or address of that name.
    CheckpointError
        If the file is damaged, unsafe, of an unknown layout, or its weights fit no architecture.
    DownloadError
        If the download fails.
    ValueError
        If the device is unknown or not present.
    """
    from sam_plugins.checkpoints.hashing import hash_file
    from sam_plugins.checkpoints.reading import read_checkpoint
    from sam_plugins.devices import choose_device

    place = choose_device(device)
    source = find_checkpoint(name, progress=progress, cache_dir=cache_dir)
    try:
        stored = read_checkpoint(source.path)
    except CheckpointError:
        if source.from_url:
            # Nothing was known about its content; what cannot be read must not be kept as if it
            # were a checkpoint, since the next call would not ask the server again.
            source.path.unlink(missing_ok=True)
        raise
    model = model_from_weights(stored, source=source.path)
    in_file = stored.metadata.get("name") if source.entry is None else None
    model.name = in_file or source.name
    # A download was verified against the registry's hash; everything else is hashed now.
    known = None if source.entry is None else source.entry.sha256
    model.weights_hash = known or hash_file(source.path)
    return model.to(place).eval()


def model_from_weights(stored: StoredWeights, *, source: object = "the checkpoint") -> Sam:
    """Build the model that fits a checkpoint's weights, and put them in.

    Parameters
    ----------
    stored : StoredWeights
        From `read_checkpoint`.
    source : object
        Named in error messages.

    Returns
    -------
    Sam
        On the CPU, in evaluation mode. Its weights are copies: the file may be overwritten.

    Raises
    ------
    CheckpointError
        If the weights fit no architecture; the message names the first that do not.
    """
    from sam_plugins.checkpoints.fitting import build_empty, fit

    try:
        state, config = identify(stored)
    except CheckpointError as error:
        raise CheckpointError(f"{source} cannot be loaded: {error}") from error
    model = build_empty(config)
    fitted = fit(state, model, source=source)
    # Assigned, not copied: the empty model's memory was never touched.
    model.load_state_dict(fitted, strict=True, assign=True)
    return model.eval()


def identify(stored: StoredWeights) -> tuple[dict[str, Tensor], SamConfig]:
    """Give a checkpoint's weights under the official names, and their configuration.

    Parameters
    ----------
    stored : StoredWeights
        What is in the file.

    Returns
    -------
    state : dict of str to Tensor
        The weights, of any shape, under the official names.
    config : SamConfig
        From the file's metadata if this project wrote it, otherwise recognised by the weights'
        shapes.

    Raises
    ------
    CheckpointError
        If the layout or the architecture is unknown, or the file holds only an image encoder.
    """
    from sam_plugins.checkpoints.architecture import recognise
    from sam_plugins.checkpoints.metadata import FORMAT, config_from_json
    from sam_plugins.checkpoints.renaming import (
        detect_layout,
        from_hugging_face,
        strip_prefix,
    )

    if stored.metadata.get("format") == FORMAT and "config" in stored.metadata:
        return stored.tensors, config_from_json(stored.metadata["config"])
    state = strip_prefix(stored.tensors)
    layout = detect_layout(state)
    if layout == "hugging_face":
        state = from_hugging_face(state)
    if not any(name.startswith("mask_decoder.") for name in state):
        raise CheckpointError(
            "it holds an image encoder without prompt encoder and mask decoder; "
            "load_image_encoder puts it into a model"
        )
    return state, recognise(state)
