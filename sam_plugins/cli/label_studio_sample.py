"""``sam-plugins label-studio sample``: a Label Studio to try, with nothing to set up."""

from __future__ import annotations

import logging
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli.options import Device, Model
from sam_plugins.cli.terminal import say


def sample(
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Another one if it is taken.")
    ] = 8080,
    backend_port: Annotated[
        int, typer.Option("--backend-port", min=0, max=65535, help="Another one if it is taken.")
    ] = 9090,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="DIR", help="Where everything is kept."),
    ] = None,
    label_studio: Annotated[
        Path | None,
        typer.Option(
            "--label-studio",
            metavar="PATH",
            help="Its command; by default the one in .venv-label-studio, or on the PATH.",
        ),
    ] = None,
    model: Model = "lite",
    device: Device = "auto",
) -> None:
    """Start a Label Studio on this machine, with a project of four images and the model connected.

    Started again, everything is as it was left. Nobody else reaches it: for a team, run Label
    Studio by itself, and the backend by "sam-plugins label-studio serve".

    \b
    Example:
      sam-plugins label-studio sample
    """
    from labelstudio_backend.building import state_folder
    from labelstudio_backend.sample import find_label_studio
    from labelstudio_backend.sample.run import running_sample

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    # A script's shell starts what goes on beside it with Ctrl-C switched off.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = label_studio or find_label_studio()
    place = folder or state_folder() / "sample"
    say("Starting Label Studio; the first time it makes its database, for about a minute")
    with running_sample(
        command, place, port=port, backend_port=backend_port, model=model, device=device
    ) as running:
        say(f"Open    {running.url}")
        say(f"log in  {running.account.email}, password {running.account.password}")
        say('switch  "Auto-Annotation" on below the image; Ctrl-C here ends')
        # Both Ctrl-C and SIGTERM come as exceptions, at the start as well.
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(1.0)
    say(f"Stopped; everything is kept in {place}")
