"""Sharing work among threads, PyTorch's own where there are any."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

Part = TypeVar("Part")

# In a process that was forked since, OpenMP's threads are missing, and it would wait for them.
_PROCESS = os.getpid()
_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def share(
    parts: Iterable[Part],
    work: Callable[[Iterator[Part]], None],
    *,
    threads: int | None = None,
) -> None:
    """Call a function in several threads at once; each takes parts until none is left.

    Parameters
    ----------
    parts : iterable
        The parts of the work.
    work : callable
        Takes an iterator of parts. It should let other threads run while it works on one.
    threads : int, optional
        At most so many, and not more than parts; by default as many as PyTorch uses, or one a
        processor core while there is no PyTorch.

    Notes
    -----
    Where PyTorch runs by GNU OpenMP, the threads are its own: for milliseconds after each of its
    operations these look out for the next one, and others would have to share the cores with them.

    Examples
    --------
    >>> found = []
    >>> share([1, 2, 3], lambda parts: found.extend(2 * part for part in parts))
    >>> sorted(found)
    [2, 4, 6]
    """
    items = list(parts)
    remaining, count = iter(items), min(threads or default_threads(), len(items))
    if count < 2:
        work(remaining)
        return
    team = _openmp() if "torch" in sys.modules and os.getpid() == _PROCESS else None
    if team is None:
        with ThreadPoolExecutor(count) as pool:
            for done in [pool.submit(work, remaining) for _ in range(count)]:
                done.result()
    else:
        _share_in_team(team, count, lambda: work(remaining))


def default_threads() -> int:
    """Tell how many threads work is shared among.

    Returns
    -------
    int
    """
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else os.cpu_count() or 1


def _share_in_team(team: Any, threads: int, work: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def call(_: Any) -> None:
        # An exception does not get out of a thread that is not Python's.
        try:
            work()
        except BaseException as error:
            failures.append(error)

    team.GOMP_parallel(_CALLBACK(call), None, ctypes.c_uint(threads), ctypes.c_uint(0))
    if failures:
        raise failures[0]


@cache
def _openmp() -> Any:
    """Give the GNU OpenMP that PyTorch has loaded; None if it uses another."""
    if sys.platform != "linux":
        return None
    torch = sys.modules["torch"]
    for path in (Path(str(torch.__file__)).parent / "lib").glob("libgomp*.so*"):
        library = ctypes.CDLL(str(path))
        if hasattr(library, "GOMP_parallel"):
            return library
    return None
