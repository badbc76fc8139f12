"""Downloading checkpoints: verified, one process at a time, never half-written.

A download grows in ``NAME.partial`` and gets its name only when it is complete and its SHA-256 is
right. Whatever stops it, also a killed process, leaves at most the partial file, and the next call
goes on from there. `sam_plugins.checkpoints.transfer` moves the bytes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sam_plugins.checkpoints.locations import models_directory
from sam_plugins.checkpoints.registry import find_entry
from sam_plugins.checkpoints.transfer import transfer
from sam_plugins.errors import CheckpointNotFoundError, DownloadError

Progress = Callable[[int, int], None]

# How often a process that waits for another one's download reports its progress, in seconds.
WAITING_STEP = 0.25


def download(
    name: str,
    *,
    progress: Progress | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Download a model of the registry unless it is there already.

    Parameters
    ----------
    name : str
        A name in `REGISTRY`.
    progress : callable, optional
        Called with (done, total) bytes now and then; total is 0 while it is unknown. Not called
        if the file is there. Its exceptions stop the download, which a later call resumes.
    cache_dir : path-like, optional
        In place of `cache_directory`.

    Returns
    -------
    Path
        The checkpoint, complete and verified.

    Raises
    ------
    CheckpointNotFoundError
        If the name is unknown, or the model ships inside the package and is missing there.
    DownloadError
        If the network, the server, the disk or the folder stands in the way, or if what came is
        not the expected file.
    """
    entry = find_entry(name)
    path = entry.path(cache_dir)
    if entry.url is None:
        if not path.is_file():
            raise CheckpointNotFoundError(
                f"the model {name!r} ships inside the package but {path} is missing: install "
                "sam-plugins again"
            )
        return path
    return fetch(entry.url, path, sha256=entry.sha256, size=entry.bytes, progress=progress)


def download_url(
    url: str,
    *,
    progress: Progress | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Download a checkpoint from any HTTP(S) address unless it is there already.

    Parameters
    ----------
    url : str
        The address. What was downloaded from it before is used without asking the server again.
    progress, cache_dir
        See `download`.

    Returns
    -------
    Path
        ``<cache>/models/<hash of the URL>-<last part of the URL>``.

    Raises
    ------
    DownloadError
        See `download`.

    Notes
    -----
    Nothing is known about the file beforehand, so its content is not verified beyond its length,
    and a partial file of an earlier call is begun anew: the file at the address may have changed.
    """
    path = models_directory(cache_dir) / url_file_name(url)
    return fetch(url, path, sha256=None, size=None, progress=progress)


def url_file_name(url: str) -> str:
    """Name under which a URL's file is kept: different URLs never share one.

    Parameters
    ----------
    url : str
        Address of a checkpoint.

    Returns
    -------
    str
        The beginning of the address's SHA-256 in hexadecimal, a hyphen, and the last part of its
        path with letters, digits, ``.``, ``_`` and ``-`` alone.

    Examples
    --------
    >>> name = url_file_name("https://example.org/weights/my%20model.pth?version=2")
    >>> name.partition("-")[2]
    'my_model.pth'
    """
    basename = unquote(urlsplit(url).path).rpartition("/")[2]
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", basename)[-80:] or "checkpoint"
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{safe}"


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str | None,
    size: int | None,
    progress: Progress | None = None,
) -> Path:
    """Download a URL to a path unless it is there already.

    Parameters
    ----------
    url : str
        An HTTP(S) address.
    path : Path
        The final path. Its folder is made if it is missing.
    sha256 : str or None
        Expected SHA-256 in hexadecimal; None accepts any content and resumes no earlier call.
    size : int or None
        Expected size in bytes, if it is known. A file of another size is replaced.
    progress : callable, optional
        See `download`.

    Returns
    -------
    Path
        The same path.

    Raises
    ------
    DownloadError
        See `download`.
    """
    if _is_there(path, size):
        return path
    partial = path.with_name(path.name + ".partial")
    with _clear_errors(url, path, partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _only_process(path, partial, size or 0, progress):
            if not _is_there(path, size):
                _fetch_verified(url, partial, sha256=sha256, size=size, progress=progress)
                partial.replace(path)
    return path


def _is_there(path: Path, size: int | None) -> bool:
    return path.is_file() and size in (None, path.stat().st_size)


def _fetch_verified(
    url: str, partial: Path, *, sha256: str | None, size: int | None, progress: Progress | None
) -> None:
    """Fill the partial file; remove it if its content turns out to be wrong."""
    from pooch import file_hash

    if sha256 is None:
        partial.unlink(missing_ok=True)
    resumed = partial.is_file() and partial.stat().st_size > 0
    transfer(url, partial, size=size, progress=progress)
    if sha256 is None:
        return
    found = file_hash(str(partial), alg="sha256")
    if found == sha256:
        return
    partial.unlink()
    if resumed:
        # The earlier part may be of another version or damaged; a fresh download tells.
        return _fetch_verified(url, partial, sha256=sha256, size=size, progress=progress)
    raise DownloadError(
        f"{url} is not the expected file: its SHA-256 is {found} and not {sha256}; it was removed"
    )


@contextmanager
def _only_process(
    path: Path, partial: Path, total: int, progress: Progress | None
) -> Iterator[None]:
    """Hold the file's lock; while another process holds it, report that one's progress."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    while True:
        try:
            lock.acquire(timeout=WAITING_STEP)
            break
        except Timeout:
            if progress is not None and partial.is_file():
                progress(partial.stat().st_size, total)
        except NotImplementedError as error:
            raise OSError(errno.ENOTSUP, "the folder's file system has no file locks") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _clear_errors(url: str, path: Path, partial: Path) -> Iterator[None]:
    """Turn errors of the disk and of the folder into one clear line."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full"
            # Kept, it would take the last room from everybody else.
            partial.unlink(missing_ok=True)
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            reason = "the folder cannot be written to; SAM_PLUGINS_CACHE names another one"
        raise DownloadError(f"cannot download {url} to {path.parent}: {reason}") from error
