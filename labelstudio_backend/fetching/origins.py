"""Addresses on the web, split once and strictly, so that nothing is read in two ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from labelstudio_backend.fetching.errors import BadURLError, shown

MAX_URL_CHARACTERS = 8192
_PORTS = {"http": 80, "https": 443}
# Characters that clients and servers are known to read differently.
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?\.?|[0-9a-f:.]*:[0-9a-f:.]*")


@dataclass(frozen=True)
class Origin:
    """Whom one talks to.

    Parameters
    ----------
    scheme : str
        ``"http"`` or ``"https"``.
    host : str
        A name or an address in lower case; IPv6 without its brackets.
    port : int
        1 to 65535.

    Examples
    --------
    >>> WebAddress.parse("HTTPS://Example.org/a.png").origin
    Origin(scheme='https', host='example.org', port=443)
    """

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """Host and port as the ``Host`` header has them: the scheme's own port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


@dataclass(frozen=True)
class WebAddress:
    """One http or https address.

    Parameters
    ----------
    origin : Origin
        Whom to ask.
    path : str
        Begins with a slash; percent-encoded.
    query : str
        Without the question mark; may be empty.
    """

    origin: Origin
    path: str
    query: str

    @property
    def target(self) -> str:
        """Path and query as the request line has them."""
        return f"{self.path}?{self.query}" if self.query else self.path

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"

    @classmethod
    def parse(cls, url: str) -> WebAddress:
        """Split an address.

        Parameters
        ----------
        url : str
            ``http://`` or ``https://``. Names in other alphabets are encoded (IDNA); other
            characters than ASCII in path and query are percent-encoded, as browsers do.

        Returns
        -------
        WebAddress
            Without the fragment.

        Raises
        ------
        BadURLError
            If it is malformed, of another scheme, has a user name in it or characters that are read
            differently by different programs.
        """
        if not isinstance(url, str) or len(url) > MAX_URL_CHARACTERS or _UNSAFE.search(url):
            raise BadURLError(
                f"{shown(url)} is no address of an image: expected http:// or https:// without "
                "spaces, control characters or backslashes"
            )
        try:
            parts = urlsplit(url)
            scheme, name, port = parts.scheme.lower(), parts.hostname or "", parts.port
        except ValueError as error:
            raise BadURLError(f"{shown(url)} is no address of an image: {error}") from error
        if scheme not in _PORTS:
            raise BadURLError(f"{shown(url)} is of scheme {shown(scheme)}: expected http or https")
        if "@" in parts.netloc:
            raise BadURLError(
                f"{shown(str(parts.hostname))}: no user name is allowed in an address"
            )
        origin = Origin(scheme, _checked_host(name, url), _PORTS[scheme] if port is None else port)
        if not origin.port:
            raise BadURLError(f"{shown(url)} has port 0")
        return cls(origin, _encoded(parts.path) or "/", _encoded(parts.query))

    def join(self, reference: str) -> WebAddress:
        """The address that a redirect from here to ``reference`` leads to.

        Parameters
        ----------
        reference : str
            Whole or relative, as in a ``Location`` header.

        Returns
        -------
        WebAddress

        Raises
        ------
        BadURLError
            See `parse`.
        """
        try:
            joined = urljoin(str(self), reference)
        except ValueError as error:
            raise BadURLError(f"redirected to {shown(reference)}: {error}") from error
        return WebAddress.parse(joined)


def _checked_host(name: str, url: str) -> str:
    host = name
    if not name.isascii():
        try:
            host = name.encode("idna").decode("ascii").lower()
        except UnicodeError as error:
            raise BadURLError(f"{shown(url)} has the host {shown(name)}: {error}") from error
    if not _HOST.fullmatch(host) or ".." in host:
        raise BadURLError(f"{shown(url)} has no host name, or a malformed one: {shown(name)}")
    return host


def _encoded(text: str) -> str:
    return quote(text, safe="/%:=&?~#+!$,;'@()*[]|-._")
