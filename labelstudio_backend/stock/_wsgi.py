"""The application for stock servers, and what ``label-studio-ml start`` runs in this folder.

``gunicorn labelstudio_backend.stock._wsgi:app`` serves it as well.
"""

from __future__ import annotations

import argparse
import inspect
import os
from collections.abc import Sequence
from typing import Any

from label_studio_ml.api import init_app

from labelstudio_backend.server.settings import ServerSettings
from labelstudio_backend.stock.backend import SamBackend


def make_app() -> Any:
    """Make the SDK's own application, with our answers.

    Returns
    -------
    flask.Flask
    """
    if _asks_for_password():
        user, password = _password()
        return init_app(SamBackend, basic_auth_user=user, basic_auth_pass=password)
    return init_app(model_class=SamBackend, model_dir=os.environ["MODEL_DIR"])


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until stopped.

    Parameters
    ----------
    argv : sequence of str, optional
        What follows the folder's name; by default of the command line.
    """
    parser = argparse.ArgumentParser(prog="label-studio-ml start FOLDER", description=__doc__)
    parser.add_argument("-p", "--port", type=int, default=9090)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument(
        "--allow-anyone", action="store_true", help="let other machines in without a password"
    )
    given = parser.parse_args(argv)
    user, password = _password() if _asks_for_password() else ("", "")
    try:
        # Nobody else comes in unasked; the SDK's first generation knows no passwords.
        ServerSettings(given.host, given.port, user, password, given.allow_anyone)
    except ValueError as error:
        parser.error(str(error))
    app.run(host=given.host, port=given.port, threaded=True)


def _asks_for_password() -> bool:
    return "basic_auth_user" in inspect.signature(init_app).parameters


def _password() -> tuple[str, str]:
    user, password = (os.environ.get(f"BASIC_AUTH_{part}", "") for part in ("USER", "PASS"))
    return user, password


app = make_app()

if __name__ == "__main__":
    main()
