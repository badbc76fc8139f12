"""Checkpoints of a run: one file, or several small ones that can be carried."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

import torch

from sam_plugins.errors import SamPluginsError
from sam_plugins.files import atomic_path


def write_checkpoint(
    path: str | os.PathLike[str], state: dict[str, Any], *, part_bytes: int | None = None
) -> None:
    """Write a checkpoint, whole or not at all.

    Parameters
    ----------
    path : path-like
        Where it is found afterwards.
    state : dict
        Tensors, numbers and texts.
    part_bytes : int, optional
        Largest size of a file. A larger state is written as several files beside ``path``, which
        then holds their names; the parts of the checkpoint before it are deleted last.

    Raises
    ------
    OSError
        If a file cannot be written; the checkpoint before stays as it was.
    """
    path = Path(path)
    if part_bytes is None:
        save_state(path, state)
        return
    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    names: list[str] = []
    known = set(_parts_beside(path))
    try:
        for index, start in enumerate(range(0, len(data), part_bytes)):
            names.append(f"{path.name}.{digest[:12]}.{index:03}")
            part = path.with_name(names[-1])
            with _named(part), atomic_path(part) as temporary:
                temporary.write_bytes(data[start : start + part_bytes])
        save_state(path, {"parts": names, "sha256": digest})
    except BaseException:
        # Half a checkpoint would only fill the disk further.
        for part in set(_parts_beside(path)) - known:
            part.unlink()
        raise
    for old in _parts_beside(path):
        if old.name not in names:
            old.unlink()


def save_state(path: Path, state: Any) -> None:
    """Write what torch can pickle to one file, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    state : object
        Such as a dict of tensors.

    Raises
    ------
    OSError
        If it cannot be written. Names the file; what stood there before stays.
    """
    with _named(path), atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save(state, file)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Tell with a failed write what was written, which neither torch nor Python does."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # After a failed write torch complains about its position in the file.
        reason = error if isinstance(error, OSError) else error.__context__
        if not isinstance(reason, OSError):
            raise
        raise OSError(reason.errno, reason.strerror, str(path)) from error


def _parts_beside(path: Path) -> list[Path]:
    return list(path.parent.glob(f"{escape(path.name)}.*.[0-9][0-9][0-9]"))


def read_checkpoint(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> Any:
    """Read what `write_checkpoint` wrote.

    Parameters
    ----------
    path : path-like
        The same path.
    device : torch.device or str
        Where the tensors go.

    Returns
    -------
    dict
        The state.

    Raises
    ------
    SamPluginsError
        If a part is missing or is not what was written, or it is no checkpoint.
    """
    path = Path(path)
    try:
        state = torch.load(path, weights_only=True, map_location=device)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        if isinstance(error, OSError) and error.filename:  # the file, not what is in it
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SamPluginsError(
            f"{path} cannot be read ({reason}): delete it to begin anew"
        ) from error
    if not (isinstance(state, dict) and set(state) == {"parts", "sha256"}):
        return state
    parts = [path.with_name(name) for name in state["parts"]]
    missing = [part for part in parts if not part.exists()]
    if missing:
        raise SamPluginsError(f"{path} lacks {missing[0].name}, one of its {len(parts)} parts")
    data = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(data).hexdigest() != state["sha256"]:
        raise SamPluginsError(f"the parts of {path} are not those that were written")
    return torch.load(io.BytesIO(data), weights_only=True, map_location=device)
