"""``Coalescing``: one answer for all who ask the same at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Coalescing(Generic[T]):
    """Lets simultaneous identical requests share one answer.

    Label Studio asks twice when a task is opened, which would make every prediction twice.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[T]] = {}

    def run(self, key: str, work: Callable[[], T]) -> T:
        """Do the work, or wait for the one who does it already.

        Parameters
        ----------
        key : str
            Tells requests apart.
        work : callable
            Makes the answer. What it raises goes to all who wait.

        Returns
        -------
        object
            The same one for all.
        """
        with self._lock:
            others = self._under_way.get(key)
            if others is None:
                own: Future[T] = Future()
                self._under_way[key] = own
        if others is not None:
            return others.result()
        try:
            answer = work()
        except BaseException as error:
            self._end(key)
            own.set_exception(error)
            raise
        self._end(key)
        own.set_result(answer)
        return answer

    def _end(self, key: str) -> None:
        with self._lock:
            del self._under_way[key]
