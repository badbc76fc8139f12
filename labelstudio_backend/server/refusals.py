"""What waitress refuses before the application sees it, answered as everything else: as JSON."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask
from waitress.utilities import BadRequest

# Of what waitress says, which may repeat the request.
MOST_CHARACTERS = 200
# What is thrown away of a request after it was refused: who still sends would not see the answer.
MOST_IGNORED_BYTES = 1_000_000_000
_PIECE_BYTES = 1 << 16
_BAD_REQUEST, _NOT_IMPLEMENTED = 400, 501


class Parser(HTTPRequestParser):
    """Reads requests; a number that Python does not read is malformed as well."""

    def received(self, data: bytes) -> int:
        """Take some bytes, and say how many were used."""
        try:
            return int(super().received(data))
        except ValueError:
            self.error: Any = BadRequest("a number is out of all bounds")
            self.completed = True
            return len(data)


class RefusalTask(ErrorTask):
    """Answers a request that is no HTTP, or too large."""

    def execute(self) -> None:
        """Write the answer."""
        request: Any = self.request
        error = request.error
        # A way of transfer that nobody has asked for is the client's fault.
        code = _BAD_REQUEST if error.code == _NOT_IMPLEMENTED else error.code
        reason = " ".join(f"{error.reason}: {error.body}".split())[:MOST_CHARACTERS]
        body = json.dumps({"error": reason}).encode()
        self.status = f"{code} {error.reason}"
        self.response_headers = [*self.response_headers, ("Content-Type", "application/json")]
        channel: Any = self.channel
        channel.is_refused = True
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class Channel(HTTPChannel):
    """A connection whose errors are JSON, and reach also those who still send."""

    parser_class = Parser
    error_task_class = RefusalTask
    is_refused = False
    # Bytes that are still thrown away; None before the answer is out.
    _ignored: int | None = None

    def handle_close(self) -> None:
        """Close; after a refusal only one way, until the other side has seen it."""
        if self.is_refused and self._ignored is None and self.socket is not None:
            self._ignored = MOST_IGNORED_BYTES
            self.will_close = self.close_when_flushed = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        super().handle_close()

    def readable(self) -> bool:
        """Whether more is taken."""
        return self._ignored is not None or bool(super().readable())

    def handle_read(self) -> None:
        """Take some bytes; none that were refused are kept."""
        if self._ignored is None:
            super().handle_read()
            return
        data = self.recv(_PIECE_BYTES)
        self._ignored -= len(data)
        if self.connected and (not data or self._ignored < 0):
            super().handle_close()
