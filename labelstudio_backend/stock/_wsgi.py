"""The application for stock servers: ``gunicorn labelstudio_backend.stock._wsgi:app``."""

from __future__ import annotations

import inspect
import os
from typing import Any

from label_studio_ml.api import init_app

from labelstudio_backend.stock.backend import SamBackend


def make_app() -> Any:
    """Make the SDK's own application, with our answers.

    Returns
    -------
    flask.Flask
    """
    taken = inspect.signature(init_app).parameters
    if "basic_auth_user" in taken:
        user, password = (os.environ.get(f"BASIC_AUTH_{part}") for part in ("USER", "PASS"))
        return init_app(SamBackend, basic_auth_user=user, basic_auth_pass=password)
    return init_app(model_class=SamBackend, model_dir=os.environ["MODEL_DIR"])


app = make_app()
