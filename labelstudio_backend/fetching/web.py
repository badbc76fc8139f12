"""Getting files from the web: each origin on the way is checked, and nothing exceeds its limit."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from labelstudio_backend.fetching.addresses import Resolve, checked_addresses, system_resolve
from labelstudio_backend.fetching.errors import (
    FetchError,
    ImageNotFoundError,
    RefusedAddressError,
    TooLargeError,
    shown,
)
from labelstudio_backend.fetching.origins import Origin, WebAddress
from labelstudio_backend.fetching.pinned import requested

MAX_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CHUNK_BYTES = 1 << 16
_ERROR_BYTES = 2048
_HEADERS = {
    "User-Agent": "sam-plugins",
    "Accept": "image/*, */*;q=0.1",
    # Compressed answers would need a limit of their own.
    "Accept-Encoding": "identity",
    "Connection": "close",
}

HeadersFor = Callable[[WebAddress], Mapping[str, str]]


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Parameters
    ----------
    status : int
        Of HTTP.
    address : WebAddress
        Where it came from, after redirects.
    body : bytes
        Whole if the status is 200, else its beginning.
    location : str or None
        Where a redirect leads to, as the server wrote it.
    """

    status: int
    address: WebAddress
    body: bytes
    location: str | None = None


@dataclass(frozen=True)
class WebClient:
    """Gets files from the web, and refuses what a task must not make it ask for.

    Every origin on the way, the first and those of redirects, is resolved once, checked, and
    connected to by the address that was checked, so that a name that resolves otherwise a moment
    later gains nothing. Proxies of the environment are not used: they would resolve anew.

    Parameters
    ----------
    private_origins : frozenset of Origin
        Those that may be in private networks.
    max_bytes : int
        Of a body.
    seconds : float
        For a whole request with its redirects, however slowly the bytes come.
    ca_file : str, optional
        PEM file of authorities to trust, instead of the system's and certifi's.
    resolve : callable
        ``(host, port)`` to addresses.
    """

    private_origins: frozenset[Origin] = frozenset()
    max_bytes: int = 100_000_000
    seconds: float = 30.0
    ca_file: str | None = None
    resolve: Resolve = field(default=system_resolve, repr=False)

    def get(self, address: WebAddress, *, headers_for: HeadersFor = lambda address: {}) -> Answer:
        """Get what lies at an address.

        Parameters
        ----------
        address : WebAddress
            Where to begin.
        headers_for : callable
            The headers for an address. It is asked again at each redirect, so that a token for one
            origin is not sent to another.

        Returns
        -------
        Answer
            No redirect.

        Raises
        ------
        RefusedAddressError
            If an origin on the way is private and not among ``private_origins``, or if a redirect
            leads from https to http.
        TooLargeError
            If there are more than ``max_bytes``.
        FetchError
            If nothing is reached, the answer is cut off, or it takes too long.
        """
        ends = time.monotonic() + self.seconds
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._get_one(address, {**_HEADERS, **headers_for(address)}, ends)
            if answer.status not in _REDIRECTS or not answer.location:
                return answer
            following = address.join(answer.location)
            if address.origin.scheme == "https" and following.origin.scheme == "http":
                raise RefusedAddressError(f"{address.origin} redirects to http: {following.origin}")
            address = following
        raise FetchError(f"{shown(str(address.origin))} redirects more than {MAX_REDIRECTS} times")

    def _get_one(self, address: WebAddress, headers: Mapping[str, str], ends: float) -> Answer:
        reachable = checked_addresses(
            address.origin,
            resolve=self.resolve,
            may_be_private=address.origin in self.private_origins,
        )
        for last, ip_address in zip(_is_last(reachable), reachable, strict=True):
            left = ends - time.monotonic()
            if left <= 0:
                break
            try:
                with requested(
                    address, ip_address, headers, seconds=left, ca_file=self.ca_file
                ) as response:
                    return self._read(response, address)
            except (OSError, http.client.HTTPException, UnicodeError) as error:
                if isinstance(error, FetchError):
                    raise
                if time.monotonic() >= ends:
                    break
                # A host with IPv6 and IPv4 may answer by one of them only.
                if last or not isinstance(error, ConnectionRefusedError | TimeoutError):
                    raise FetchError(
                        f"no image from {shown(str(address.origin))}: "
                        f"{shown(str(error) or type(error).__name__)}"
                    ) from error
        raise FetchError(f"{shown(str(address.origin))} took more than {self.seconds:g} s")

    def _read(self, response: http.client.HTTPResponse, address: WebAddress) -> Answer:
        if response.status != 200:
            beginning = response.read(_ERROR_BYTES)
            return Answer(response.status, address, beginning, response.getheader("location"))
        if response.getheader("content-encoding", "identity").lower() != "identity":
            raise FetchError(f"{address.origin} sent a compressed answer, which was not asked for")
        if (response.length or 0) > self.max_bytes:
            raise self._too_large(address)
        body = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            body += chunk
            if len(body) > self.max_bytes:
                raise self._too_large(address)
        if response.length:
            raise FetchError(f"the answer of {address.origin} broke off after {len(body)} bytes")
        return Answer(200, address, bytes(body))

    def _too_large(self, address: WebAddress) -> TooLargeError:
        return TooLargeError(
            f"the image at {shown(str(address.origin))} has more than {self.max_bytes} bytes"
        )


def image_of(answer: Answer) -> bytes:
    """The body of an answer.

    Parameters
    ----------
    answer : Answer
        Of `WebClient.get`.

    Returns
    -------
    bytes

    Raises
    ------
    ImageNotFoundError, FetchError
        If the server had nothing to give.
    """
    if answer.status == 200:
        return answer.body
    if answer.status in (404, 410):
        raise ImageNotFoundError(f"{answer.address.origin} has no such image (HTTP 404)")
    raise FetchError(f"{answer.address.origin} answered with HTTP {answer.status}, not an image")


def _is_last(items: list[str]) -> list[bool]:
    return [False] * (len(items) - 1) + [True]
