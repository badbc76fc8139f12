"""What annotators accepted is collected, also what was noted before the server was killed."""

import base64
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.client import Project
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.learning.collecting import Collector
from labelstudio_backend.learning.examples import ExampleStore
from labelstudio_backend.protocol.brush_rle import encode
from sam_plugins.datasets.labelled import read_labelled
from tests.labelstudio_backend.learning.test_examples import picture, square
from tests.labelstudio_backend.server.conftest import CONFIG


def task_of(number, mask):
    """A task with one accepted mask, as Label Studio has it."""
    data, _ = picture(number)
    value = {"format": "rle", "rle": encode(mask), "brushlabels": ["Cell"]}
    region = {"type": "brushlabels", "value": value, "original_width": 50, "original_height": 40}
    return {
        "id": number,
        "data": {"image": "data:image/png;base64," + base64.b64encode(data).decode()},
        "annotations": [{"result": [region], "updated_at": "2026-01-01", "was_cancelled": False}],
    }


class Desk:
    """Stands for Label Studio, which may be away."""

    def __init__(self, *tasks):
        self.known = {task["id"]: task for task in tasks}
        self.here = True

    def client_of(self, project):
        return self if self.here else None

    def tasks(self, project, *, only):
        return iter([self.known[number] for number in only if number in self.known])

    def project(self, number):
        return Project(number, "", CONFIG, len(self.known), True)


@pytest.fixture
def desk():
    return Desk(task_of(3, square(2, 2)), task_of(5, square(9, 9)))


@pytest.fixture
def start(tmp_path, desk):
    """Start collectors for one folder, one after the other."""
    running = []

    def begin():
        projects = Projects(None, settings=FetchSettings())
        running.append(Collector(tmp_path, projects, desk.client_of))
        return running[-1]

    yield begin
    for each in running:
        each.close()


def test_what_is_noted_is_collected(start, desk):
    collector = start()
    collector.note(8, 3)
    collector.note(8, 5)
    collector.wait()
    assert collector.store(8).tasks() == [3, 5]
    del desk.known[3]
    collector.note(8, None)
    collector.wait()
    assert collector.store(8).tasks() == [5]


def test_what_was_noted_before_a_kill_is_collected_after_it(start, desk):
    desk.here = False
    before = start()
    before.note(8, 3)
    before.note(8, 5)
    before.wait()
    assert before.store(8).tasks() == []
    desk.here = True
    after = start()
    after.wait()
    assert after.store(8).tasks() == [3, 5]
    # It is done, once and for all.
    del desk.known[3], desk.known[5]
    last = start()
    last.wait()
    assert last.store(8).tasks() == [3, 5]


def test_strange_files_are_passed_over(start, tmp_path):
    for name in ("8/noted/x", "x/noted/3", "8/noted/-3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    collector = start()
    collector.wait()
    assert collector.store(8).tasks() == []


FILL = """
import sys
from pathlib import Path
import numpy as np
from labelstudio_backend.learning.examples import ExampleStore
from labelstudio_backend.protocol.masks import RegionMask
from tests.labelstudio_backend.learning.test_examples import picture, square
store = ExampleStore(Path(sys.argv[1]))
print("begins", flush=True)
for turn in range(10**6):
    for task in range(6):
        data, _ = picture(task)
        store.put(task, data, [RegionMask(square(turn % 30, task), "Cell")])
        if turn % 3 == task % 3:
            store.remove(task)
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
def test_killed_while_it_writes_leaves_whole_examples(tmp_path):
    rng = random.Random(0)
    store = ExampleStore(tmp_path / "8")
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", FILL, str(store.folder)], stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        count = store.collect(store.folder / "all.json")
        found = read_labelled(store.folder / "all.json")
        assert len(found) == count == len(store.tasks())
        for labelled in found:
            task = int(labelled.name.rpartition("/")[2].split(".")[0])
            assert np.array_equal(labelled.image, picture(task)[1])
            assert labelled.masks().sum() == 64
