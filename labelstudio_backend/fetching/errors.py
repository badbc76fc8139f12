"""Why an image was not fetched; each kind has the HTTP status with which a server answers it."""

from __future__ import annotations

from sam_plugins.errors import SamPluginsError

SHOWN_CHARACTERS = 100


class FetchError(SamPluginsError):
    """An image could not be fetched. ``status`` is the HTTP status of the answer."""

    status = 422


class BadURLError(FetchError, ValueError):
    """The address of the image is malformed, or of a kind that is not fetched."""

    status = 400


class RefusedAddressError(FetchError, PermissionError):
    """The address lies where this server must not look: a private network, another folder."""

    status = 403


class ImageNotFoundError(FetchError, FileNotFoundError):
    """There is nothing at this address."""

    status = 404


class TooLargeError(FetchError, ValueError):
    """The image has more bytes or more pixels than is allowed."""

    status = 413


class UnsupportedFormatError(FetchError, ValueError):
    """What was fetched is no image of a format that is allowed, or a damaged one."""

    status = 415


class TokenRefusedError(FetchError, PermissionError):
    """Label Studio did not accept the token; the message says which setting to change."""

    # Not 401: it is not the caller whose name and password are wrong.
    status = 424


def shown(value: object) -> str:
    """A value of a request as a message may hold it: on one line, and short.

    Examples
    --------
    >>> shown("a\\nb")
    "'a\\\\nb'"
    >>> len(shown("a" * 300))
    100
    """
    text = repr(value[:SHOWN_CHARACTERS] if isinstance(value, str | bytes) else value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."
