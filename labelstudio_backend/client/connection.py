"""Requests to Label Studio's API: token, retries, and errors that a person understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from labelstudio_backend.fetching import TokenSource
from sam_plugins.errors import SamPluginsError

_CONNECT_SECONDS, _READ_SECONDS = 5.0, 60.0
# Nothing is changed by asking twice. What changes something is asked once: an answer that was lost
# may have been done.
_RETRIES = Retry(
    total=4,
    backoff_factor=0.3,
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=("GET",),
    raise_on_status=False,
)


class LabelStudioError(SamPluginsError):
    """Label Studio is not reached, or answers otherwise than it should.

    Parameters
    ----------
    message : str
        One line.
    status : int or None
        Its HTTP status, if it answered.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Connection:
    """Sends requests to one Label Studio.

    Parameters
    ----------
    url : str
        Its address, with its path if it is not served from the root.
    token : str or None
        Legacy or personal access token.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url.rstrip("/")
        self.tokens = TokenSource(self.url, token)
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=_RETRIES))

    def send(self, method: str, path: str, *, authorized: bool = True, **more: Any) -> Any:
        """Send a request; once more if a personal access token had ended meanwhile.

        Parameters
        ----------
        method : str
            Of HTTP. GET is tried again while Label Studio restarts.
        path : str
            Below ``url``.
        authorized : bool
            Send the token.
        **more
            As for `requests.request`.

        Returns
        -------
        The JSON of the answer; None if it is empty.

        Raises
        ------
        LabelStudioError
            If Label Studio is not reached or answers with an error.
        TokenRefusedError
            If it refuses the token; the message says which setting to change.
        """
        for last in (False, True):
            headers = self.tokens.headers() if authorized else {}
            try:
                answer = self._session.request(
                    method,
                    f"{self.url}{path}",
                    headers=headers,
                    timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                    # A redirect would turn a POST into a GET, and may lead to another server.
                    allow_redirects=False,
                    **more,
                )
            except requests.RequestException as error:
                raise LabelStudioError(
                    f"Label Studio at {self.url} is not reached: {error}"
                ) from error
            # Nothing was done when it was refused, so that even a POST may be sent again; but the
            # files of an upload are read by then.
            if answer.status_code != 401 or "files" in more or last or not self.tokens.forget():
                break
        return self._content(answer, path)

    def _content(self, answer: requests.Response, path: str) -> Any:
        status = answer.status_code
        if status in (401, 403):
            raise self.tokens.refusal(answer.text)
        if 300 <= status < 400:
            raise LabelStudioError(
                f"{self.url} redirects to {answer.headers.get('Location')}: give that address",
                status,
            )
        try:
            content = answer.json() if answer.content else None
        except ValueError as error:
            raise LabelStudioError(
                f"{self.url}{path} answered with HTTP {status}, and not with JSON: is this Label "
                "Studio's address?",
                status,
            ) from error
        if status >= 400:
            raise LabelStudioError(f"Label Studio: HTTP {status}: {_detail(content)}", status)
        return content


def _detail(content: Any) -> str:
    """What an error of Label Studio says, on one line."""
    if not isinstance(content, Mapping):
        return str(content)[:500]
    reasons = content.get("validation_errors") or content.get("detail") or content
    return " ".join(str(reasons).split())[:500]


def root_cause(error: BaseException) -> str:
    """What lies at the bottom of an error of requests, which wraps it several times.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str
        One line.
    """
    while isinstance(inner := getattr(error, "reason", None) or error.__context__, BaseException):
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
