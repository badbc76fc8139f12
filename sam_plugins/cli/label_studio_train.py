"""``sam-plugins label-studio train``: a better model from what annotators accepted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli.options import Device
from sam_plugins.cli.terminal import say


def train(
    project: Annotated[int, typer.Option("--project", "-p", metavar="ID", help="Its number.")],
    base: Annotated[
        str,
        typer.Option(
            "--base", metavar="NAME|PATH", help="The model that the backend was started with."
        ),
    ] = "lite",
    minutes: Annotated[float, typer.Option(metavar="N", min=0, help="Time to train.")] = 10.0,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="As the backend was started with."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Fine-tune the model on a project's accepted masks, which the backend has collected.

    A backend that serves from the same folder answers with the new model from its next start on,
    or at once if it was Label Studio that asked for the training. Training begins with the model
    that was trained last, if there is one.

    \b
    Example:
      sam-plugins label-studio train --project 3
    """
    from filelock import FileLock, Timeout

    from labelstudio_backend.building import state_folder
    from labelstudio_backend.learning.examples import ExampleStore
    from labelstudio_backend.learning.training import Trained, read_current, write_current
    from sam_plugins.cli.finetune import finetune

    folder = state or state_folder()
    store = ExampleStore(folder / "examples" / str(project))
    if len(store.tasks()) < 2:
        raise typer.BadParameter(
            f"there are accepted masks of {len(store.tasks())} tasks in {store.folder}: at least "
            "2 are needed, one of them to measure",
            param_hint="--project",
        )
    current = read_current(folder, base)
    out = folder / "models" / f"{Path(base).stem}-{project}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        with FileLock(folder / "training.lock", timeout=0):
            data = store.folder / "all.json"
            say(f"{store.collect(data)} images in {data}")
            model = out.with_name(f"{out.name}.safetensors")
            finetune(
                data,
                model,
                source=current.model if current else base,
                minutes=minutes,
                device=device,
            )
            write_current(folder, Trained(str(model), base))
    except Timeout as error:
        raise typer.BadParameter(
            f"another training is under way in {folder}", param_hint="--state"
        ) from error
