"""Reading a checkpoint file's tensors without ever running what is in the file."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam_plugins.errors import CheckpointError, CheckpointNotFoundError

if TYPE_CHECKING:
    from torch import Tensor

# Where training programs put the state dict among other things.
WRAPPERS = ("model", "state_dict", "model_state", "model_state_dict", "module", "sam")

_ZIP = b"PK\x03\x04"
# torch.save before 1.6: a pickle of protocol 2 that begins with torch's magic number.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_PICKLE = b"\x80"
_LFS_POINTER = b"version https://git-lfs"
_HEAD_BYTES = 64


@dataclass(frozen=True)
class StoredWeights:
    """What is in a checkpoint file.

    Parameters
    ----------
    tensors : dict of str to Tensor
        The state dict, on the CPU, with shapes and dtypes as stored: the tensors may be views of
        the file.
    metadata : dict of str to str
        A safetensors file's metadata; empty for other files.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str] = field(default_factory=dict)


def load_state_dict_file(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a checkpoint's state dict, with the names as they stand in the file.

    Parameters
    ----------
    path : path-like
        A safetensors or PyTorch file, recognised by its content and not by its suffix.

    Returns
    -------
    dict of str to Tensor
        On the CPU, with shapes and dtypes as stored. Wrappers are taken off, such as
        ``{"model": ..., "optimizer": ...}``; entries that are not tensors are left out.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If the file is empty, truncated, no checkpoint, or would run code.

    Notes
    -----
    The tensors may be views of the file: copy them before the file is overwritten in place.
    """
    return read_checkpoint(path).tensors


def read_checkpoint(path: str | os.PathLike[str]) -> StoredWeights:
    """Read a checkpoint's tensors and metadata.

    Parameters
    ----------
    path : path-like
        A safetensors or PyTorch file, recognised by its content and not by its suffix.

    Returns
    -------
    StoredWeights
        The tensors as `load_state_dict_file` gives them, and the metadata.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file.
    CheckpointError
        If the file is empty, truncated, no checkpoint, or would run code.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError as error:
        raise CheckpointNotFoundError(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    if not size:
        raise CheckpointError(f"{path} is empty")
    if head.startswith(_ZIP):
        stored = StoredWeights(_tensors(_load_torch(path, in_zip=True), path))
    elif head.startswith(_LEGACY):
        stored = StoredWeights(_tensors(_load_torch(path, in_zip=False), path))
    elif _is_safetensors(head, size):
        stored = _load_safetensors(path)
    else:
        raise CheckpointError(f"{path} is not a checkpoint: {_describe(head)}")
    return stored


def _is_safetensors(head: bytes, size: int) -> bool:
    """A safetensors file begins with its header's length, 8 bytes, and the header, JSON."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= size - 8


def _describe(head: bytes) -> str:
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "it is a web page, so the address may need a direct download link"
    if start.startswith(_LFS_POINTER):
        return "it is a Git LFS pointer, so the real file was not fetched (git lfs pull)"
    if head.startswith(_PICKLE):
        return "it is a plain pickle, which could run code; save it with safetensors or torch.save"
    return "neither safetensors nor written by torch.save, or truncated"


def _load_safetensors(path: Path) -> StoredWeights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is corrupt or truncated: {_one_line(error)}") from error
    if not tensors:
        raise CheckpointError(f"{path} holds no weights")
    return StoredWeights(tensors, metadata)


def _load_torch(path: Path, *, in_zip: bool) -> Any:
    """Unpickle with torch's restricted unpickler: tensors and plain containers, nothing else."""
    import torch

    # Mapped, only the tensors that are used are read, not an optimizer's state beside them. By its
    # path torch would take a file of this suffix for safetensors, whatever is in it.
    mapped = in_zip and path.suffix != ".safetensors"
    try:
        if mapped:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        with open(path, "rb") as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found is None:
            raise CheckpointError(f"{path} is corrupt, or holds more than tensors") from error
        raise CheckpointError(
            f"{path} is not loaded: it holds a {found[1]} beside tensors, and unpickling that "
            "could run code; save the model's state dict alone"
        ) from error
    except Exception as error:
        # The unpickler and the zip reader raise nearly anything on damaged bytes.
        raise CheckpointError(f"{path} is corrupt or truncated: {_one_line(error)}") from error


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Take off the wrappers that training programs put around a state dict."""
    from torch import Tensor

    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path} holds no state dict (names to tensors) but a {type(content).__name__}"
        )
    for name in WRAPPERS:
        inner = content.get(name)
        if isinstance(inner, Mapping) and _holds_tensors(inner):
            return _tensors(inner, path)
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no state dict (names to tensors)")
    return tensors


def _holds_tensors(content: Mapping[Any, Any], depth: int = 3) -> bool:
    """Whether there is a tensor in a mapping or in the mappings in it."""
    from torch import Tensor

    return any(
        isinstance(value, Tensor)
        or (depth > 0 and isinstance(value, Mapping) and _holds_tensors(value, depth - 1))
        for value in content.values()
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.partition(". ")[0][:160] or type(error).__name__
