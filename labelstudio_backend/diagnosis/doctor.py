"""Whether Label Studio, the backend and a project fit together, and what to do if not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from labelstudio_backend.client import LabelStudioClient, LabelStudioError, MLBackend, Project
from labelstudio_backend.diagnosis.findings import Finding, hint, ok, problem
from labelstudio_backend.diagnosis.label_configs import check_label_config
from labelstudio_backend.fetching import (
    FetchError,
    ImageFetcher,
    TokenKind,
    TokenRefusedError,
    check_image,
)
from labelstudio_backend.model_server import ModelServer, ModelServerError

# How long Label Studio waits for /health and /setup.
HEALTH_SECONDS, SETUP_SECONDS = 1.0, 3.0

SSRF_ADVICE = (
    "start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false (or with ML_BLOCK_LOCAL_IP=false and "
    "SSRF_PROTECTION_ENABLED=false; one of the two is not enough), then remove the model from "
    "the project and connect it again"
)
REACH_ADVICE = (
    "the address must be the one by which Label Studio's machine reaches the backend: from a "
    "container, localhost is the container itself, and http://host.docker.internal:9090 the machine"
)


@dataclass(frozen=True)
class Doctor:
    """Looks at everything that a click on an image needs.

    Parameters
    ----------
    client : LabelStudioClient
        Label Studio.
    fetcher : ImageFetcher
        How the backend gets images, with its settings.
    backend : ModelServer or None
        The backend, if its address is known.
    """

    client: LabelStudioClient
    fetcher: ImageFetcher
    backend: ModelServer | None = None

    def examine(self, number: int | None = None) -> Iterator[Finding]:
        """Look at everything, in the order in which things depend on each other.

        Parameters
        ----------
        number : int, optional
            The project to look at.

        Yields
        ------
        Finding
            Later ones are left out where an earlier problem makes them pointless.
        """
        try:
            yield ok(f"Label Studio {self.client.version()} answers at {self.client.url}")
        except LabelStudioError as error:
            yield problem(str(error), "give Label Studio's address: --url or LABEL_STUDIO_URL")
            return
        token = self._check_token()
        yield token
        if self.backend is not None:
            yield self._check_backend(self.backend)
        if token.advice:
            return
        if number is None:
            yield hint("no project was looked at", f"give one: {self._projects()}")
            return
        try:
            project = self.client.project(number)
        except LabelStudioError as error:
            yield problem(str(error), f"give a project that there is: {self._projects()}")
            return
        yield ok(f"project {number} is {project.title!r}, with {project.task_count} tasks")
        yield from check_label_config(project.label_config)
        yield from self._check_connection(project)
        yield self._check_image(project)

    def _projects(self) -> str:
        found = [f"--project {each.id} ({each.title})" for each in self.client.projects()[:10]]
        return ", ".join(found) or "there is none yet"

    def _check_token(self) -> Finding:
        kind = self.client.token_kind
        try:
            user = self.client.whoami()
        except (TokenRefusedError, LabelStudioError, FetchError) as error:
            return problem(str(error), "set --token or LABEL_STUDIO_API_KEY as it says")
        return ok(f"the {TokenKind(kind)} is accepted, as {user}")

    def _check_backend(self, backend: ModelServer) -> Finding:
        began = time.monotonic()
        try:
            backend.health()
        except ModelServerError as error:
            return problem(str(error), "start it: sam-plugins label-studio serve")
        seconds = time.monotonic() - began
        if seconds > HEALTH_SECONDS:
            return problem(
                f"the backend took {seconds:.1f} s to say that it is up; Label Studio waits 1 s",
                "is its machine busy? raise ML_TIMEOUT_HEALTH where Label Studio runs",
            )
        return ok(f"the backend answers at {backend.url}, in {1000 * seconds:.0f} ms")

    def _check_connection(self, project: Project) -> Iterator[Finding]:
        """Whether Label Studio reaches its models: it asks them while we ask it."""
        rows = self.client.ml_backends(project.id)
        if not rows:
            yield problem(
                "no model is connected to the project",
                "connect one: Settings > Model > Connect Model, or doctor --connect",
            )
        if len(rows) > 1:
            yield hint(
                f"{len(rows)} models are connected to the project",
                "Label Studio sends smart prompts to one of them: remove the others",
            )
        told = self.client.webhook_urls(project.id) if rows else []
        for row in rows:
            yield from self._check_row(row, any(url.startswith(row.url) for url in told))
        if not project.shows_predictions:
            yield hint(
                "annotators do not see predictions when they open a task",
                "Settings > Annotation > Use predictions to prelabel tasks",
            )

    def _check_row(self, row: MLBackend, is_told: bool) -> Iterator[Finding]:
        if row.state == "CO":
            yield ok(f"Label Studio reaches the model at {row.url}")
        else:
            yield explain_connection(row.url, row.error)
        if not row.is_interactive:
            yield problem(
                f"the model at {row.url} is not asked when annotators click",
                "Settings > Model > Edit: switch on Interactive preannotations",
            )
        if not is_told:
            yield hint(
                f"Label Studio does not tell {row.url} of annotations: nothing is learnt from them",
                SSRF_ADVICE,
            )

    def _check_image(self, project: Project) -> Finding:
        task = next(self.client.tasks(project.id), None)
        if task is None:
            return hint("the project has no task yet", "import images")
        texts = [value for value in task["data"].values() if isinstance(value, str)]
        url = next((text for text in texts if "/" in text or text.startswith("data:")), None)
        if url is None:
            return problem(
                f"task {task['id']} names no image", "import tasks with an address of an image"
            )
        try:
            header = check_image(self.fetcher.open(url, task=task))
        except FetchError as error:
            return problem(f"the image of task {task['id']} cannot be fetched", f"{error}")
        return ok(
            f"the image of task {task['id']} is fetched: {header.format}, "
            f"{header.width} x {header.height}"
        )


def explain_connection(url: str, error: str) -> Finding:
    """Why Label Studio does not reach a model.

    Parameters
    ----------
    url : str
        The model's address, as Label Studio has it.
    error : str
        What Label Studio said.

    Returns
    -------
    Finding
    """
    short = " ".join(error.split())[:200]
    if "reserved network" in error or ("403" in error and _is_private(url)):
        return problem(f"Label Studio refuses to talk to {url}: {short}", SSRF_ADVICE)
    if "401" in error:
        return problem(
            f"the model at {url} refuses Label Studio",
            "Settings > Model > Edit: give the user and password of BASIC_AUTH_USER and "
            "BASIC_AUTH_PASS",
        )
    if "timed out" in error.lower():
        return problem(
            f"the model at {url} does not answer in time: {short}",
            "raise ML_TIMEOUT_SETUP and ML_TIMEOUT_HEALTH where Label Studio runs",
        )
    return problem(f"Label Studio does not reach {url}: {short}", REACH_ADVICE)


def _is_private(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host
