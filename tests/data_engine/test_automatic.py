"""The third stage: the same masks whoever finds them and whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sam_plugins.automatic import AutomaticSettings, generate
from sam_plugins.cli.main import run as command
from sam_plugins.data_engine import Engine, EngineSettings
from sam_plugins.data_engine.automatic import find_masks
from sam_plugins.data_engine.boxes import without_duplicates
from sam_plugins.data_engine.finding import Recipe, load_detector
from sam_plugins.data_engine.workers import Workers
from sam_plugins.images import read_image
from sam_plugins.predictor import Predictor

FEW = AutomaticSettings(points_per_side=3, pred_iou_thresh=0.3, stability_score_thresh=0.3)
RECIPE = Recipe("lite", FEW, device="cpu")


def masks_in(engine, stage=3):
    """All that was found, image by image."""
    found = {}
    for image in engine.state.images():
        work = engine.state.work(image, stage)
        found[image.name] = None if work is None else (work.size, work.objects)
    return found


def test_masks_are_those_of_the_generator(engine):
    settings = replace(FEW, crop_n_layers=1)
    image = engine.state.images()[2]
    find_masks(engine.state, Recipe("lite", settings, device="cpu"), [image], stage=3)
    records = generate(Predictor("lite", device="cpu"), read_image(image.path), settings=settings)
    objects = engine.state.work(image, 3).objects
    assert len(objects) == len(records) > 0
    assert [each.segmentation for each in objects] == [each.segmentation for each in records]
    assert [each.crop_box for each in objects] == [each.crop_box for each in records]


def test_what_is_complete_is_not_found_again(engine):
    images = engine.state.images()
    first = find_masks(engine.state, RECIPE, images[:5], stage=3)
    assert (first.done, first.kept, first.failed) == (5, 0, 0)
    assert first.masks > 0
    calls = []
    again = find_masks(
        engine.state, RECIPE, images, stage=3, progress=lambda done, _: calls.append(done)
    )
    assert (again.done, again.kept) == (7, 5)
    assert calls == list(range(6, 13))
    # Other settings, other masks: nothing is taken for complete.
    other = Recipe("lite", AutomaticSettings(points_per_side=2), device="cpu")
    assert find_masks(engine.state, other, images[:3], stage=3).done == 3
    # An image that was changed is found again.
    Path(images[0].path).touch()
    assert find_masks(engine.state, RECIPE, images[3:], stage=3).done == 0
    assert find_masks(engine.state, RECIPE, images[:1], stage=3).done == 1


def test_bad_images_are_named_and_the_rest_is_done(engine):
    images = engine.state.images()
    Path(images[1].path).write_bytes(b"no image")
    Path(images[4].path).unlink()
    told = {}
    tally = find_masks(engine.state, RECIPE, images, stage=3, report=told.__setitem__)
    assert (tally.done, tally.failed) == (10, 2)
    assert set(told) == {images[1].name, images[4].name}
    assert engine.state.failures(3).keys() == {images[1].id, images[4].id}
    assert find_masks(engine.state, RECIPE, images, stage=3).failed == 2


def test_what_people_have_looked_at_is_left_alone(engine):
    from sam_plugins.data_engine.records import Work

    image = engine.state.images()[0]
    engine.state.put(Work(image, (72, 96), (), []), stage=2, source="person")
    tally = find_masks(engine.state, RECIPE, [image], stage=2)
    assert (tally.done, tally.kept) == (0, 1)
    assert engine.state.work(image, 2).objects == ()


def two_boxes(image):
    """A detector for the test: two boxes, one of them reaching out of the image."""
    assert image.shape == (72, 96, 3)
    return [[4, 10, 34, 64], [60, 10, 120, 64]]


def test_a_detector_adds_its_boxes(engine):
    recipe = Recipe("lite", FEW, detector=f"{__name__}:two_boxes", device="cpu")
    image = engine.state.images()[0]
    # Registered under the name that the test runner has given this file.
    assert load_detector(f"{__name__}:two_boxes")(read_image(image.path)) == two_boxes(
        read_image(image.path)
    )
    found = recipe.open().find(image)
    assert found.error is None
    assert found.records[0].point_coords == ((19.0, 37.0),)
    assert recipe.open().made_with != RECIPE.open().made_with
    assert without_duplicates([found.records[0]] * 3, 0.7) == [found.records[0]]


@pytest.mark.parametrize("name", ["nothing", "no.such.module:f", "os:nothing", "os:name"])
def test_a_detector_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match=name):
        load_detector(name)


def test_workers_find_the_same(engine, tmp_path, sources):
    alone = Engine.create(tmp_path / "alone", sources)
    find_masks(alone.state, RECIPE, alone.state.images(), stage=3)
    tally = find_masks(
        engine.state, RECIPE, engine.state.images(), stage=3, workers=Workers(count=2)
    )
    assert (tally.done, tally.failed) == (12, 0)
    assert masks_in(engine) == masks_in(alone)


def test_a_scheduler_that_is_not_there_is_an_error(engine, monkeypatch):
    from sam_plugins.data_engine import EngineError, cluster

    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with pytest.raises(EngineError, match="no scheduler"):
        find_masks(
            engine.state,
            RECIPE,
            engine.state.images(),
            stage=3,
            workers=Workers(scheduler="tcp://127.0.0.1:1"),
        )


ARGUMENTS = (
    *("--points-per-side", "3", "--crop-layers", "1", "--device", "cpu"),
    *("--pred-iou-thresh", "0.3", "--stability-score-thresh", "0.3"),
)


def begin(folder, *, workers):
    """The command in a process of its own, which leads a group of processes."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "sam_plugins", "engine", "stage3", str(folder)),
            *ARGUMENTS,
            *("--workers", str(workers)),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(condition, process, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.02)


def workers_of(process):
    """The processes with a model: those that dask started by spawning."""
    return [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if any("spawn_main" in part for part in child.cmdline())
    ]


def test_killed_workers_and_a_killed_run_change_nothing(tmp_path, sources, engine):
    whole = Engine.create(tmp_path / "whole", sources, EngineSettings())
    assert command(["engine", "stage3", str(whole.folder), *ARGUMENTS, "--workers", "0"]) == 0

    process = begin(engine.folder, workers=2)
    wait_for(lambda: len(engine.state.done(3)) >= 2, process)
    workers_of(process)[0].send_signal(signal.SIGKILL)
    before = len(engine.state.done(3))
    wait_for(lambda: len(engine.state.done(3)) > before, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    partial = len(engine.state.done(3))
    assert 3 <= partial < 12

    process = begin(engine.folder, workers=2)
    wait_for(lambda: len(engine.state.done(3)) > partial, process)
    workers_of(process)[0].send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert f"{12 - partial} images done, {partial} complete before, 0 failed" in errors
    assert masks_in(engine) == masks_in(whole)
