"""``Projects``: what Label Studio told of each project, kept over restarts as far as it may be."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from labelstudio_backend.answering.options import ProjectOptions
from labelstudio_backend.answering.requests import BadRequestError, SetupRequest
from labelstudio_backend.fetching import FetchSettings, ImageFetcher
from sam_plugins.files import atomic_path

LOGGER = logging.getLogger(__name__)

# More projects than any server of Label Studio connects to one model.
MOST_PROJECTS = 10_000


@dataclass(frozen=True)
class ProjectState:
    """One project.

    Parameters
    ----------
    label_config : str
        As it was when Label Studio last told.
    options : ProjectOptions
    hostname, access_token : str
        Where this project's images are, and with which token; empty if that is not known.
    """

    label_config: str = ""
    options: ProjectOptions = field(default_factory=ProjectOptions)
    hostname: str = ""
    access_token: str = field(default="", repr=False)


class Projects:
    """All projects that use this model.

    Parameters
    ----------
    folder : Path, optional
        Where options are kept over a restart; not kept if omitted. Tokens never are.
    settings : FetchSettings, optional
        Where images may come from; by default from the environment.
    trust_setup : bool
        Take Label Studio's address and token from its request to ``/setup`` if they are not
        configured. Whoever can send that request names an address to be asked for images.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        settings: FetchSettings | None = None,
        trust_setup: bool = True,
    ) -> None:
        self.settings = settings or FetchSettings.from_environment()
        self._file = None if folder is None else folder / "projects.json"
        self._trust_setup = trust_setup
        self._lock = threading.Lock()
        self._states: dict[str, ProjectState] = {}
        self._fetchers: dict[tuple[str, str], ImageFetcher] = {}
        self._read()

    def get(self, project: str) -> ProjectState:
        """What is known of a project, which may be nothing.

        Parameters
        ----------
        project : str
            Its number.

        Returns
        -------
        ProjectState
        """
        with self._lock:
            return self._states.get(project, ProjectState())

    def set_up(self, request: SetupRequest) -> ProjectState:
        """Take note of what Label Studio tells.

        Parameters
        ----------
        request : SetupRequest

        Returns
        -------
        ProjectState

        Raises
        ------
        BadRequestError
            If the extra parameters or the address are malformed.
        """
        host = token = ""
        if self._trust_setup:
            host, token = request.hostname, request.access_token
            self.settings.with_setup(host, token)
        options = ProjectOptions.read(request.extra_params)
        state = ProjectState(request.label_config, options, host, token)
        with self._lock:
            if request.project not in self._states and len(self._states) >= MOST_PROJECTS:
                raise BadRequestError(f"more than {MOST_PROJECTS} projects", 413)
            before = self._states.get(request.project)
            if not host and before is not None:
                state = ProjectState(
                    state.label_config, options, before.hostname, before.access_token
                )
            self._states[request.project] = state
            changed = before is None or before.options != options
            if changed:
                self._write()
        return state

    def settings_of(self, project: str) -> FetchSettings:
        """Where a project's images may come from, and with which token.

        Parameters
        ----------
        project : str
            Its number.

        Returns
        -------
        FetchSettings
        """
        state = self.get(project)
        return self.settings.with_setup(state.hostname, state.access_token)

    def fetcher(self, project: str) -> ImageFetcher:
        """Who gets the images of a project.

        Parameters
        ----------
        project : str
            Its number.

        Returns
        -------
        ImageFetcher
            With this project's token and no other's.
        """
        state = self.get(project)
        key = (state.hostname, state.access_token)
        with self._lock:
            if key not in self._fetchers:
                if len(self._fetchers) >= MOST_PROJECTS:
                    self._fetchers.clear()
                self._fetchers[key] = ImageFetcher(self.settings.with_setup(*key))
            return self._fetchers[key]

    def _read(self) -> None:
        if self._file is None or not self._file.is_file():
            return
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            self._states = {
                str(name): ProjectState(options=ProjectOptions.read(options))
                for name, options in kept.items()
            }
        except (OSError, ValueError, AttributeError, BadRequestError) as error:
            LOGGER.warning("%s cannot be read and is begun anew: %s", self._file, error)

    def _write(self) -> None:
        if self._file is None:
            return
        kept = {
            name: asdict(state.options)
            for name, state in self._states.items()
            if state.options != ProjectOptions()
        }
        try:
            with atomic_path(self._file) as temporary:
                temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")
        except OSError as error:
            LOGGER.warning("options of projects cannot be kept in %s: %s", self._file, error)
