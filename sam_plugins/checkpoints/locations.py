"""Where checkpoints are kept."""

from __future__ import annotations

import os
from pathlib import Path

# Names the folder in place of the platform's own convention.
CACHE_VARIABLE = "SAM_PLUGINS_CACHE"


def cache_directory() -> Path:
    """Give the folder for everything that can be had again: models, their translations, embeddings.

    Returns
    -------
    Path
        The folder that the environment variable ``SAM_PLUGINS_CACHE`` names, else the platform's
        own (``~/.cache/sam-plugins`` on Linux). It need not exist, and is not made.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("sam-plugins", appauthor=False)


def models_directory(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Give the folder of downloaded checkpoints.

    Parameters
    ----------
    cache_dir : path-like, optional
        In place of `cache_directory`.

    Returns
    -------
    Path
        It need not exist, and is not made.
    """
    return (cache_directory() if cache_dir is None else Path(cache_dir)) / "models"


def translations_directory() -> Path:
    """Give the folder of models that were translated for another runtime.

    Returns
    -------
    Path
        It need not exist, and is not made.
    """
    return cache_directory() / "translated"


def embedded_path(file_name: str) -> Path:
    """Give the path of a file in this package's own data; it need not exist.

    Parameters
    ----------
    file_name : str
        Name of the file, without a folder.

    Returns
    -------
    Path
        In ``sam_plugins/checkpoints/data``.
    """
    from importlib.resources import files

    return Path(str(files("sam_plugins.checkpoints") / "data" / file_name))
