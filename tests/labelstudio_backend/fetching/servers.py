"""HTTP servers of the tests; each remembers what it was asked."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

LEGACY_TOKEN = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query)


Reply = tuple[int, Mapping[str, str], bytes]


class Server:
    """Answers every request by a function, in threads, on a free port of the loopback."""

    def __init__(
        self, answer: Callable[[Request], Reply], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                request = Request(
                    self.command, self.path, dict(self.headers), self.rfile.read(length)
                )
                outer.requests.append(request)
                if outer.misbehave(request, self):
                    return
                status, headers, body = outer._answer(request)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                """Not on the terminal of the tests."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that leaves is what many tests are about."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def misbehave(self, request: Request, handler: BaseHTTPRequestHandler) -> bool:
        """Answer a request by hand; whether that was done."""
        return False

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def jwt(**claims: Any) -> str:
    """A token of Label Studio's form; nobody here checks the signature."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join((*encoded, "c2lnbmF0dXJl"))


PERSONAL_TOKEN = jwt(token_type="refresh", exp=8_000_000_000, iat=1)


@dataclass
class Tokens:
    """Which tokens the small Label Studio takes."""

    legacy_enabled: bool = True
    personal_enabled: bool = True
    seconds: int = 300
    exchanged: list[str] = field(default_factory=list)
    accepted: set[str] = field(default_factory=set)


class LabelStudioServer(Server):
    """Uploads, local files and presigned addresses behind a token, as in Label Studio 1.23."""

    def __init__(self, png: bytes, *, base: str = "") -> None:
        super().__init__(self._reply)
        self.png = png
        self.base = base
        self.tokens = Tokens()
        self.storage_url = ""

    def _reply(self, request: Request) -> Reply:
        path = request.path.removeprefix(self.base)
        if path == "/api/token/refresh/":
            return self._exchange(json.loads(request.body)["refresh"])
        if refusal := self._refusal(request.headers.get("Authorization", "")):
            return 401, {}, json.dumps({"detail": refusal}).encode()
        if path in ("/data/upload/1/a.png", "/data/upload/1/a b.png", "/data/upload/1/a%20b.png"):
            return 200, {"Content-Type": "image/png"}, self.png
        if path.startswith("/data/local-files") and request.query.get("d") == ["a.png"]:
            return 200, {"Content-Type": "image/png"}, self.png
        if path == "/tasks/7/presign/":
            return 303, {"Location": self.storage_url}, b""
        return 404, {}, b"{}"

    def _exchange(self, token: str) -> Reply:
        if token != PERSONAL_TOKEN or not self.tokens.personal_enabled:
            return 401, {}, b'{"detail": "Token is invalid or expired"}'
        now = int(time.time())
        access = jwt(
            token_type="access",
            iat=now,
            exp=now + self.tokens.seconds,
            number=len(self.tokens.exchanged),
        )
        self.tokens.exchanged.append(access)
        self.tokens.accepted = {f"Bearer {access}"}
        return 200, {}, json.dumps({"access": access}).encode()

    def _refusal(self, authorization: str) -> str:
        if authorization == f"Token {LEGACY_TOKEN}":
            disabled = "legacy token authentication has been disabled for this organization"
            return (
                ""
                if self.tokens.legacy_enabled
                else f"Authentication token no longer valid: {disabled}"
            )
        if authorization in self.tokens.accepted:
            return ""
        return "Authentication credentials were not provided."


class HostileServer(Server):
    """Behaves as the path says; see `misbehave`."""

    def __init__(self, png: bytes) -> None:
        super().__init__(self._reply)
        self.png = png
        self.bodies: dict[str, bytes] = {}

    def _reply(self, request: Request) -> Reply:
        if request.path == "/redirect":
            status = int(request.query.get("status", ["302"])[0])
            return status, {"Location": request.query["to"][0]}, b""
        if request.path == "/loop":
            return 302, {"Location": "/loop"}, b""
        if request.path == "/gzip":
            return 200, {"Content-Encoding": "gzip"}, self.png
        if request.path.startswith("/status/"):
            return int(request.path.rpartition("/")[2]), {}, b"<html>no</html>"
        return 200, {}, self.bodies.get(request.path, self.png)

    def misbehave(self, request: Request, handler: BaseHTTPRequestHandler) -> bool:
        connection: socket.socket = handler.connection
        raw = {
            "/no-http": b"SSH-2.0-OpenSSH_9.2\r\n",
            "/silent": b"",
            "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + self.png,
            "/huge-length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n" + self.png,
            "/bad-chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
            "/long-line": b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n",
            "/many-headers": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
            "/no-status": b"HTTP/1.1 abc\r\n\r\n",
            "/redirect-nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
        }
        if request.path in raw:
            connection.sendall(raw[request.path])
            handler.close_connection = True
            return True
        drip = {"/drip-head": b"HTTP/1.1 200 OK\r\nX: ", "/drip-body": b"HTTP/1.1 200 OK\r\n\r\n"}
        if request.path in drip:
            return self._drip(connection, drip[request.path])
        if request.path == "/endless":
            return self._endless(connection)
        if request.path == "/hang":
            time.sleep(5)
            return True
        return False

    def _drip(self, connection: socket.socket, beginning: bytes) -> bool:
        connection.sendall(beginning)
        for _ in range(200):
            connection.sendall(b"a")
            time.sleep(0.05)
        return True

    def _endless(self, connection: socket.socket) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + self.png)
        while True:
            connection.sendall(b"\0" * 65536)
