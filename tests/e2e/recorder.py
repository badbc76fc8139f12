"""Takes down what Label Studio asks our backend, and what it answers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.protocol.brush_rle import decode
from labelstudio_backend.server.app import Application


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    status: int
    answer: Any

    @property
    def context(self) -> list[dict[str, Any]] | None:
        """The prompts of a click; None if it was none."""
        if self.path != "/predict":
            return None
        context = self.body["params"]["context"]
        return None if context is None else context["result"]

    @property
    def masks(self) -> list[NDArray[np.bool_]]:
        """The masks of the first task's answer."""
        return masks_of(self.answer["results"][0]["result"])


class Recorder:
    """An application between the server and ours, that changes nothing.

    Parameters
    ----------
    application : Application
    """

    def __init__(self, application: Application) -> None:
        self.application = application
        self.settings, self.listener = application.settings, application.listener
        self.exchanges: list[Exchange] = []

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Pass a request on; see PEP 3333."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status = 0

        def start(line: str, *more: Any) -> Any:
            nonlocal status
            status = int(line.split()[0])
            return start_response(line, *more)

        chunks = list(self.application({**environ, "wsgi.input": io.BytesIO(body)}, start))
        self.exchanges.append(
            Exchange(
                environ["REQUEST_METHOD"],
                environ["PATH_INFO"],
                _headers(environ),
                json.loads(body) if body else None,
                status,
                _json(b"".join(chunks)),
            )
        )
        return chunks

    @property
    def clicks(self) -> list[Exchange]:
        """The smart prompts."""
        return [each for each in self.exchanges if each.context is not None]


def masks_of(regions: list[dict[str, Any]]) -> list[NDArray[np.bool_]]:
    """The brush masks among a result's regions."""
    return [
        decode(each["value"]["rle"], (each["original_height"], each["original_width"]))
        for each in regions
        if each["type"] == "brushlabels"
    ]


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    named = {k[5:]: v for k, v in environ.items() if k.startswith("HTTP_")}
    named |= {k: v for k, v in environ.items() if k in ("CONTENT_TYPE", "CONTENT_LENGTH")}
    return {name.replace("_", "-").title(): value for name, value in named.items()}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
