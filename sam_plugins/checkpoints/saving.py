"""Writing models as safetensors files."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sam_plugins.errors import CheckpointError
from sam_plugins.files import atomic_path

if TYPE_CHECKING:
    import torch

    from sam_plugins.modeling.sam import Sam


def save_model(
    model: Sam, path: str | os.PathLike[str], *, dtype: torch.dtype | None = None
) -> Path:
    """Write a model's weights and configuration to one safetensors file.

    Parameters
    ----------
    model : Sam
        On any device. Its name goes into the file.
    path : path-like
        The file; it is replaced only when the new one is complete. Its folder is made if missing.
    dtype : torch.dtype, optional
        Floating-point type to store, such as ``torch.float16`` for half the size; as they are if
        omitted. `load_model` always gives float32.

    Returns
    -------
    Path
        The file. `load_model` builds the same model from it, also one that is not in the registry.

    Raises
    ------
    CheckpointError
        If the file cannot be written: the disk is full, the folder read-only. What stood at the
        path before is untouched.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from sam_plugins.checkpoints.metadata import FORMAT, config_to_json

    tensors, memory = {}, set()
    for name, tensor in model.state_dict().items():
        stored = tensor.detach().cpu()
        if dtype is not None and stored.is_floating_point():
            stored = stored.to(dtype)
        stored = stored.contiguous()
        # safetensors refuses tensors that share memory.
        address = stored.untyped_storage().data_ptr()
        tensors[name] = stored.clone() if address in memory else stored
        memory.add(address)
    metadata = {"format": FORMAT, "name": model.name, "config": config_to_json(model.config)}
    final = Path(path)
    try:
        with atomic_path(final) as temporary:
            save_file(tensors, temporary, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {final}: {_reason(error)}") from error
    return final


def _reason(error: Exception) -> str:
    # safetensors reports the system's errors as text.
    full = (errno.ENOSPC, errno.EDQUOT)
    if getattr(error, "errno", None) in full or "No space left" in str(error):
        return "the disk is full"
    return getattr(error, "strerror", None) or " ".join(str(error).split())
