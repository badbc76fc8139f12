"""``sam-plugins label-studio serve``: the backend that Label Studio asks for masks."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli.options import Device, Model, Precision
from sam_plugins.cli.terminal import say
from sam_plugins.cli.usage import wrong_use


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 for other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p")] = 9090,
    model: Model = "lite",
    device: Device = "auto",
    precision: Precision = "auto",
    state: Annotated[
        Path | None,
        typer.Option(
            "--state", metavar="DIR", help="Where projects' options, examples and models are kept."
        ),
    ] = None,
    at_once: Annotated[
        int | None,
        typer.Option(
            "--at-once",
            min=1,
            help="People whose prompts are answered at once; by default half as many as there are "
            "processors. On a GPU 32 are answered as quickly as one.",
        ),
    ] = None,
    prefetch: Annotated[
        int,
        typer.Option("--prefetch", min=0, max=20, help="Next tasks whose images are made ready."),
    ] = 3,
    train: Annotated[
        bool,
        typer.Option("--train/--no-train", help="Collect accepted masks, and train when asked."),
    ] = True,
    train_minutes: Annotated[
        float, typer.Option("--train-minutes", min=0, help="How long a training takes.")
    ] = 10.0,
    allow_anyone: Annotated[
        bool, typer.Option("--allow-anyone", help="Let other machines in without a password.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell of each request.")] = False,
) -> None:
    """Serve Segment Anything to Label Studio.

    Connect it in a project's Settings > Model, with "interactive preannotations" on. From the
    environment: LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, to get images; BASIC_AUTH_USER and
    BASIC_AUTH_PASS, which callers then have to give.

    \b
    Example:
      LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=... sam-plugins label-studio serve
    """
    from labelstudio_backend.building import build
    from labelstudio_backend.server import ServerSettings
    from labelstudio_backend.server.run import serve_until_stopped

    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(message)s"
    )
    with wrong_use("--host"):
        settings = ServerSettings(
            host=host,
            port=port,
            user=os.environ.get("BASIC_AUTH_USER", ""),
            password=os.environ.get("BASIC_AUTH_PASS", ""),
            allow_anyone=allow_anyone,
            at_once=at_once,
            training=train,
        )
    application = build(
        settings,
        model=model,
        device=device,
        precision=precision,
        folder=state,
        prefetch=prefetch,
        train_minutes=train_minutes,
    )
    say(f"{application.service.model.version} at http://{host}:{port} (Ctrl-C ends)")
    serve_until_stopped(application)
    say("Stopped")
