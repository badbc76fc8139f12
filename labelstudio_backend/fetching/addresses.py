"""Which machines may be asked for images: names are resolved once, and the result is checked.

A task names the address of its image, and whoever can import tasks names it. A server that fetched
any address would let them look into the network that it stands in (server-side request forgery).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

from labelstudio_backend.fetching.errors import FetchError, RefusedAddressError, shown
from labelstudio_backend.fetching.origins import Origin

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

# Where a network has no IPv4, names resolve to these, which carry an IPv4 address (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def system_resolve(host: str, port: int) -> list[str]:
    """All addresses of a host, as the system's resolver gives them.

    Parameters
    ----------
    host : str
        A name or an address in any of the spellings that the system takes.
    port : int
        The port that will be connected to.

    Returns
    -------
    list of str
        IPv4 and IPv6 addresses; at least one.

    Raises
    ------
    OSError
        If there is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address belongs to the open internet.

    Parameters
    ----------
    address : str
        An IPv4 or IPv6 address.

    Returns
    -------
    bool
        False for loopback, private, link-local, carrier-grade, multicast, reserved and unspecified
        addresses, also when they are written inside an IPv6 address, and for anything malformed.

    Examples
    --------
    >>> is_public("93.184.216.34"), is_public("10.0.0.1"), is_public("::ffff:127.0.0.1")
    (True, False, False)
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return all(_is_global(each) for each in _leads_to(parsed))


def checked_addresses(origin: Origin, *, resolve: Resolve, may_be_private: bool) -> list[str]:
    """The addresses of an origin that may be connected to.

    Parameters
    ----------
    origin : Origin
        Whom to ask.
    resolve : callable
        ``(host, port)`` to addresses.
    may_be_private : bool
        The person who runs this server named this origin.

    Returns
    -------
    list of str
        To be connected to as they are: resolving the name again might give others.

    Raises
    ------
    RefusedAddressError
        If one of them is not public: a name with both kinds is an attempt to get at the other.
    FetchError
        If the name has no address.
    """
    try:
        found = list(resolve(origin.host, origin.port))
    except (OSError, UnicodeError) as error:
        raise FetchError(f"the host {shown(origin.host)} is not found: {error}") from error
    if not found:
        raise FetchError(f"the host {shown(origin.host)} has no address")
    if not may_be_private and not all(is_public(address) for address in found):
        raise RefusedAddressError(
            f"{shown(str(origin))} is in a private or reserved network; if images lie there, the "
            "person who runs this backend must allow it: --allow-origin or "
            "SAM_PLUGINS_ALLOW_ORIGINS"
        )
    return found


def _is_global(address: IPAddress) -> bool:
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or getattr(address, "is_site_local", False)
    )


def _leads_to(address: IPAddress) -> list[IPAddress]:
    """The addresses at which a packet to this one may arrive."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped:
        return [address.ipv4_mapped]
    if address in _NAT64:
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    tunnels: list[IPAddress | None] = [address.sixtofour, *(address.teredo or ())]
    return [address, *(end for end in tunnels if end)]
