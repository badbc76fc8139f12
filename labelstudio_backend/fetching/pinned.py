"""One HTTP request to an address that was checked before, ended at a deadline whatever happens."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache

import certifi

from labelstudio_backend.fetching.origins import WebAddress

_CONNECT_SECONDS = 5.0


@contextmanager
def requested(
    address: WebAddress,
    ip_address: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
    ca_file: str | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Ask for ``address`` at ``ip_address``, under the name that ``address`` has.

    The ``Host`` header, the name in the TLS handshake and the name that the certificate must be for
    are those of ``address``; the name is not resolved.

    Parameters
    ----------
    address : WebAddress
        What to ask for.
    ip_address : str
        Where to connect to.
    headers : mapping
        Besides ``Host``.
    seconds : float
        After which the connection is cut, also in the middle of a line.
    ca_file : str, optional
        PEM file of the authorities to trust, instead of the system's and certifi's.

    Yields
    ------
    http.client.HTTPResponse
        Its body is not read yet.

    Raises
    ------
    OSError, http.client.HTTPException
        If the server is not reached, or does not speak HTTP.
    """
    ends = time.monotonic() + seconds
    with ExitStack() as stack:
        connected = stack.enter_context(
            socket.create_connection(
                (ip_address, address.origin.port), timeout=min(seconds, _CONNECT_SECONDS)
            )
        )
        stack.enter_context(_cut_at(connected, ends))
        stream = stack.enter_context(_secured(connected, address, ca_file))
        stream.settimeout(max(ends - time.monotonic(), 0.001))
        connection = http.client.HTTPConnection(address.origin.host, address.origin.port)
        connection.sock = stream
        connection.request(
            "GET", address.target, headers={"Host": address.origin.netloc, **headers}
        )
        yield stack.enter_context(connection.getresponse())


@contextmanager
def _secured(
    connected: socket.socket, address: WebAddress, ca_file: str | None
) -> Iterator[socket.socket]:
    if address.origin.scheme == "http":
        yield connected
        return
    context = _trusting(ca_file)
    with context.wrap_socket(
        connected, server_hostname=address.origin.host, do_handshake_on_connect=False
    ) as stream:
        stream.do_handshake()
        yield stream


@cache
def _trusting(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if ca_file is None:
        # Python does not find the system's on every system.
        context.load_verify_locations(certifi.where())
    return context


@contextmanager
def _cut_at(connected: socket.socket, ends: float) -> Iterator[None]:
    """Cut a connection at a time: a socket's own timeout begins anew with every byte."""
    # A second handle, since wrapping the first in TLS takes it over.
    handle = connected.dup()

    def cut() -> None:
        with suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(ends - time.monotonic(), 0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        handle.close()
