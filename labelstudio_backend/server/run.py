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
        With ``run`` and ``close``; `port_of` gives the port that was taken for 0.

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
    from labelstudio_backend.server.refusals import Channel

    settings = application.settings
    listeners: dict[int, Any] = {}
    try:
        server = create_server(
            application,
            map=listeners,
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
    # A name may stand for several addresses, of IPv4 and IPv6, with a listener each.
    for listener in listeners.values():
        if hasattr(listener, "channel_class"):
            listener.channel_class = Channel
    return server


def port_of(server: Any) -> int:
    """The port that a server listens at.

    Parameters
    ----------
    server : waitress.server.BaseWSGIServer or waitress.server.MultiSocketServer

    Returns
    -------
    int
        Of its first address.
    """
    several = getattr(server, "effective_listen", None)
    return int(several[0][1] if several else server.effective_port)


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
        yield f"http://{application.settings.host}:{port_of(server)}"
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
