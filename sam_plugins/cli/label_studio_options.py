"""Options of the ``label-studio`` commands that talk to a running Label Studio."""

from __future__ import annotations

import os
from typing import Annotated

import typer

Url = Annotated[
    str,
    typer.Option(
        "--url",
        metavar="URL",
        envvar=["LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"],
        help="Label Studio's address.",
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="T",
        envvar=["LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"],
        show_envvar=True,
        help="Personal access token or legacy token, from Account & Settings. Better given by the "
        "environment, which other users of the machine do not see.",
    ),
]


def backend_password() -> tuple[str, str] | None:
    """User and password of the backend, from the environment as the backend itself has them.

    Returns
    -------
    tuple of str or None
        From BASIC_AUTH_USER and BASIC_AUTH_PASS.
    """
    user, password = os.environ.get("BASIC_AUTH_USER"), os.environ.get("BASIC_AUTH_PASS")
    return (user, password) if user and password else None
