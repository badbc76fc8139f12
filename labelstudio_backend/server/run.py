"""Running the server: waitress, until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labelstudio_backend.server.app import Application
from sam_plugins.errors import SamPluginsError

LOGGER = logging.getLogger(__name__)

# Seconds in which a request has to be there, and after which an idle connection is closed.
CHANNEL_SECONDS = 60


def make_server(application: Application) -> Any:
    """Bind the server's address.

    Parameters
    ----------
    application : Application

    Returns
    -------
    waitress.server.BaseWSGIServer
        With ``run`` and ``close``; ``effective_port`` is the port that was taken for 0.

    Raises
    ------
    SamPluginsError
        If waitress is not installed, or the address is taken.
    """
    try:
        from waitress.server import create_server
    except ImportError as error:
        raise SamPluginsError(
            'serving needs the extra "label-studio": pip install "sam-plugins[label-studio]"'
        ) from error
    settings = application.settings
    try:
        return create_server(
            application,
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            # Waitress counts bodies only when they are there; the application refuses earlier.
            max_request_body_size=max(settings.max_body, settings.max_webhook) + 1,
            channel_timeout=CHANNEL_SECONDS,
            connection_limit=1000,
            ident="sam-plugins",
        )
    except (OSError, ValueError) as error:
        raise SamPluginsError(
            f"cannot listen at {settings.host}:{settings.port}: {error}"
        ) from error


@contextmanager
def serving(application: Application) -> Iterator[str]:
    """Serve in the background while the block runs.

    Parameters
    ----------
    application : Application

    Yields
    ------
    str
        The server's address.
    """
    server = make_server(application)
    thread = threading.Thread(target=server.run, name="sam-plugins-server", daemon=True)
    thread.start()
    try:
        yield f"http://{application.settings.host}:{server.effective_port}"
    finally:
        server.close()
        thread.join(5)
        application.listener.close()


def serve_until_stopped(application: Application) -> None:
    """Serve until SIGINT or SIGTERM.

    Parameters
    ----------
    application : Application

    Raises
    ------
    SamPluginsError
        See `make_server`.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with serving(application) as address:
        LOGGER.info("serving at %s", address)
        # Some systems deliver signals only between waits.
        while not stopped.wait(1.0):
            pass
