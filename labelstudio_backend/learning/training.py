"""``Trainer``: fine-tunes in a process of its own, and lets the server switch to what came out.

The server never trains: a training that fails, or is killed, leaves the model serving that served.
What came out last stands in ``current.json``, which is replaced at once or not at all.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from labelstudio_backend.answering import ServedModel
from sam_plugins.errors import SamPluginsError
from sam_plugins.files import atomic_path

LOGGER = logging.getLogger(__name__)

MINUTES = 10.0
# So often is looked whether somebody else, on the command line, has trained a model.
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Trained:
    """The outcome of a training.

    Parameters
    ----------
    model : str
        Path of the checkpoint.
    base : str
        The model that the server was started with.
    """

    model: str
    base: str


def read_current(folder: Path, base: str) -> Trained | None:
    """What was trained last from a model.

    Parameters
    ----------
    folder : Path
        The backend's state.
    base : str
        The model that the server was started with: another one was not meant to be replaced.

    Returns
    -------
    Trained or None
    """
    try:
        trained = Trained(**json.loads(_current(folder).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        LOGGER.warning("%s cannot be read: %s", _current(folder), error)
        return None
    return trained if trained.base == base and Path(trained.model).is_file() else None


def write_current(folder: Path, trained: Trained) -> None:
    """Tell servers what to answer with from now on.

    Parameters
    ----------
    folder : Path
        The backend's state.
    trained : Trained
    """
    with atomic_path(_current(folder)) as temporary:
        temporary.write_text(json.dumps(asdict(trained)), encoding="utf-8")


class Trainer:
    """Starts trainings, one at a time, and switches the model when one is done, by whomever.

    Parameters
    ----------
    folder : Path
        The backend's state.
    model : ServedModel
    minutes : float
        Time to train.
    """

    def __init__(self, folder: Path, model: ServedModel, *, minutes: float = MINUTES) -> None:
        self._folder, self._model, self._minutes = folder, model, minutes
        self._base = model.source
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: threading.Thread | None = None
        self._switching = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._closed = threading.Event()
        self._follow()
        self._follower = threading.Thread(target=self._keep_up, name="follow", daemon=True)
        self._follower.start()

    @property
    def running(self) -> bool:
        """Whether a training is under way."""
        return self._process is not None and self._process.poll() is None

    def start(self, project: int) -> bool:
        """Begin to train from a project's examples.

        Parameters
        ----------
        project : int

        Returns
        -------
        bool
            False if a training is under way already.
        """
        with self._lock:
            if self.running:
                return False
            command = [
                *(sys.executable, "-m", "sam_plugins", "label-studio", "train"),
                *("--project", str(project), "--state", str(self._folder)),
                *("--base", self._base, "--minutes", str(self._minutes)),
            ]
            log = self._folder / "training.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as stream:
                self._process = subprocess.Popen(
                    command, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
                )
            self._watcher = threading.Thread(
                target=self._watch, args=(self._process, log), name="training", daemon=True
            )
            self._watcher.start()
        LOGGER.info("training from project %d; its log is %s", project, log)
        return True

    def wait(self) -> None:
        """Wait until no training is under way, and what came out is served."""
        if self._watcher is not None:
            self._watcher.join()

    def close(self) -> None:
        """End a training that is under way; nothing of it is kept."""
        self._closed.set()
        with self._lock:
            if self._process is not None and self.running:
                self._process.terminate()
        self.wait()

    def _watch(self, process: subprocess.Popen[bytes], log: Path) -> None:
        if process.wait() != 0:
            LOGGER.warning("the training failed, see %s; the model stays as it is", log)
            return
        self._follow()

    def _keep_up(self) -> None:
        while not self._closed.wait(LOOK_SECONDS):
            try:
                self._follow()
            # A thread that ends would leave later trainings unserved.
            except Exception:
                LOGGER.exception("the model is not switched")

    def _follow(self) -> None:
        """Serve what was trained last, unless that was looked at already."""
        with self._switching:
            seen = _signature(_current(self._folder))
            if seen == self._seen:
                return
            self._seen = seen
            trained = read_current(self._folder, self._base)
            if trained is None:
                return
            try:
                self._model.switch(trained.model)
            except SamPluginsError as error:
                LOGGER.warning("%s cannot be loaded: %s", trained.model, error)


def _signature(file: Path) -> tuple[int, int] | None:
    """Tells a file from the one that takes its place; None if there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _current(folder: Path) -> Path:
    return folder / "current.json"
