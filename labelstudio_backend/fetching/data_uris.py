"""Images that stand in the task itself: ``data:image/png;base64,...``."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from labelstudio_backend.fetching.errors import BadURLError, TooLargeError, shown


def decode_data_uri(uri: str, *, max_bytes: int) -> bytes:
    """The bytes of a data URI.

    Parameters
    ----------
    uri : str
        ``data:[type][;base64],...``; what it holds is found by the bytes, not by the type.
    max_bytes : int
        How many there may be; checked before they are decoded.

    Returns
    -------
    bytes

    Raises
    ------
    BadURLError
        If it is malformed.
    TooLargeError
        If it is too long.

    Examples
    --------
    >>> decode_data_uri("data:image/gif;base64,R0lGODlh", max_bytes=10)
    b'GIF89a'
    """
    head, comma, body = uri.partition(",")
    if not comma or head[:5].lower() != "data:":
        raise BadURLError(f"{shown(uri)} is no data URI: expected data:image/png;base64,...")
    # Either encoding takes at most four characters a byte, or nearly.
    if len(body) > 4 * max_bytes:
        raise TooLargeError(f"the data URI has more than {max_bytes} bytes")
    try:
        data = unquote_to_bytes(body)
        if head.lower().endswith(";base64"):
            data = base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadURLError(f"the data URI {shown(uri)} is damaged: {error}") from error
    if len(data) > max_bytes:
        raise TooLargeError(f"the data URI has more than {max_bytes} bytes")
    return data
