"""``ServerSettings``: where the server listens, whom it lets in, and how much it takes on."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server.

    Parameters
    ----------
    host : str
        Address to listen at. Others than this machine's own need a user and a password.
    port : int
    user, password : str
        What callers have to give; nothing if both are empty.
    allow_anyone : bool
        Listen to other machines without a password all the same.
    threads : int
        Requests that are read and answered at once; most of them wait for images or their turn.
    at_once : int, optional
        Requests that compute at once; by default half of the processors.
    waiting : int
        Requests that may wait for their turn; more are answered with 503.
    patience : float
        Seconds after which one that waits is answered with 503; Label Studio itself gives up
        after 100.
    max_body : int
        Bytes of a request. Drafts hold masks, which take megabytes.
    max_webhook : int
        Bytes of a webhook, which nobody has to sign.
    training : bool
        Collect accepted annotations and train from them.

    Raises
    ------
    ValueError
        If a number is out of range, or other machines are let in without a password.
    """

    host: str = "127.0.0.1"
    port: int = 9090
    user: str = ""
    password: str = field(default="", repr=False)
    allow_anyone: bool = False
    threads: int = 40
    at_once: int | None = None
    waiting: int = 64
    patience: float = 90.0
    max_body: int = 64 * MEGABYTE
    max_webhook: int = 64 * MEGABYTE
    training: bool = True

    def __post_init__(self) -> None:
        """Refuse what is unsafe or cannot work."""
        if bool(self.user) != bool(self.password):
            raise ValueError("give both a user and a password, or neither")
        if not (self.local or self.user or self.allow_anyone):
            raise ValueError(
                f"{self.host} lets other machines in: set BASIC_AUTH_USER and BASIC_AUTH_PASS, or "
                "say --allow-anyone"
            )
        if not 0 <= self.port < 65536:
            raise ValueError(f"port must lie in 0 .. 65535, got {self.port}")
        for name in ("threads", "waiting", "patience", "max_body", "max_webhook"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")

    @property
    def local(self) -> bool:
        """Whether it listens to this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def trusts_setup(self) -> bool:
        """Whether those who call are known: on this machine, or with the password."""
        return self.local or bool(self.user)

    @property
    def turns(self) -> int:
        """``at_once``, chosen."""
        return self.at_once or max(1, (os.cpu_count() or 1) // 2)
