"""Training in another process: what comes out is served; what fails changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from labelstudio_backend.answering import BadRequestError, ServedModel
from labelstudio_backend.learning.events import on_event
from labelstudio_backend.learning.examples import ExampleStore
from labelstudio_backend.learning.training import Trained, Trainer, read_current, write_current
from labelstudio_backend.protocol.masks import RegionMask
from sam_plugins.datasets.procedural import scene
from tests.labelstudio_backend.learning.test_examples import Image, io


def fill(folder, project=4, tasks=3):
    """Put generated scenes with their true objects into a store."""
    store = ExampleStore(folder / "examples" / str(project))
    for task in range(1, tasks + 1):
        made = scene(np.random.default_rng(task), 96)
        labels = made.labels[1]
        stream = io.BytesIO()
        Image.fromarray(made.image).save(stream, "PNG")
        ids = [i for i in np.unique(labels[labels > 0]) if (labels == i).sum() >= 30][:4]
        store.put(task, stream.getvalue(), [RegionMask(labels == i, "Cell") for i in ids])
    return store


def test_a_training_switches_the_model_and_a_restart_keeps_it(tmp_path):
    fill(tmp_path)
    model = ServedModel("lite")
    before = model.version
    trainer = Trainer(tmp_path, model, minutes=0.02)
    assert trainer.start(4)
    assert not trainer.start(4)  # one at a time
    trainer.wait()
    log = (tmp_path / "training.log").read_text()
    assert model.version != before, log
    assert model.current.version == model.version
    assert model.source.endswith(".safetensors")
    again = ServedModel("lite")
    Trainer(tmp_path, again)
    assert again.version == model.version
    other = ServedModel("vit_b")
    Trainer(tmp_path, other)
    assert other.source == "vit_b"  # was not meant to be replaced


def test_a_training_by_hand_is_served_by_the_server_that_runs(tmp_path):
    fill(tmp_path)
    model = ServedModel("lite")
    before = model.version
    trainer = Trainer(tmp_path, model)
    try:
        command = [sys.executable, "-m", "sam_plugins", "label-studio", "train"]
        command += ["--project", "4", "--state", str(tmp_path), "--minutes", "0.02"]
        subprocess.run(command, check=True, capture_output=True)
        end = time.monotonic() + 60
        while model.version == before:
            assert time.monotonic() < end
            time.sleep(0.1)
        trained = read_current(tmp_path, "lite")
        assert model.source == trained.model
        assert model.current.version == model.version
    finally:
        trainer.close()


def test_a_failed_training_leaves_the_model(tmp_path):
    model = ServedModel("lite")
    predictor = model.current.predictor
    trainer = Trainer(tmp_path, model, minutes=0.02)
    assert trainer.start(4)  # there are no examples
    trainer.wait()
    assert model.current.predictor is predictor
    assert "at least 2" in (tmp_path / "training.log").read_text()
    assert read_current(tmp_path, "lite") is None


def test_a_killed_training_leaves_nothing_and_can_be_repeated(tmp_path):
    fill(tmp_path)
    command = [sys.executable, "-m", "sam_plugins", "label-studio", "train"]
    command += ["--project", "4", "--state", str(tmp_path), "--minutes"]
    process = subprocess.Popen(
        [*command, "5"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        if line.startswith("before"):  # measured, and training now
            break
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert read_current(tmp_path, "lite") is None
    assert not list(tmp_path.rglob("*.safetensors"))
    subprocess.run([*command, "0.02"], check=True, capture_output=True)
    assert read_current(tmp_path, "lite") is not None


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    from filelock import FileLock

    fill(tmp_path)
    command = [sys.executable, "-m", "sam_plugins", "label-studio", "train"]
    command += ["--project", "4", "--state", str(tmp_path), "--minutes", "0.02"]
    with FileLock(tmp_path / "training.lock"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "another training is under way" in done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model": "gone.safetensors", "base": "lite"}'])
def test_a_damaged_note_of_the_current_model_is_passed_over(tmp_path, text):
    (tmp_path / "current.json").write_text(text)
    assert read_current(tmp_path, "lite") is None
    model = ServedModel("lite")
    Trainer(tmp_path, model)
    assert model.source == "lite"


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(tmp_path):
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    write_current(tmp_path, Trained(str(broken), "lite"))
    model = ServedModel("lite")
    Trainer(tmp_path, model)
    assert model.source == "lite"


class Noted:
    """Takes down what it is asked for."""

    def __init__(self):
        self.calls = []

    def note(self, *about):
        self.calls.append(about)

    def start(self, project):
        self.calls.append(("start", project))
        return True


@pytest.mark.parametrize(
    ("event", "calls"),
    [
        (
            {"action": "ANNOTATION_CREATED", "annotation": {"task": 3}, "project": {"id": 8}},
            [(8, 3)],
        ),
        (
            {"action": "ANNOTATION_UPDATED", "annotation": {"task": 3}, "project": {"id": 8}},
            [(8, 3)],
        ),
        ({"action": "ANNOTATIONS_DELETED", "project": {"id": 8}}, [(8, None)]),
        ({"action": "START_TRAINING", "project": {"id": 8}}, [("start", 8)]),
        ({"action": "PROJECT_UPDATED", "project": {"id": 8}}, []),
        ({"action": "SOMETHING_NEW"}, []),
    ],
)
def test_what_follows_from_events(event, calls):
    noted = Noted()
    assert json.dumps(on_event(event, noted, noted))
    assert noted.calls == calls


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"action": 3},
        {"action": "START_TRAINING"},
        {"action": "START_TRAINING", "project": 8},
        {"action": "START_TRAINING", "project": {"id": "../8"}},
        {"action": "START_TRAINING", "project": {"id": -1}},
        {"action": "ANNOTATION_CREATED", "project": {"id": 8}},
        {"action": "ANNOTATION_CREATED", "project": {"id": 8}, "annotation": {"task": True}},
        {"action": "ANNOTATION_CREATED", "annotation": {"task": 3}, "project": []},
    ],
)
def test_malformed_events_are_refused(event):
    noted = Noted()
    with pytest.raises(BadRequestError):
        on_event(event, noted, noted)
    assert noted.calls == []
