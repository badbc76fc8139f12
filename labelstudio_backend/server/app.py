"""``Application``: the paths that Label Studio asks, as a WSGI application."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol

from labelstudio_backend.answering import (
    BadRequestError,
    PredictRequest,
    Service,
    SetupRequest,
)
from labelstudio_backend.answering.service import TaskAnswer
from labelstudio_backend.server.admission import Admission
from labelstudio_backend.server.bodies import Environ, digest, parse_json, read_body
from labelstudio_backend.server.coalescing import Coalescing
from labelstudio_backend.server.metrics import Metrics
from labelstudio_backend.server.settings import ServerSettings
from sam_plugins.errors import SamPluginsError

LOGGER = logging.getLogger(__name__)

# What an error without a status of its own means: the request was understood, and cannot be done.
UNPROCESSABLE = 422

Answer = tuple[int, Any]


class Listener(Protocol):
    """Who wants to know what happens in Label Studio."""

    def on_predict(self, request: PredictRequest) -> None:
        """Somebody looks at a task."""

    def on_event(self, event: dict[str, Any]) -> dict[str, Any]:
        """A webhook came; what is answered."""

    def close(self) -> None:
        """The server ends."""


class Application:
    """Answers requests; may be called by many threads.

    Parameters
    ----------
    service : Service
    settings : ServerSettings
    listener : Listener
        Prefetching and learning.
    """

    def __init__(self, service: Service, settings: ServerSettings, listener: Listener) -> None:
        self.service = service
        self.settings = settings
        self.listener = listener
        self.metrics = Metrics()
        self._admission = Admission(settings)
        self._coalescing: Coalescing[list[TaskAnswer]] = Coalescing()
        self._routes: dict[tuple[str, str], Callable[[Environ], Answer]] = {
            ("GET", "/"): self._health,
            ("GET", "/health"): self._health,
            ("POST", "/setup"): self._setup,
            ("POST", "/predict"): self._predict,
            ("POST", "/webhook"): self._webhook,
            ("GET", "/versions"): self._versions,
            ("GET", "/metrics"): self._metrics,
        }

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request; see PEP 3333."""
        start = time.monotonic()
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO") or "/"
        path = path.rstrip("/") or "/"
        status, content = self._answer(method, path, environ)
        known = path if any(path == route for _, route in self._routes) else "other"
        self.metrics.count(known, status, time.monotonic() - start)
        body, kind = _encoded(content)
        headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if status == HTTPStatus.UNAUTHORIZED:
            headers.append(("WWW-Authenticate", 'Basic realm="sam-plugins"'))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append(("Retry-After", "5"))
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [b""] if method == "HEAD" else [body]

    def _answer(self, method: str, path: str, environ: Environ) -> Answer:
        route = self._routes.get(("GET" if method == "HEAD" else method, path))
        if route is None:
            allowed = [name for name, known in self._routes if known == path]
            if allowed:
                return HTTPStatus.METHOD_NOT_ALLOWED, {"error": f"{path} takes {allowed[0]}"}
            return HTTPStatus.NOT_FOUND, {"error": "there is nothing at this path"}
        try:
            self._admission.check_address(environ)
            # Label Studio's webhooks carry no password.
            if path != "/webhook":
                self._admission.check_password(environ)
            return route(environ)
        except SamPluginsError as error:
            status = int(getattr(error, "status", None) or UNPROCESSABLE)
            LOGGER.info("%s %s: %d: %s", method, path, status, error)
            return status, {"error": str(error)}
        except Exception:
            number = secrets.token_hex(4)
            LOGGER.exception("%s %s failed (%s)", method, path, number)
            text = f"an error in the backend; its log has the reason under {number}"
            return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": text}

    # ---- paths -----------------------------------------------------------------------------

    def _health(self, environ: Environ) -> Answer:
        return 200, {"status": "UP", "model_class": "SamBackend"}

    def _setup(self, environ: Environ) -> Answer:
        request = SetupRequest.read(self._json(environ))
        return 200, {"model_version": self.service.set_up(request)}

    def _predict(self, environ: Environ) -> Answer:
        body = read_body(environ, self.settings.max_body)
        request = PredictRequest.read(parse_json(body))
        key = digest(body, self.service.model_version(request.project))
        results = self._coalescing.run(key, lambda: self.service.predict(request))
        self.listener.on_predict(request)
        return 200, {"results": results}

    def _webhook(self, environ: Environ) -> Answer:
        event = parse_json(read_body(environ, self.settings.max_webhook))
        if not isinstance(event, dict):
            raise BadRequestError("a webhook's body must be an object")
        if event.get("action") == "START_TRAINING":
            # It comes with the password, and is more than a hint that something has changed.
            self._admission.check_password(environ)
        return 201, self.listener.on_event(event)

    def _versions(self, environ: Environ) -> Answer:
        version = self.service.model.version
        return 200, {"versions": [version], "message": f"{version} answers"}

    def _metrics(self, environ: Environ) -> Answer:
        gauges: dict[str, float] = {"model_loaded": float(self.service.model.loaded)}
        waiting = getattr(self.service.turns, "waiting", None)
        if waiting is not None:
            gauges["waiting_requests"] = waiting
        if self.service.model.loaded:
            statistics = self.service.model.current.predictor.cache.statistics
            gauges["embedding_cache_hits"] = statistics.hits
            gauges["embedding_cache_misses"] = statistics.misses
        return 200, self.metrics.text(gauges)

    def _json(self, environ: Environ) -> Any:
        return parse_json(read_body(environ, self.settings.max_body))


def _encoded(content: Any) -> tuple[bytes, str]:
    if isinstance(content, str):
        return content.encode(), "text/plain; version=0.0.4; charset=utf-8"
    return json.dumps(content, separators=(",", ":")).encode(), "application/json"
