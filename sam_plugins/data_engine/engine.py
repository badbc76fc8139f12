"""``Engine``: a folder with the state, the models of all rounds, and what is to be done next."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sam_plugins.data_engine.records import EngineError, SourceImage
from sam_plugins.data_engine.settings import EngineSettings
from sam_plugins.data_engine.state import State

STATE = "engine.sqlite"


@dataclass(frozen=True)
class Engine:
    """One data engine.

    Parameters
    ----------
    folder : Path
        With the state and the models.
    state : State
        What is known.
    settings : EngineSettings
        What it was set up with.
    """

    folder: Path
    state: State
    settings: EngineSettings

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        images: Sequence[SourceImage],
        settings: EngineSettings | None = None,
    ) -> Engine:
        """Set up a data engine.

        Parameters
        ----------
        folder : path-like
            Made if it is missing.
        images : sequence of SourceImage
            All images. They stay where they are, and get an order by chance; every so many-th is
            held out.
        settings : EngineSettings, optional
            By default the default ones.

        Returns
        -------
        Engine

        Raises
        ------
        EngineError
            If there is one already, no image, or two of one name.
        """
        if not images:
            raise EngineError("a data engine needs images")
        chosen = settings or EngineSettings()
        order = np.random.default_rng(chosen.seed).permutation(len(images))
        every = max(2, round(1 / chosen.held_out))
        # Not the first one: there is something to learn from as soon as there is a mask.
        ordered = [
            replace(images[index], held_out=place % every == every - 1)
            for place, index in enumerate(order.tolist())
        ]
        about = {"settings": chosen.as_json()}
        state = State.create(Path(folder, STATE), ordered, about)
        return cls(Path(folder), state, chosen)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Engine:
        """Open a data engine.

        Parameters
        ----------
        folder : path-like
            Where `create` made it.

        Returns
        -------
        Engine

        Raises
        ------
        EngineError
            If there is none.
        """
        state = State(Path(folder, STATE))
        return cls(Path(folder), state, EngineSettings.from_json(state.about("settings") or "{}"))

    @property
    def model(self) -> str:
        """The newest model: a checkpoint's path, or the name that the first round begins with."""
        rounds = self.state.rounds()
        return str((self.folder / rounds[-1].model).resolve()) if rounds else self.settings.model

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other commands that change the state out while the block runs.

        Raises
        ------
        EngineError
            If another one is at work.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / "engine.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise EngineError(f"another command works on {self.folder}") from error
        try:
            yield
        finally:
            lock.release()

    def waiting(self, stage: int, *, count: int | None = None) -> list[SourceImage]:
        """The images that people have not worked on, in this stage or before.

        Parameters
        ----------
        stage : int
            1 or 2.
        count : int, optional
            At most so many.

        Returns
        -------
        list of SourceImage
            In their order.
        """
        seen = {
            image
            for each in range(1, stage + 1)
            for image, (source, _) in self.state.done(each).items()
            if source == "person"
        }
        return [image for image in self.state.images() if image.id not in seen][:count]
