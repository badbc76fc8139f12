"""Label Studio's tokens: legacy ones as they are, personal access tokens by exchange.

A legacy token is sent as ``Authorization: Token ...``. A personal access token is a JWT that is
never sent with a request: it is exchanged for an access token that lives five minutes.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import requests

from labelstudio_backend.fetching.errors import FetchError, TokenRefusedError

# Renewed a little before it ends, so that it does not end on the way.
_MARGIN_SECONDS = 30.0
_REFRESH_SECONDS = 10.0


class TokenKind(StrEnum):
    """What kind of token a person has given."""

    NONE = "none"
    LEGACY = "legacy token"
    PERSONAL = "personal access token"
    ACCESS = "short-lived access token"


def token_kind(token: str | None) -> TokenKind:
    """What kind of token this is.

    Parameters
    ----------
    token : str or None
        As Label Studio shows it.

    Returns
    -------
    TokenKind

    Examples
    --------
    >>> str(token_kind("0123456789abcdef0123456789abcdef01234567"))
    'legacy token'
    """
    if not token:
        return TokenKind.NONE
    claims = _claims(token)
    if claims is None:
        return TokenKind.LEGACY
    return TokenKind.ACCESS if claims.get("token_type") == "access" else TokenKind.PERSONAL


class TokenSource:
    """Gives the ``Authorization`` header for one Label Studio.

    May be shared by threads: one of them renews, the others wait.

    Parameters
    ----------
    url : str
        Label Studio's address, with its path if it is not served from the root.
    token : str or None
        Of either kind.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self, url: str, token: str | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.url = url.rstrip("/")
        self.kind = token_kind(token)
        self._token = token
        self._clock = clock
        self._access = ""
        self._until = 0.0
        self._lock = threading.Lock()

    def headers(self) -> dict[str, str]:
        """The header to send, renewed if need be.

        Returns
        -------
        dict
            Empty without a token.

        Raises
        ------
        TokenRefusedError
            If Label Studio does not exchange the token.
        FetchError
            If Label Studio is not reached.
        """
        if self.kind is TokenKind.NONE:
            return {}
        if self.kind is TokenKind.LEGACY:
            return {"Authorization": f"Token {self._token}"}
        if self.kind is TokenKind.ACCESS:
            return {"Authorization": f"Bearer {self._token}"}
        with self._lock:
            if self._clock() >= self._until:
                self._renew()
            return {"Authorization": f"Bearer {self._access}"}

    def forget(self) -> bool:
        """Forget the exchanged token after Label Studio has refused it.

        Returns
        -------
        bool
            Whether asking again makes sense: only with a personal access token.
        """
        with self._lock:
            self._until = 0.0
        return self.kind is TokenKind.PERSONAL

    def refusal(self, answer: str = "") -> TokenRefusedError:
        """The error for a 401 or 403 of Label Studio: which setting to change.

        Parameters
        ----------
        answer : str
            The body of the answer; Label Studio says there if legacy tokens are switched off.

        Returns
        -------
        TokenRefusedError
        """
        if self.kind is TokenKind.NONE:
            advice = "it got no token: set LABEL_STUDIO_API_KEY to a token of a user of the project"
        elif self.kind is TokenKind.LEGACY and "legacy token" in answer:
            advice = (
                "legacy tokens are switched off there: set LABEL_STUDIO_API_KEY to a personal "
                "access token (Account & Settings), or allow legacy tokens in Label Studio: "
                "Organization > API Tokens Settings, or LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true"
            )
        elif self.kind is TokenKind.LEGACY:
            advice = (
                "the legacy token is wrong, or its user does not see the project, or legacy tokens "
                "are switched off: set LABEL_STUDIO_API_KEY to a personal access token "
                "(Account & Settings)"
            )
        elif self.kind is TokenKind.ACCESS:
            advice = (
                "LABEL_STUDIO_API_KEY is an access token, which lives five minutes: set it to the "
                "personal access token itself (Account & Settings)"
            )
        else:
            advice = (
                "the personal access token has expired or was revoked, or its user does not see "
                "the project: make a new one (Account & Settings) and set LABEL_STUDIO_API_KEY"
            )
        return TokenRefusedError(f"Label Studio at {self.url} refused access: {advice}")

    def _renew(self) -> None:
        try:
            answer = requests.post(
                f"{self.url}/api/token/refresh/",
                json={"refresh": self._token},
                timeout=_REFRESH_SECONDS,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise FetchError(f"Label Studio at {self.url} is not reached: {error}") from error
        if answer.status_code in (400, 401, 403):
            raise self.refusal(answer.text)
        try:
            access = answer.json()["access"]
            lifetime = _lifetime(access)
        except (ValueError, KeyError, TypeError) as error:
            raise FetchError(
                f"{self.url} does not exchange tokens as Label Studio does "
                f"(HTTP {answer.status_code}): is LABEL_STUDIO_URL right?"
            ) from error
        self._access = access
        self._until = self._clock() + max(lifetime - _MARGIN_SECONDS, lifetime / 2)


def _lifetime(access: str) -> float:
    """Seconds from issue to end by the server's own clock, which need not be ours."""
    claims = _claims(access) or {}
    return max(0.0, float(claims["exp"]) - float(claims["iat"]))


def _claims(token: str) -> dict[str, Any] | None:
    """What a JWT says of itself, unverified; None if it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    return claims if isinstance(claims, dict) else None
