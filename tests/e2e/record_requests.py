"""Record what Label Studio asks a backend: ``python -m tests.e2e.record_requests``.

Each kind of request goes to a file of tests/labelstudio_backend/requests: method, path, headers and
body as they came. Run it when Label Studio has a new version, and look at the difference. It needs
what the tests of this folder need, and takes two minutes.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from labelstudio_backend.client.records import Prediction
from labelstudio_backend.sample import Account
from labelstudio_backend.sample.images import write_images
from labelstudio_backend.sample.project import LABEL_CONFIG
from tests.e2e.annotator import Annotator, browsing
from tests.e2e.coins import COIN, OTHER, box_region, corners
from tests.e2e.recorder import Exchange
from tests.e2e.team import (
    Team,
    assemble,
    backend_running,
    chromium,
    label_studio_running,
    missing,
)

FOLDER = Path(__file__).parents[1] / "labelstudio_backend" / "requests"
# Nobody's: they open a server that lives as long as this recording.
ACCOUNT = Account(
    "annotator@example.com", "throwaway-password", "0123456789abcdef" * 2 + "01234567"
)
PORT, BACKEND_PORT = 8080, 9090
TURNABLE = LABEL_CONFIG.replace("zoomControl", 'rotateControl="true" zoomControl')
WITH_TEXT = LABEL_CONFIG.replace(
    "<Image", '<TextArea name="text" toName="image" smart="true" editable="true"/>\n  <Image'
)


class Notes:
    """Writes requests to files, one for each kind."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.seen = 0

    def take(self, name: str, path: str, *, action: str | None = None) -> None:
        """Write the last request to a path since the one before, for webhooks one of an action."""
        new = self.team.recorder.exchanges[self.seen :]
        fitting = [each for each in new if each.path == path and _is_about(each, action)]
        if not fitting:
            raise SystemExit(f"{name}: Label Studio did not ask {path}")
        self.seen = len(self.team.recorder.exchanges)
        last = fitting[-1]
        # It is that of the body before it was indented.
        headers = {k: v for k, v in last.headers.items() if k != "Content-Length"}
        content = {
            "method": last.method,
            "path": last.path,
            "headers": headers,
            "body": last.body,
        }
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _is_about(exchange: Exchange, action: str | None) -> bool:
    return action is None or exchange.body.get("action") == action


def record_connection(team: Team, notes: Notes) -> None:
    """What comes without anybody at a browser."""
    label_studio = team.label_studio
    notes.take("health", "/health")
    notes.seen = 0
    notes.take("setup", "/setup")
    team.configure({"segment_everything": True, "points_per_side": 4})
    notes.take("setup-extra-params", "/setup")
    team.configure({})
    (model,) = label_studio.client.ml_backends(team.project)
    label_studio.ask("GET", f"/api/ml/{model.id}/versions").raise_for_status()
    notes.take("versions", "/versions")
    boxes = [box_region(COIN), box_region(OTHER)]
    label_studio.client.import_predictions(
        team.project, [Prediction(team.tasks[1], boxes, 0.9, "detector")]
    )
    team.retrieve()
    notes.take("predict-batch", "/predict")
    label_studio.ask("POST", f"/api/ml/{model.id}/train").raise_for_status()
    notes.take("webhook-start-training", "/webhook", action="START_TRAINING")


def record_points(team: Team, notes: Notes, annotator: Annotator) -> None:
    """Points, drafts, and what happens to annotations."""
    task = team.tasks[0]
    annotator.open_task(team.project, task)
    notes.take("predict-open-task", "/predict")
    annotator.use("key-point-tool")
    annotator.click("1", *COIN)
    notes.take("predict-point", "/predict")
    annotator.click("1", COIN[0] + 12, COIN[1])
    notes.take("predict-points", "/predict")
    with annotator.page.expect_response(lambda each: "/drafts" in each.url):
        annotator.click("1", 290, 20, negative=True)
    notes.take("predict-points-negative", "/predict")
    annotator.open_task(team.project, task)
    annotator.use("key-point-tool")
    annotator.click("1", COIN[0] - 12, COIN[1])
    notes.take("predict-points-restored", "/predict")
    annotator.accept()
    annotator.submit()
    annotator.page.wait_for_timeout(2000)
    notes.take("webhook-annotation-created", "/webhook", action="ANNOTATION_CREATED")
    (annotation,) = team.label_studio.client.task(task)["annotations"]
    path = f"/api/annotations/{annotation['id']}/"
    team.label_studio.ask("PATCH", path, {"result": annotation["result"]}).raise_for_status()
    notes.take("webhook-annotation-updated", "/webhook", action="ANNOTATION_UPDATED")
    team.label_studio.ask("DELETE", path).raise_for_status()
    notes.take("webhook-annotations-deleted", "/webhook", action="ANNOTATIONS_DELETED")
    path = f"/api/projects/{team.project}/"
    team.label_studio.ask("PATCH", path, {"description": "Coins"}).raise_for_status()
    notes.take("webhook-project-updated", "/webhook", action="PROJECT_UPDATED")


def record_boxes(team: Team, notes: Notes, annotator: Annotator) -> None:
    """One box, two boxes, and a point while they are pending."""
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("rectangle-tool")
    annotator.drag("3", *corners(COIN))
    notes.take("predict-box", "/predict")
    with annotator.page.expect_response(lambda each: "/drafts" in each.url):
        annotator.drag("3", *corners(OTHER))
    notes.take("predict-boxes", "/predict")
    annotator.use("key-point-tool")
    annotator.click("1", 276, 53)
    notes.take("predict-point-beside-boxes", "/predict")


def record_turned(team: Team, notes: Notes, annotator: Annotator) -> None:
    """A point on an image that was turned."""
    annotator.open_task(team.project, team.tasks[0], turned=True)
    annotator.use("key-point-tool")
    annotator.click("1", *OTHER)
    notes.take("predict-point-turned", "/predict")


def record_text(team: Team, notes: Notes, annotator: Annotator) -> None:
    """A text as a prompt."""
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("key-point-tool")
    page = annotator.page
    with page.expect_response(lambda each: "interactive-annotating" in each.url):
        page.locator("textarea[name=text], [class*=textarea] textarea, input.ant-input").last.fill(
            "a coin"
        )
        page.keyboard.press("Shift+Enter")
    notes.take("predict-text", "/predict")


SCENES = (
    (record_points, LABEL_CONFIG),
    (record_boxes, LABEL_CONFIG),
    (record_turned, TURNABLE),
    (record_text, WITH_TEXT),
)


def record(folder: Path, browser: Path) -> None:
    """Record everything, with a folder for what is thrown away."""
    images = write_images(folder / "images")[:2]
    with (
        label_studio_running(folder / "label-studio", ACCOUNT, port=PORT) as label_studio,
        backend_running(folder / "backend", port=BACKEND_PORT) as backend,
        browsing(browser) as page,
    ):
        team = assemble(label_studio, backend, images)
        record_connection(team, Notes(team))
        annotator = Annotator(page, label_studio.url, folder)
        annotator.log_in(ACCOUNT)
        for scene, label_config in SCENES:
            backend[0].exchanges.clear()
            team = assemble(label_studio, backend, images, label_config=label_config)
            scene(team, Notes(team), annotator)


def main() -> None:
    """Record into the tests' folder."""
    browser = chromium()
    if browser is None or missing():
        raise SystemExit(missing())
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["SAM_PLUGINS_CACHE"] = str(Path(temporary) / "cache")
        record(Path(temporary), browser)


if __name__ == "__main__":
    main()
