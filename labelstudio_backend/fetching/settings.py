"""Where images may come from, and how large they may be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from labelstudio_backend.fetching.origins import Origin, WebAddress

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class FetchSettings:
    """What an `ImageFetcher` may do.

    Parameters
    ----------
    label_studio_url : str
        Label Studio's address as this machine reaches it; empty if it is not known.
    api_key : str
        Legacy or personal access token; empty for none. Sent to ``label_studio_url`` alone.
    local_files_root : Path or None
        The folder that Label Studio serves as ``/data/local-files/?d=``
        (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT), if this machine has it too. None: such files are
        asked of Label Studio.
    allowed_origins : tuple of str
        Origins in private networks from which images may come, as ``http://minio:9000``.
    max_bytes, max_pixels : int
        Of one image.
    seconds : float
        For getting one image.
    ca_file : str, optional
        PEM file of authorities to trust instead of the system's.
    """

    label_studio_url: str = ""
    api_key: str = field(default="", repr=False)
    local_files_root: Path | None = None
    allowed_origins: tuple[str, ...] = ()
    max_bytes: int = 100 * MEGABYTE
    max_pixels: int = 100 * MEGABYTE
    seconds: float = 30.0
    ca_file: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, with the value and what would."""
        for url in (*self.allowed_origins, *filter(None, [self.label_studio_url])):
            WebAddress.parse(url)
        if min(self.max_bytes, self.max_pixels) < 1 or not self.seconds > 0:
            raise ValueError(
                f"max_bytes {self.max_bytes}, max_pixels {self.max_pixels} and seconds "
                f"{self.seconds} must be above zero"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> FetchSettings:
        """The settings of the environment.

        Parameters
        ----------
        environment : mapping
            LABEL_STUDIO_URL or LABEL_STUDIO_HOST, LABEL_STUDIO_API_KEY or
            LABEL_STUDIO_ACCESS_TOKEN, LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT,
            SAM_PLUGINS_ALLOW_ORIGINS (separated by commas), REQUESTS_CA_BUNDLE.

        Returns
        -------
        FetchSettings

        Raises
        ------
        BadURLError
            If an address is malformed.

        Examples
        --------
        >>> FetchSettings.from_environment({"LABEL_STUDIO_HOST": "http://localhost:8080"})
        ... # doctest: +ELLIPSIS
        FetchSettings(label_studio_url='http://localhost:8080', local_files_root=None, ...)
        """
        root = environment.get("LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT", "").strip()
        origins = environment.get("SAM_PLUGINS_ALLOW_ORIGINS", "").split(",")
        return cls(
            label_studio_url=_first(environment, "LABEL_STUDIO_URL", "LABEL_STUDIO_HOST"),
            api_key=_first(environment, "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"),
            local_files_root=Path(root) if root else None,
            allowed_origins=tuple(origin.strip() for origin in origins if origin.strip()),
            ca_file=environment.get("REQUESTS_CA_BUNDLE") or None,
        )

    def with_setup(self, hostname: str, access_token: str) -> FetchSettings:
        """The settings with what Label Studio sends to ``/setup``, where nothing is configured.

        Parameters
        ----------
        hostname, access_token : str
            Label Studio's own address and its project owner's legacy token. To be passed on only
            from a caller who is trusted: whoever names the address gets the token.

        Returns
        -------
        FetchSettings
            The token is taken if none is configured, the address if neither is: a configured token
            never goes to an address that a request names.

        Raises
        ------
        BadURLError
            If ``hostname`` is malformed.
        """
        if self.api_key:
            return self
        if self.label_studio_url:
            return replace(self, api_key=access_token)
        return replace(self, label_studio_url=hostname.rstrip("/"), api_key=access_token)

    @property
    def label_studio(self) -> Origin | None:
        """Label Studio's origin; None if it is not known."""
        return WebAddress.parse(self.label_studio_url).origin if self.label_studio_url else None

    @property
    def named_origins(self) -> frozenset[Origin]:
        """``allowed_origins``, split."""
        return frozenset(WebAddress.parse(url).origin for url in self.allowed_origins)


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((v for name in names if (v := environment.get(name, "").strip())), "").rstrip("/")
