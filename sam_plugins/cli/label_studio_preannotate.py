"""``sam-plugins label-studio preannotate``: masks for a whole project before people open it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sam_plugins.cli.label_studio_options import Token, Url, backend_password
from sam_plugins.cli.terminal import counted, one_line, progress_bars, say

if TYPE_CHECKING:
    from labelstudio_backend.client import LabelStudioClient

FAILED = 1


def preannotate(
    project: Annotated[int, typer.Option("--project", "-p", metavar="ID", help="Its number.")],
    url: Url = "http://localhost:8080",
    token: Token = "",
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="URL",
            help="The backend, as this machine reaches it; by default the one that is connected to "
            "the project.",
        ),
    ] = "",
    chunk: Annotated[
        int, typer.Option("--chunk", min=1, max=100, help="Tasks in one request.")
    ] = 4,
    unlabelled_only: Annotated[
        bool,
        typer.Option("--unlabelled-only", help="Leave out tasks that people have annotated."),
    ] = False,
) -> None:
    """Write the model's masks to all tasks of a project, without Label Studio's time limit.

    Boxes and points that tasks have, from people or from other models, become masks; without any,
    everything is segmented if the project's extra parameters ask for it. Whatever happens, run it
    again: tasks that have predictions of this model are left alone.

    \b
    Examples:
      sam-plugins label-studio preannotate --url http://localhost:8080 --project 3
    """
    from labelstudio_backend.client import LabelStudioClient
    from labelstudio_backend.model_server import ModelServer
    from labelstudio_backend.preannotation import Preannotator

    client = LabelStudioClient(url, token or None)
    server = ModelServer(backend or _connected(client, project), basic_auth=backend_password())
    with progress_bars() as bars:
        tally = Preannotator(
            client,
            server,
            chunk=chunk,
            unlabelled_only=unlabelled_only,
            progress=partial(bars.show, "Tasks"),
            report=lambda task, error: say(f"Error: task {task}: {one_line(error)}"),
        ).run(project)
    say(
        f"{counted(tally.done, 'task')} got {counted(tally.regions, 'region')} by "
        f"{tally.model_version}; {tally.kept} had theirs before, {tally.empty} gave nothing, "
        f"{tally.failed} failed"
    )
    if tally.empty and not tally.done:
        say(
            "Nothing to begin from: the tasks have no boxes or points, and the project's extra "
            "parameters do not ask to segment everything"
        )
    if tally.failed:
        raise typer.Exit(FAILED)


def _connected(client: LabelStudioClient, project: int) -> str:
    rows = client.ml_backends(project)
    if len(rows) != 1:
        has = "no model" if not rows else f"{len(rows)} models"
        raise typer.BadParameter(
            f"project {project} has {has} connected: name the backend", param_hint="--backend"
        )
    return rows[0].url
