"""Bodies of requests: read within bounds, and as JSON that a browser's page could not forge."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from labelstudio_backend.answering import BadRequestError

Environ = dict[str, Any]


def read_body(environ: Environ, most: int) -> bytes:
    """Read a request's body.

    Parameters
    ----------
    environ : dict
        Of WSGI.
    most : int
        Bytes that it may have.

    Returns
    -------
    bytes

    Raises
    ------
    BadRequestError
        If it is longer, ends early, or is not declared as JSON: pages of other sites can send
        forms and plain text from a browser, but no JSON.
    """
    kind = str(environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()
    if kind != "application/json":
        raise BadRequestError("the content type must be application/json", 415)
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError as error:
        raise BadRequestError("the content length is no number") from error
    if length > most:
        raise BadRequestError(f"the request has {length} bytes, more than {most}", 413)
    body: bytes = environ["wsgi.input"].read(max(length, 0))
    if len(body) < length:
        raise BadRequestError("the request ended early")
    return body


def parse_json(body: bytes) -> Any:
    """Parse JSON as its standard has it.

    Parameters
    ----------
    body : bytes

    Returns
    -------
    object

    Raises
    ------
    BadRequestError
        If it is none, holds numbers that are none, names something twice, or is nested beyond
        reason.
    """
    try:
        return json.loads(
            body.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_without_twins
        )
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the request is no JSON: {str(error)[:200]}") from error


def digest(body: bytes, *more: str) -> str:
    """Tell requests apart.

    Parameters
    ----------
    body : bytes
    *more : str
        Whatever else makes a difference.

    Returns
    -------
    str
    """
    return hashlib.sha256("\n".join(more).encode() + b"\0" + body).hexdigest()


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object: of two values under one name, some programs would take the other one."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"an object names something twice, among {list(found)[:5]}")
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
