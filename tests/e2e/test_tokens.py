"""Both kinds of tokens, with a real Label Studio."""

import pytest
import requests

from labelstudio_backend.client import LabelStudioClient
from labelstudio_backend.fetching import FetchSettings, TokenKind, TokenRefusedError
from tests.e2e.coins import CLOSE, COIN, box_region, overlap, truth
from tests.e2e.recorder import masks_of
from tests.e2e.team import assemble, backend_running


@pytest.fixture
def personal_token(label_studio):
    """A personal access token, in a Label Studio that takes no legacy ones meanwhile."""
    token = label_studio.ask("POST", "/api/token/").json()["token"]
    settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": False}
    label_studio.ask("POST", "/api/jwt/settings", settings).raise_for_status()
    yield token
    access = requests.post(
        f"{label_studio.url}/api/token/refresh/", json={"refresh": token}, timeout=30
    ).json()["access"]
    requests.post(
        f"{label_studio.url}/api/jwt/settings",
        json={**settings, "legacy_api_tokens_enabled": True},
        headers={"Authorization": f"Bearer {access}"},
        timeout=30,
    ).raise_for_status()


def test_a_personal_access_token_is_exchanged(label_studio, personal_token):
    client = LabelStudioClient(label_studio.url, personal_token)
    assert client.token_kind is TokenKind.PERSONAL
    assert client.whoami() == label_studio.account.email


def test_a_refused_legacy_token_is_explained(label_studio, personal_token):
    with pytest.raises(TokenRefusedError, match="legacy"):
        label_studio.client.whoami()


def test_the_backend_gets_images_with_a_personal_access_token(
    label_studio, images, tmp_path, request
):
    # Assembled with the legacy token, so before those are refused.
    fetch = FetchSettings(label_studio_url=label_studio.url)
    with backend_running(tmp_path / "backend", fetch=fetch) as backend:
        team = assemble(label_studio, backend, images[:1])
    token = request.getfixturevalue("personal_token")
    fetch = FetchSettings(label_studio_url=label_studio.url, api_key=token)
    task = LabelStudioClient(label_studio.url, token).task(team.tasks[0])
    task["annotations"] = [{"result": [box_region(COIN)]}]
    project = LabelStudioClient(label_studio.url, token).project(team.project)
    body = {"tasks": [task], "project": str(project.id), "label_config": project.label_config}
    for settings, status in ((fetch, 200), (FetchSettings(label_studio.url), 401)):
        with backend_running(tmp_path / f"backend-{status}", fetch=settings) as (_, url):
            answer = requests.post(f"{url}/predict", json=body, timeout=60)
        assert answer.status_code == status
        if status == 200:
            (mask,) = masks_of(answer.json()["results"][0]["result"])
            assert overlap(mask, truth(COIN)) > CLOSE
        else:
            assert "LABEL_STUDIO_API_KEY" in answer.json()["error"]
