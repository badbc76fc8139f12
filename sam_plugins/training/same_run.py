"""What a run was begun with, kept beside its checkpoint: it goes on with that or not at all."""

from __future__ import annotations

import json
from typing import Any

from sam_plugins.errors import SamPluginsError
from sam_plugins.files import atomic_path
from sam_plugins.training.loop import Run

RUN_FILE = "run.json"


def check_same_run(run: Run, description: dict[str, Any]) -> None:
    """Keep what a run is begun with, or compare it with what it was begun with.

    Parameters
    ----------
    run : Run
        Not started yet.
    description : dict
        What decides about the weights, by name; JSON can hold it.

    Raises
    ------
    SamPluginsError
        If there is a checkpoint of a run that was begun with something else: going on from it would
        give weights that nobody could explain.
    """
    path = run.folder / RUN_FILE
    content = json.loads(json.dumps(description))  # as it is read back
    if run.checkpoint.exists() and path.exists():
        begun = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name, value in content.items() if begun.get(name) != value]
        if other:
            raise SamPluginsError(
                f"{run.folder} holds a run with other {' and '.join(other)}: choose another "
                "folder or delete it"
            )
    if run.fabric.global_rank == 0:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
