"""Putting the backend together: model, projects, server, prefetching, learning."""

from __future__ import annotations

from pathlib import Path

from labelstudio_backend.answering import ServedModel, Service
from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.background import Background
from labelstudio_backend.client import LabelStudioClient
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.learning import Collector, Trainer
from labelstudio_backend.learning.training import MINUTES
from labelstudio_backend.prefetching import Prefetcher
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
    train_minutes: float = MINUTES,
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
    train_minutes : float
        How long a training takes.
    fetch : FetchSettings, optional
        Where images may come from; by default from the environment.

    Returns
    -------
    Application
        Nothing is loaded yet, unless a model was trained before.

    Raises
    ------
    SamPluginsError
        If there is no such model.
    """
    folder = folder or state_folder()
    projects = Projects(folder, settings=fetch, trust_setup=settings.trusts_setup)
    served = ServedModel(model, device=device, precision=precision)
    turns = Turns(settings.turns, waiting=settings.waiting, patience=settings.patience)
    service = Service(served, projects, turns)

    def client_of(project: str) -> LabelStudioClient | None:
        known = projects.settings_of(project)
        if not (known.label_studio_url and known.api_key):
            return None
        return LabelStudioClient(known.label_studio_url, known.api_key)

    background = Background(
        Prefetcher(service, client_of, ahead=prefetch),
        Collector(folder / "examples", projects, client_of) if settings.training else None,
        Trainer(folder, served, minutes=train_minutes) if settings.training else None,
    )
    return Application(service, settings, background)
