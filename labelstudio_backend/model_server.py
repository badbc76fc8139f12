"""An ML backend as Label Studio sees it, ours or another: its questions, asked by us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from labelstudio_backend.client.connection import root_cause
from labelstudio_backend.client.records import Project
from sam_plugins.errors import SamPluginsError

# As Label Studio waits.
_QUICK_SECONDS = 5.0
# Longer than Label Studio waits: that is what work outside of it is for.
PREDICT_SECONDS = 900.0


class ModelServerError(SamPluginsError):
    """The ML backend is not reached, or answers otherwise than it should.

    Parameters
    ----------
    message : str
        One line.
    status : int or None
        Its HTTP status, if it answered.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ModelServer:
    """Asks one ML backend.

    Parameters
    ----------
    url : str
        Its address.
    basic_auth : tuple of str, optional
        User and password.
    """

    def __init__(self, url: str, *, basic_auth: tuple[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._auth = basic_auth

    def health(self) -> Mapping[str, Any]:
        """What it says of itself.

        Raises
        ------
        ModelServerError
            If it is not reached or not well.
        """
        answer = self._send("GET", "/health", _QUICK_SECONDS)
        if not isinstance(answer, Mapping) or answer.get("status") != "UP":
            raise ModelServerError(f"what answers at {self.url} is no ML backend of Label Studio")
        return answer

    def model_version(self, project: Project, extra_params: Mapping[str, Any] | str) -> str:
        """The name of the model that now answers for a project.

        Parameters
        ----------
        project : Project
        extra_params : mapping or str
            The project's settings for it.

        Returns
        -------
        str

        Raises
        ------
        ModelServerError
            If it is not reached or names none.
        """
        # Without Label Studio's address and a token: those that it has must not be replaced.
        body = {
            "project": str(project.id),
            "schema": project.label_config,
            "hostname": "",
            "access_token": "",
            "extra_params": extra_params,
        }
        answer = self._send("POST", "/setup", _QUICK_SECONDS * 6, json=body)
        version = answer.get("model_version") if isinstance(answer, Mapping) else None
        if not isinstance(version, str) or not version:
            raise ModelServerError(f"{self.url}/setup names no model_version")
        return version

    def predict(
        self, project: Project, tasks: Sequence[Mapping[str, Any]]
    ) -> list[tuple[list[Any], float]]:
        """Let it annotate tasks, as when Label Studio retrieves predictions.

        Parameters
        ----------
        project : Project
        tasks : sequence of mapping
            As Label Studio has them.

        Returns
        -------
        list of tuple
            For each task its regions, which may be none, and the score.

        Raises
        ------
        ModelServerError
            If it is not reached, reports an error, or does not answer for each task.
        """
        body = {
            "tasks": list(tasks),
            "project": str(project.id),
            "label_config": project.label_config,
            "params": {"login": None, "password": None, "context": None},
        }
        answer = self._send("POST", "/predict", PREDICT_SECONDS, json=body)
        results = answer.get("results") if isinstance(answer, Mapping) else None
        if not isinstance(results, list) or len(results) != len(tasks):
            raise ModelServerError(f"{self.url}/predict did not answer for each of its tasks")
        try:
            return [_regions(entry) for entry in results]
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelServerError(f"{self.url}/predict gave no predictions: {error!r}") from error

    def _send(self, method: str, path: str, seconds: float, **more: Any) -> Any:
        try:
            answer = requests.request(
                method,
                f"{self.url}{path}",
                auth=self._auth,
                timeout=(_QUICK_SECONDS, seconds),
                allow_redirects=False,
                **more,
            )
        except requests.RequestException as error:
            raise ModelServerError(
                f"the backend at {self.url} is not reached: {root_cause(error)}"
            ) from error
        if answer.status_code == 401:
            raise ModelServerError(
                f"the backend at {self.url} wants a user and a password: set BASIC_AUTH_USER and "
                "BASIC_AUTH_PASS as they are set there",
                401,
            )
        if answer.status_code != 200:
            said = " ".join(answer.text.split())[:300]
            raise ModelServerError(
                f"{self.url}{path}: HTTP {answer.status_code}: {said}", answer.status_code
            )
        try:
            return answer.json()
        except ValueError as error:
            raise ModelServerError(f"{self.url}{path} did not answer with JSON", 200) from error


def _regions(entry: Any) -> tuple[list[Any], float]:
    """One task's answer, which may be a list of predictions: the first is the best one."""
    if isinstance(entry, list):
        if not entry:
            return [], 0.0
        entry = entry[0]
    return list(entry["result"]), float(entry.get("score") or 0.0)
