"""``sam-plugins label-studio doctor``: why clicks in Label Studio give no masks."""

from __future__ import annotations

from typing import Annotated

import typer

from sam_plugins.cli.label_studio_options import Token, Url, backend_password
from sam_plugins.cli.terminal import counted

FAILED = 1


def doctor(
    url: Url = "http://localhost:8080",
    token: Token = "",
    project: Annotated[
        int | None, typer.Option("--project", "-p", metavar="ID", help="The project to look at.")
    ] = None,
    backend: Annotated[
        str,
        typer.Option("--backend", metavar="URL", help="The backend, as this machine reaches it."),
    ] = "http://localhost:9090",
) -> None:
    """Look at everything that stands between a click in Label Studio and a mask.

    Run it where the backend runs, with the same environment. Nothing is changed.

    \b
    Examples:
      sam-plugins label-studio doctor --url http://localhost:8080 --project 3
    """
    from dataclasses import replace

    from labelstudio_backend.client import LabelStudioClient
    from labelstudio_backend.diagnosis import Doctor, Level
    from labelstudio_backend.fetching import FetchSettings, ImageFetcher
    from labelstudio_backend.model_server import ModelServer

    settings = replace(
        FetchSettings.from_environment(), label_studio_url=url.rstrip("/"), api_key=token
    )
    patient = Doctor(
        LabelStudioClient(url, token or None),
        ImageFetcher(settings),
        ModelServer(backend, basic_auth=backend_password()),
    )
    problems = 0
    for finding in patient.examine(project):
        typer.echo(f"{finding.level:8} {finding.text}")
        if finding.advice:
            typer.echo(f"{'':8}   -> {finding.advice}")
        problems += finding.level is Level.PROBLEM
    typer.echo(f"\n{counted(problems, 'problem')} found" if problems else "\nAll is well")
    if problems:
        raise typer.Exit(FAILED)
