"""What Label Studio really sends is answered: its requests, as tests/e2e recorded them.

Only the images are given by other means, as Label Studio is not running here.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from labelstudio_backend.building import build
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.learning.events import on_event
from labelstudio_backend.server import ServerSettings
from tests.e2e.coins import CLOSE, COIN, OTHER, overlap, truth
from tests.e2e.recorder import masks_of

FOLDER = Path(__file__).parent / "requests"
RECORDED = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}
# A third coin.
THIRD = (276, 53)


def data_uri(image):
    """An image as Label Studio may have it in a task."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Send a recorded request; the status and the answer."""
    folder = tmp_path_factory.mktemp("backend")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAM_PLUGINS_CACHE", str(folder / "cache"))
        settings = ServerSettings(training=False)
        application = build(settings, folder=folder, fetch=FetchSettings(), prefetch=0)
        images = {"coins.png": data_uri(data.coins()), "cell.png": data_uri(data.cell())}

        def send(name):
            request = json.loads(json.dumps(RECORDED[name]))
            for task in (request["body"] or {}).get("tasks", []):
                task["data"]["image"] = images[task["data"]["image"].partition("-")[2]]
            body = b"" if request["body"] is None else json.dumps(request["body"]).encode()
            headers = {
                f"HTTP_{key.upper().replace('-', '_')}": value
                for key, value in request["headers"].items()
            }
            status = []
            answer = application(
                {
                    "REQUEST_METHOD": request["method"],
                    "PATH_INFO": request["path"],
                    "CONTENT_LENGTH": str(len(body)),
                    "CONTENT_TYPE": request["headers"].get("Content-Type", ""),
                    "wsgi.input": io.BytesIO(body),
                    **headers,
                },
                lambda line, headers: status.append(int(line.split()[0])),
            )
            return status[0], json.loads(b"".join(answer))

        yield send
        application.listener.close()


def test_every_kind_of_request_is_there():
    paths = {(each["method"], each["path"]) for each in RECORDED.values()}
    assert paths == {
        ("GET", "/health"),
        ("GET", "/versions"),
        ("POST", "/setup"),
        ("POST", "/predict"),
        ("POST", "/webhook"),
    }


@pytest.mark.parametrize(
    ("name", "coins"),
    [
        ("predict-point", [COIN]),
        ("predict-points", [COIN]),
        ("predict-points-negative", [COIN]),
        ("predict-point-turned", [OTHER]),
        ("predict-box", [COIN]),
        ("predict-boxes", [COIN, OTHER]),
        ("predict-point-beside-boxes", [THIRD]),
    ],
)
def test_prompts_give_a_mask_for_each_object(ask, name, coins):
    status, answer = ask(name)
    assert status == 200
    (prediction,) = answer["results"]
    masks = masks_of(prediction["result"])
    assert len(masks) == len(coins)
    for mask, coin in zip(masks, coins, strict=True):
        assert overlap(mask, truth(coin)) > CLOSE
    turned = {region["image_rotation"] for region in prediction["result"]}
    assert turned == ({90} if name.endswith("turned") else {0})


def test_all_points_of_a_draft_count(ask):
    context = RECORDED["predict-points-restored"]["body"]["params"]["context"]["result"]
    assert ["is_positive" in point for point in context] == [False, False, False, True]
    status, answer = ask("predict-points-restored")
    assert status == 200
    (mask,) = masks_of(answer["results"][0]["result"])
    assert mask[COIN[1], COIN[0]]


def test_a_task_without_prompts_gets_no_prediction(ask):
    assert ask("predict-open-task") == (200, {"results": [[]]})


def test_a_batch_is_answered_task_by_task(ask):
    status, answer = ask("predict-batch")
    assert status == 200
    nothing, boxes = answer["results"]
    assert nothing == []
    assert len(masks_of(boxes["result"])) == 2
    assert np.all([mask.any() for mask in masks_of(boxes["result"])])


def test_text_that_is_not_understood_is_declined_with_the_reason(ask):
    status, answer = ask("predict-text")
    assert status == 422
    assert "'coin'" in answer["error"]


def test_setup_names_a_version_for_the_project_s_options(ask):
    plain, chosen = ask("setup"), ask("setup-extra-params")
    assert plain[0] == chosen[0] == 200
    assert plain[1]["model_version"] != chosen[1]["model_version"]
    assert ask("setup") == plain


def test_health_and_versions(ask):
    assert ask("health")[1]["status"] == "UP"
    assert ask("versions")[1]["versions"] == [ask("setup")[1]["model_version"]]


@pytest.mark.parametrize(
    ("name", "noted"),
    [
        ("annotation-created", True),
        ("annotation-updated", True),
        ("annotations-deleted", True),
        ("project-updated", False),
        ("start-training", False),
    ],
)
def test_webhooks(ask, name, noted):
    assert ask(f"webhook-{name}")[0] == 201
    body = RECORDED[f"webhook-{name}"]["body"]
    learner = Learner()
    on_event(body, learner, learner)
    project = body["project"]["id"]
    assert [each[0] for each in learner.noted] == ([project] if noted else [])
    assert learner.started == ([project] if name == "start-training" else [])


class Learner:
    """Takes down what events make it do."""

    def __init__(self):
        self.noted, self.started = [], []

    def note(self, project, task):
        self.noted.append((project, task))

    def start(self, project):
        self.started.append(project)
        return True
