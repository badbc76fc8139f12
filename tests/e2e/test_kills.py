"""What is killed at work leaves nothing half-done, and goes on when it is started again."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import requests

from labelstudio_backend.learning.examples import ExampleStore
from labelstudio_backend.protocol.brush_rle import encode
from labelstudio_backend.sample.project import LABEL_CONFIG
from labelstudio_backend.sample.server import choose_port
from sam_plugins.datasets.labelled import read_labelled
from tests.e2e.coins import COIN, HEIGHT, WIDTH, truth

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no such signal there")


def environment(label_studio):
    """What the commands need to know of Label Studio."""
    return {
        **os.environ,
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.account.token,
    }


def start(label_studio, team, *arguments):
    """``sam-plugins label-studio preannotate`` in a process of its own."""
    command = [sys.executable, "-m", "sam_plugins", "label-studio", "preannotate"]
    command += ["--project", str(team.project), "--backend", team.backend, *arguments]
    return subprocess.Popen(
        command,
        env=environment(label_studio),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def annotated(team):
    """Tasks that have predictions; by the list, as looking at a task would have it predicted."""
    rows = team.label_studio.client.task_summaries(team.project)
    return [row.id for row in rows if row.model_versions]


def test_preannotation_goes_on_where_it_was_killed(label_studio, new_team):
    team = new_team(4)
    team.configure({"segment_everything": True, "points_per_side": 8, "label": "Object"})
    process = start(label_studio, team, "--chunk", "1")
    end = time.monotonic() + 120
    while not annotated(team):
        assert time.monotonic() < end
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = {task: team.predictions(task) for task in annotated(team)}
    assert 1 <= len(done) < len(team.tasks)
    process = start(label_studio, team, "--chunk", "1")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert [len(team.predictions(task)) for task in team.tasks] == [1, 1, 1, 1]
    for task, before in done.items():
        assert team.predictions(task) == before


@contextmanager
def serving(label_studio, folder, port):
    """``sam-plugins label-studio serve`` in a process of its own, as soon as it answers."""
    command = [sys.executable, "-m", "sam_plugins", "label-studio", "serve"]
    command += ["--port", str(port), "--state", str(folder), "--prefetch", "0"]
    process = subprocess.Popen(command, env=environment(label_studio), stdout=subprocess.DEVNULL)
    try:
        until(lambda: answers(port))
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port):
    """Whether a server is there."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def until(done):
    """Wait until something is so."""
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_webhooks_before_a_kill_are_not_lost(label_studio, images, tmp_path):
    client, port = label_studio.client, choose_port(0)
    project = client.create_project("Killed at a webhook", LABEL_CONFIG).id
    for _ in range(4):
        client.upload(project, images[0])
    tasks = [row.id for row in client.task_summaries(project)]
    store = ExampleStore(tmp_path / "state" / "examples" / str(project))
    value = {"format": "rle", "rle": encode(truth(COIN)), "brushlabels": ["Cell"]}
    region = {"from_name": "masks", "to_name": "image", "type": "brushlabels", "value": value}
    region |= {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    with serving(label_studio, tmp_path / "state", port) as process:
        client.connect_ml_backend(project, f"http://127.0.0.1:{port}")
        for task in tasks:
            path = f"/api/tasks/{task}/annotations/"
            label_studio.ask("POST", path, {"result": [region]}).raise_for_status()
        # All came, and not all are collected.
        noted = store.folder / "noted"
        until(lambda: noted.is_dir() and len(store.tasks()) + len(list(noted.iterdir())) >= 4)
        os.kill(process.pid, signal.SIGKILL)
    store.collect(store.folder / "before.json")  # what is there is whole
    with serving(label_studio, tmp_path / "state", port):
        until(lambda: store.tasks() == tasks)
        store.collect(store.folder / "all.json")
    for labelled in read_labelled(store.folder / "all.json"):
        assert (labelled.masks()[0] == truth(COIN)).all()
