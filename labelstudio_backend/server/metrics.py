"""Counts for ``/metrics``, in the text form of Prometheus."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping


class Metrics:
    """Counts requests, by path and status, and the seconds that they took."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, int], int] = defaultdict(int)
        self._seconds: dict[str, float] = defaultdict(float)

    def count(self, path: str, status: int, seconds: float) -> None:
        """Take note of a request.

        Parameters
        ----------
        path : str
            One of the server's own.
        status : int
            Of the answer.
        seconds : float
            How long it took.
        """
        with self._lock:
            self._requests[path, status] += 1
            self._seconds[path] += seconds

    def text(self, gauges: Mapping[str, float]) -> str:
        """Write everything down.

        Parameters
        ----------
        gauges : mapping of str to float
            Further figures, by name.

        Returns
        -------
        str
        """
        with self._lock:
            requests, seconds = dict(self._requests), dict(self._seconds)
        lines = ["# TYPE sam_plugins_requests_total counter"]
        lines += [
            f'sam_plugins_requests_total{{path="{path}",status="{status}"}} {count}'
            for (path, status), count in sorted(requests.items())
        ]
        lines.append("# TYPE sam_plugins_request_seconds_total counter")
        lines += [
            f'sam_plugins_request_seconds_total{{path="{path}"}} {total:.6f}'
            for path, total in sorted(seconds.items())
        ]
        for name, value in gauges.items():
            lines += [f"# TYPE sam_plugins_{name} gauge", f"sam_plugins_{name} {value:g}"]
        return "\n".join(lines) + "\n"
