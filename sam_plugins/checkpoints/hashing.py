"""The identity of a model's weights."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sam_plugins.modeling.sam import Sam


def hash_file(path: str | os.PathLike[str]) -> str:
    """Give the SHA-256 of a file's content.

    Parameters
    ----------
    path : path-like
        The file; it is read in pieces.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_weights(model: Sam) -> str:
    """SHA-256 of a model's configuration and of the weights that it has now.

    Parameters
    ----------
    model : Sam
        On any device.

    Returns
    -------
    str
        64 hexadecimal digits, the same on every device and in every process. A loaded model's
        ``weights_hash`` is that of its file instead, and differs.
    """
    import torch

    from sam_plugins.checkpoints.metadata import config_to_json

    digest = hashlib.sha256(config_to_json(model.config).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # As bytes, since numpy has no bfloat16.
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(flat.numpy().data)
    return digest.hexdigest()
