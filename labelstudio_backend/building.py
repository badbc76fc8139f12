"""Putting the backend together: model, projects, server, prefetching, learning."""

from __future__ import annotations

from pathlib import Path

from labelstudio_backend.answering import ServedModel, Service
from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.server.app import Application
from labelstudio_backend.server.settings import ServerSettings
from labelstudio_backend.server.turns import Turns
from sam_plugins.checkpoints.locations import cache_directory


def state_folder() -> Path:
    """Where the backend keeps what it learns, if no other folder is named."""
    return cache_directory() / "label-studio"


def build(
    settings: ServerSettings,
    *,
    model: str = "lite",
    device: str = "auto",
    precision: str = "auto",
    folder: Path | None = None,
    prefetch: int = 3,
    fetch: FetchSettings | None = None,
) -> Application:
    """Put a backend together.

    Parameters
    ----------
    settings : ServerSettings
    model, device, precision : str
        See `ServedModel`.
    folder : Path, optional
        Where its state is kept; by default `state_folder`.
    prefetch : int
        Next tasks whose images are embedded when one is opened.
    fetch : FetchSettings, optional
        Where images may come from; by default from the environment.

    Returns
    -------
    Application
        Nothing is loaded yet.

    Raises
    ------
    SamPluginsError
        If there is no such model.
    """
    folder = folder or state_folder()
    projects = Projects(folder, settings=fetch, trust_setup=settings.trusts_setup)
    served = ServedModel(model, device=device, precision=precision)
    turns = Turns(settings.turns, waiting=settings.waiting, patience=settings.patience)
    return Application(Service(served, projects, turns), settings)
