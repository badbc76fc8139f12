"""Files of this machine, only those below a folder that the person who runs the server named."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from labelstudio_backend.fetching.errors import (
    BadURLError,
    ImageNotFoundError,
    RefusedAddressError,
    TooLargeError,
    shown,
)


def read_below(root: Path, relative: str, *, max_bytes: int) -> bytes:
    """Read a file below a folder.

    Parameters
    ----------
    root : Path
        The folder.
    relative : str
        The file's path in it, decoded, with forward slashes.
    max_bytes : int
        How large it may be.

    Returns
    -------
    bytes

    Raises
    ------
    BadURLError
        If the path is malformed.
    RefusedAddressError
        If it leads out of the folder, also by a link, or to something other than a file.
    ImageNotFoundError
        If there is no such file.
    TooLargeError
        If the file is too large.
    """
    if not relative or "\x00" in relative or "\\" in relative or len(relative) > 4096:
        raise BadURLError(f"{shown(relative)} is no path of a file, with forward slashes")
    handle = _opened_below(root, relative)
    try:
        kind = os.fstat(handle)
        if not stat.S_ISREG(kind.st_mode):
            raise _outside(relative)
        if kind.st_size > max_bytes:
            raise TooLargeError(f"the file {shown(relative)} has more than {max_bytes} bytes")
        with open(handle, "rb", closefd=False) as stream:
            # Not more: Python takes the memory for all that it is asked to read.
            return stream.read(kind.st_size)
    finally:
        os.close(handle)


def _opened_below(root: Path, relative: str) -> int:
    """Open a path below a folder, whatever it is; links are followed while they stay inside."""
    parts = relative.strip("/").split("/")
    if ".." in parts:
        raise _outside(relative)
    try:
        top = root.resolve(strict=True)
        path = top.joinpath(*parts).resolve(strict=True)
        if path.is_relative_to(top):
            # O_NONBLOCK: opening a pipe would wait for its writer. O_NOFOLLOW: the path has no
            # links left, and if it ends in one now, somebody put it there meanwhile.
            return os.open(path, os.O_RDONLY | _flag("O_NONBLOCK") | _flag("O_NOFOLLOW"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageNotFoundError(f"there is no file {shown(relative)}") from error
    # A circle of links is a RuntimeError, or an OSError in later versions of Python.
    except (OSError, RuntimeError) as error:
        raise _outside(relative) from error
    raise _outside(relative)


def _outside(relative: str) -> RefusedAddressError:
    return RefusedAddressError(f"{shown(relative)} is not a file below the folder of images")


def _flag(name: str) -> int:
    """A flag of ``os.open``; zero where the system does not have it."""
    return getattr(os, name, 0)
