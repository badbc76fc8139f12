"""Both kinds of tokens, with a real Label Studio."""

from contextlib import contextmanager

import pytest
import requests

from labelstudio_backend.client import LabelStudioClient
from labelstudio_backend.fetching import FetchSettings, TokenKind, TokenRefusedError
from tests.e2e.coins import CLOSE, COIN, box_region, overlap, truth
from tests.e2e.recorder import masks_of
from tests.e2e.team import backend_running


@pytest.fixture(scope="module")
def personal_token(label_studio):
    """A personal access token; a user has one of them, and sees it once."""
    return label_studio.ask("POST", "/api/token/").json()["token"]


@contextmanager
def legacy_tokens_refused(label_studio, personal_token):
    """As Label Studio is by default."""

    def set_legacy(enabled):
        access = requests.post(
            f"{label_studio.url}/api/token/refresh/", json={"refresh": personal_token}, timeout=30
        ).json()["access"]
        requests.post(
            f"{label_studio.url}/api/jwt/settings",
            json={"api_tokens_enabled": True, "legacy_api_tokens_enabled": enabled},
            headers={"Authorization": f"Bearer {access}"},
            timeout=30,
        ).raise_for_status()

    set_legacy(False)
    try:
        yield
    finally:
        set_legacy(True)


def test_a_personal_access_token_is_exchanged(label_studio, personal_token):
    client = LabelStudioClient(label_studio.url, personal_token)
    with legacy_tokens_refused(label_studio, personal_token):
        assert client.token_kind is TokenKind.PERSONAL
        assert client.whoami() == label_studio.account.email


def test_a_refused_legacy_token_is_explained(label_studio, personal_token):
    with (
        legacy_tokens_refused(label_studio, personal_token),
        pytest.raises(TokenRefusedError, match="legacy"),
    ):
        label_studio.client.whoami()
    assert label_studio.client.whoami() == label_studio.account.email


def test_the_backend_gets_images_with_a_personal_access_token(
    label_studio, personal_token, new_team, tmp_path
):
    team = new_team()
    task = label_studio.client.task(team.tasks[0])
    task["annotations"] = [{"result": [box_region(COIN)]}]
    project = label_studio.client.project(team.project)
    body = {"tasks": [task], "project": str(project.id), "label_config": project.label_config}
    settings = FetchSettings(label_studio_url=label_studio.url, api_key=personal_token)
    with (
        legacy_tokens_refused(label_studio, personal_token),
        backend_running(tmp_path / "personal", fetch=settings) as (_, personal),
    ):
        answer = requests.post(f"{personal}/predict", json=body, timeout=60)
        # The other backend has the legacy token, which came with /setup.
        refused = requests.post(f"{team.backend}/predict", json=body, timeout=60)
    (mask,) = masks_of(answer.json()["results"][0]["result"])
    assert overlap(mask, truth(COIN)) > CLOSE
    assert refused.status_code == 424
    assert "legacy" in refused.json()["error"]
