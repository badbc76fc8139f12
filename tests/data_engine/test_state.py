"""What is kept is kept whole: masks with their scores, rounds, failures; and survives a kill."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from sam_plugins.data_engine import Engine, EngineError, EngineSettings, SourceImage
from sam_plugins.data_engine.records import Round, Work
from sam_plugins.data_engine.state import State
from sam_plugins.datasets.annotations import AnnotatedObject
from sam_plugins.masks import rle


def work_of(image, count=2, **details):
    masks = np.zeros((count, 20, 30), bool)
    for number in range(count):
        masks[number, number : number + 5, 3:9] = True
    objects = [
        AnnotatedObject(number, rle.encode(mask), **details)
        for number, mask in enumerate(masks, start=1)
    ]
    return Work(image, (20, 30), tuple(objects), ["person"] * count)


def test_an_image_comes_back_as_it_was_put(engine):
    image = engine.state.images()[0]
    details = {
        "class_name": "cell",
        "predicted_iou": 0.75,
        "stability_score": 0.5,
        "point_coords": ((1.5, 2.25), (3.0, 4.0)),
        "crop_box": (0, 1, 10, 12),
        "clicks": 2,
        "seconds": 3.5,
    }
    engine.state.put(work_of(image, **details), stage=1, source="person")
    found = engine.state.work(image, 1)
    assert found.objects == work_of(image, **details).objects
    assert (found.size, list(found.sources)) == ((20, 30), ["person", "person"])
    assert engine.state.work(image, 2) is None
    assert engine.state.totals() == [(1, "person", 2, 1, 2.0, 3.5)]


def test_a_second_time_replaces_the_first(engine):
    image = engine.state.images()[3]
    engine.state.fail(image.id, stage=3, message="unreadable")
    assert engine.state.failures(3) == {image.id: "unreadable"}
    engine.state.put(work_of(image, 3), stage=3, source="model", made_with="a")
    engine.state.put(work_of(image, 1), stage=3, source="model", made_with="b")
    assert len(engine.state.work(image, 3).objects) == 1
    assert engine.state.failures(3) == {}
    assert engine.state.done(3) == {image.id: ("model", "b")}


def test_an_image_without_objects_is_complete(engine):
    image = engine.state.images()[0]
    engine.state.put(Work(image, (20, 30), (), []), stage=1, source="person")
    assert engine.state.work(image, 1).objects == ()
    assert image.id in engine.state.done(1)


def test_a_write_that_fails_changes_nothing(engine):
    image = engine.state.images()[0]
    engine.state.put(work_of(image, 2), stage=1, source="person")
    bad = replace(work_of(image, 1).objects[0], class_name=object())
    with pytest.raises(sqlite3.Error):
        engine.state.put(Work(image, (20, 30), (bad,), ["person"]), stage=1, source="person")
    assert len(engine.state.work(image, 1).objects) == 2


def test_the_order_is_by_chance_and_some_are_held_out(engine, sources):
    images = engine.state.images()
    assert [image.name for image in images] != [image.name for image in sources]
    assert sorted(image.name for image in images) == [image.name for image in sources]
    assert [image.id for image in images] == list(range(1, 13))
    assert [image.held_out for image in images] == [False, False, False, True] * 3


def test_the_newest_round_has_the_model(engine):
    assert engine.model == "lite"
    engine.state.add_round(Round(1, "models/a.safetensors", 5, {"after": {"click": 0.5}}))
    assert engine.model == str(engine.folder.resolve() / "models/a.safetensors")
    assert engine.state.rounds()[0].scores == {"after": {"click": 0.5}}


def test_what_is_no_engine_is_refused(tmp_path, sources, engine):
    with pytest.raises(EngineError, match="begin with init"):
        Engine.open(tmp_path / "nothing")
    with pytest.raises(EngineError, match="already"):
        Engine.create(engine.folder, sources)
    with pytest.raises(EngineError, match="needs images"):
        Engine.create(tmp_path / "other", [])
    with pytest.raises(EngineError, match="same name"):
        Engine.create(tmp_path / "other", [SourceImage("a", "x"), SourceImage("a", "y")])
    assert not (tmp_path / "other" / "engine.sqlite").exists()
    (tmp_path / "bad.sqlite").write_bytes(b"no database at all, but long enough to be read" * 9)
    with pytest.raises(EngineError, match="no data engine's state"):
        State(tmp_path / "bad.sqlite")


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"masks_per_round": 0}, {"held_out": 1.0}, {"minutes": 0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EngineSettings(**wrong)


def test_two_commands_do_not_work_at_once(engine):
    with (
        engine.alone(),
        pytest.raises(EngineError, match="another command"),
        Engine.open(engine.folder).alone(),
    ):
        pass
    with Engine.open(engine.folder).alone():
        pass


WRITER = """
import sys
from sam_plugins.data_engine import Engine
from tests.data_engine.test_state import work_of
state = Engine.open(sys.argv[1]).state
images = state.images()
for turn in range(10_000):
    image = images[turn % len(images)]
    state.put(work_of(image, 1 + turn % 7), stage=3, source="model", made_with=str(turn))
    print(turn, flush=True)
"""


def test_a_kill_at_any_moment_leaves_whole_images(engine):
    for pause in (0.0, 0.003, 0.011):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(engine.folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(20):
            process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for image in engine.state.images():
            done = engine.state.done(3).get(image.id)
            work = engine.state.work(image, 3)
            assert (done is None) == (work is None)
            if work is not None:
                assert len(work.objects) == 1 + int(done[1]) % 7
