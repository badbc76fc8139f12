"""Finding the file that a name, a path or a URL stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sam_plugins.checkpoints.downloading import download, download_url
from sam_plugins.checkpoints.registry import REGISTRY, ModelEntry
from sam_plugins.errors import CheckpointNotFoundError

Progress = Callable[[int, int], None]

# Files that a folder written by Hugging Face's ``save_pretrained`` holds.
FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class CheckpointSource:
    """Where a checkpoint was found.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What the user called it, in short: for messages and results, not an identity.
    entry : ModelEntry or None
        The registry's entry, if it was asked for by its name.
    from_url : bool
        Whether it was downloaded from an address that the user gave.
    """

    path: Path
    name: str
    entry: ModelEntry | None = None
    from_url: bool = False


def find_checkpoint(
    name: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> CheckpointSource:
    """Find the file for a name, a path or a URL; download it if need be.

    Parameters
    ----------
    name, progress, cache_dir
        See `sam_plugins.checkpoints.load_model`.

    Returns
    -------
    CheckpointSource

    Raises
    ------
    CheckpointNotFoundError
        If there is no model, file or address of that name; the message lists the names.
    DownloadError
        If the download fails.
    """
    if isinstance(name, str):
        if name in REGISTRY:
            path = download(name, progress=progress, cache_dir=cache_dir)
            return CheckpointSource(path, name, entry=REGISTRY[name])
        scheme = _scheme(name)
        if scheme in ("http", "https"):
            path = download_url(name, progress=progress, cache_dir=cache_dir)
            return CheckpointSource(path, Path(urlsplit(name).path).stem, from_url=True)
        if scheme == "file":
            return local_checkpoint(Path(url2pathname(urlsplit(name).path)), name)
        if scheme:
            raise CheckpointNotFoundError(
                f"{name!r} is an address that cannot be read: use https, http or file"
            )
    return local_checkpoint(Path(name).expanduser(), os.fspath(name))


def _scheme(name: str) -> str:
    """The scheme of a URL; empty for a path, also for a Windows path with its drive letter."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", name)
    return match[1].lower() if match else ""


def local_checkpoint(path: Path, given: str) -> CheckpointSource:
    """Find the file at a path, or the one in a folder.

    Parameters
    ----------
    path : Path
        A checkpoint, or a folder that holds one of `FOLDER_FILES`.
    given : str
        What the user gave for it; the error names it. Empty text stands for no file.

    Returns
    -------
    CheckpointSource
        Named after the file without its suffix, or after the folder.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such file, or none in the folder.
    """
    if given and path.is_dir():
        for file_name in FOLDER_FILES:
            if (path / file_name).is_file():
                return CheckpointSource(path / file_name, path.name)
        raise CheckpointNotFoundError(
            f"the folder {given!r} holds no checkpoint ({' or '.join(FOLDER_FILES)})"
        )
    if not given or not path.exists():
        raise CheckpointNotFoundError(
            f"there is no model and no file {given!r}: use one of {', '.join(REGISTRY)}, or the "
            "path or URL of a checkpoint"
        )
    return CheckpointSource(path, path.stem)
