"""JSON files of annotations: whole or not there, and errors that say where in the file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sam_plugins.errors import AnnotationFileError
from sam_plugins.files import atomic_path

StrPath = str | os.PathLike[str]
Color = tuple[int, int, int]


def write_json(path: StrPath, content: Any) -> None:
    """Write a JSON file.

    Parameters
    ----------
    path : path-like
        The file.
    content : object
        Of what JSON knows; numbers must be finite.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def read_json(path: StrPath, *, list_as: str | None = None) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Parameters
    ----------
    path : path-like
        The file.
    list_as : str, optional
        If the file holds a list, give an object with the list under this key.

    Returns
    -------
    dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    AnnotationFileError
        If it is damaged, no JSON, or holds something else than an object.
    """
    try:
        # utf-8-sig: some programs begin a file with a byte order mark.
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AnnotationFileError(f"{path} is damaged or no JSON: {error}") from error
    if isinstance(content, list) and list_as is not None:
        return {list_as: content}
    if not isinstance(content, dict):
        raise AnnotationFileError(
            f"{path} must hold a JSON object, but holds a {type(content).__name__}"
        )
    return content


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Say where in a file something was wrong.

    Parameters
    ----------
    where : str
        The file and the part of it.

    Yields
    ------
    None

    Raises
    ------
    AnnotationFileError
        For errors of the block that malformed content causes.
    """
    try:
        yield
    except AnnotationFileError:
        raise
    except KeyError as error:
        raise AnnotationFileError(f"{where} is malformed: {error} is missing") from error
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise AnnotationFileError(f"{where} is malformed: {error}") from error


def as_list(content: dict[str, Any], key: str) -> list[Any]:
    """A list that must be in an object.

    Parameters
    ----------
    content : dict
        From a JSON file.
    key : str
        Where in it.

    Returns
    -------
    list

    Raises
    ------
    ValueError
        If something else is there.
    """
    value = content[key]
    if not isinstance(value, list):
        raise ValueError(f"{key!r} must be a list, got {type(value).__name__}")
    return value


def as_color(value: Any) -> Color | None:
    """A colour of a JSON file: three numbers, or QuPath's one number, or none.

    Parameters
    ----------
    value : object
        [red, green, blue] of 0 to 255, the same packed into one integer, or None.

    Returns
    -------
    tuple of int or None

    Raises
    ------
    ValueError
        If it is something else.

    Examples
    --------
    >>> as_color([200, 0, 0]), as_color(-3670016), as_color(None)
    ((200, 0, 0), (200, 0, 0), None)
    """
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return (value >> 16) & 255, (value >> 8) & 255, value & 255
    if isinstance(value, list) and len(value) == 3:
        red, green, blue = (int(part) for part in value)
        if all(0 <= part <= 255 for part in (red, green, blue)):
            return red, green, blue
    raise ValueError(f"a colour is three numbers from 0 to 255, got {value!r}")


def as_score(value: Any) -> float | None:
    """A score of a JSON file, or None where there is none.

    Parameters
    ----------
    value : object
        A finite number or None.

    Returns
    -------
    float or None

    Raises
    ------
    ValueError
        If it is something else.
    """
    if value is None:
        return None
    score = float(value)
    if not math.isfinite(score):
        raise ValueError(f"a score is a finite number, got {value!r}")
    return score
