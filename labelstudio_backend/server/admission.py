"""``Admission``: who is let in, by password, or by where a request was meant to go."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from http import HTTPStatus
from urllib.parse import urlsplit

from labelstudio_backend.answering import BadRequestError
from labelstudio_backend.fetching.errors import shown
from labelstudio_backend.server.bodies import Environ
from labelstudio_backend.server.settings import ServerSettings


class Admission:
    """Lets requests in.

    Parameters
    ----------
    settings : ServerSettings
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings

    def check_address(self, environ: Environ) -> None:
        """Refuse what a page of another site sends from a browser on this machine.

        Its name may be made to resolve to this machine (DNS rebinding); the browser then takes us
        for that site, and lets the page send and read what it likes. But it tells us the name.

        Parameters
        ----------
        environ : dict
            Of WSGI.

        Raises
        ------
        BadRequestError
            If nobody needs a password, and the request was meant for another name than ours.
        """
        settings = self._settings
        if settings.user or settings.allow_anyone or not settings.local:
            return
        given = str(environ.get("HTTP_HOST") or "")
        if given and not self._is_ours(given):
            raise BadRequestError(
                f"this is not {shown(given)}: without a password only this machine's own names "
                "are answered; set BASIC_AUTH_USER and BASIC_AUTH_PASS, or say --allow-anyone",
                HTTPStatus.MISDIRECTED_REQUEST,
            )

    def check_password(self, environ: Environ) -> None:
        """Refuse who does not give the password.

        Parameters
        ----------
        environ : dict
            Of WSGI.

        Raises
        ------
        BadRequestError
            If there is one, and it is not given.
        """
        if not self._settings.user:
            return
        kind, _, encoded = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True) if kind.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            given = b""
        wanted = f"{self._settings.user}:{self._settings.password}".encode()
        if not hmac.compare_digest(given, wanted):
            raise BadRequestError("a user and a password are needed", HTTPStatus.UNAUTHORIZED)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in ("localhost", self._settings.host.lower()):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False
