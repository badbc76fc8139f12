"""What goes on beside the answers: looking ahead, collecting what people accept, training."""

import time
from pathlib import Path

import numpy as np
import pytest

from labelstudio_backend.answering import PredictRequest
from sam_plugins.datasets.labelled import read_labelled
from sam_plugins.masks import rle
from tests.e2e.recorder import masks_of
from tests.e2e.team import assemble, backend_running


@pytest.fixture
def team(label_studio, images, tmp_path, own_cache):
    with backend_running(tmp_path / "backend", prefetch=2, train_minutes=0.02) as running:
        yield assemble(label_studio, running, images[:3])


def until(done, seconds=30.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def annotate(team, task, point):
    """A person accepts the model's mask of what lies at a point: the annotation and the mask."""
    service = team.recorder.application.service
    value = {"x": point[0], "y": point[1], "width": 0.5, "keypointlabels": ["Cell"]}
    click = {"type": "keypointlabels", "to_name": "image", "from_name": "points", "value": value}
    whole = team.label_studio.client.task(task)
    config = team.label_studio.client.project(team.project).label_config
    request = PredictRequest.of(
        [whole], {"result": [click]}, project=str(team.project), label_config=config
    )
    (prediction,) = service.predict(request)
    answer = team.label_studio.ask(
        "POST", f"/api/tasks/{task}/annotations/", {"result": prediction["result"]}
    )
    answer.raise_for_status()
    return answer.json()["id"], masks_of(prediction["result"])


def test_the_next_tasks_are_embedded_when_one_is_opened(team):
    application = team.recorder.application
    team.label_studio.ask(
        "GET", f"/api/tasks/{team.tasks[0]}?project={team.project}"
    ).raise_for_status()
    predictor = application.service.model.current.predictor
    until(lambda: predictor.cache.statistics.misses == 2)
    application.listener.prefetcher.wait()
    # A click on the next task finds its image encoded.
    annotate(team, team.tasks[1], (50, 50))
    assert predictor.cache.statistics.misses == 2


def test_what_is_accepted_is_collected_and_what_is_deleted_is_forgotten(team):
    store = team.recorder.application.listener.collector.store(team.project)
    annotation, masks = annotate(team, team.tasks[0], (87, 14.5))
    until(lambda: store.tasks() == [team.tasks[0]])
    store.collect(Path(store.folder) / "all.json")
    (labelled,) = read_labelled(store.folder / "all.json")
    assert np.array_equal(labelled.masks(), np.stack(masks))
    assert [rle.area(each) for each in labelled.objects] == [mask.sum() for mask in masks]
    team.label_studio.ask("DELETE", f"/api/annotations/{annotation}/").raise_for_status()
    until(lambda: store.tasks() == [])


def test_label_studio_starts_a_training_and_gets_a_new_model(team):
    application = team.recorder.application
    before = application.service.model.version
    points = {task: (40 + 10 * n, 50) for n, task in enumerate(team.tasks)}
    for task, point in points.items():
        annotate(team, task, point)
    store = application.listener.collector.store(team.project)
    until(lambda: len(store.tasks()) == len(points))
    (model,) = team.label_studio.client.ml_backends(team.project)
    team.label_studio.ask("POST", f"/api/ml/{model.id}/train", {}).raise_for_status()
    until(lambda: application.service.model.version != before, seconds=120)
    after = application.service.model.version
    # The next question of Label Studio is answered under the new name.
    (prediction,) = application.service.predict(
        PredictRequest.of(
            [team.label_studio.client.task(team.tasks[0])],
            {"result": []},
            project=str(team.project),
            label_config=team.label_studio.client.project(team.project).label_config,
        )
    )
    assert prediction["model_version"] == after
