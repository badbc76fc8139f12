"""What people made is taken over from every tool, with clicks and time where they are known."""

import json
import time

import numpy as np
import pytest

from sam_plugins.data_engine import EngineError
from sam_plugins.data_engine.exporting import export_to_people, works
from sam_plugins.data_engine.importing import import_work, read_work
from sam_plugins.data_engine.records import Work
from sam_plugins.data_engine.sessions import seconds_of
from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject
from sam_plugins.datasets.coco import read_coco, write_coco
from sam_plugins.datasets.label_images import write_labels
from sam_plugins.images import read_image
from sam_plugins.masks import rle
from sam_plugins.regions import ImageStack
from sam_plugins.session import ArrayTarget, Session
from sam_plugins.session.store import SessionFolder, image_key
from tests.session.answers import disc, prediction


def annotated(image, truth, count=3, **details):
    objects = tuple(
        AnnotatedObject(number, each, **details)
        for number, each in enumerate(truth[image.name].objects[:count], start=1)
    )
    return AnnotatedImage(image.name, (72, 96), objects)


def test_what_is_exported_comes_back(engine, truth, tmp_path):
    images = engine.waiting(1, count=4)
    export_to_people(engine, tmp_path / "out", images, stage=1)
    blank = read_coco(tmp_path / "out" / "instances.json")
    assert [each.file_name for each in blank] == [image.name for image in images]
    assert {each.image_size for each in blank} == {(72, 96)}
    for image in images:
        copy = read_image(tmp_path / "out" / "images" / image.name)
        assert (copy == read_image(image.path)).all()
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert tasks[0]["data"]["image"].endswith(f"images/{images[0].name}")

    made = [annotated(image, truth, clicks=2, seconds=1.5) for image in images]
    write_coco(tmp_path / "made.json", made)
    done = import_work(engine, read_work(tmp_path / "made.json", engine), stage=1)
    assert (done.images, done.masks, done.unknown) == (4, 12, ())
    assert engine.state.totals() == [(1, "person", 12, 4, 2.0, 1.5)]
    work = engine.state.work(images[1], 1)
    assert [each.segmentation for each in work.objects] == list(truth[images[1].name].objects)
    assert not {image.id for image in engine.waiting(1)} & {image.id for image in images}
    # Taken over again, nothing is counted twice.
    import_work(engine, made, stage=1)
    assert engine.state.masks_by_people() == 12


def test_label_images_are_told_by_their_stem(engine, truth, tmp_path):
    image = engine.state.images()[0]
    labels = np.zeros((72, 96), np.uint16)
    for number, mask in enumerate(truth[image.name].masks(), start=1):
        labels[mask] = number
    stem = image.name.removesuffix(".png")
    write_labels(tmp_path / "labels" / f"{stem}.tif", labels)
    write_labels(tmp_path / "labels" / "stranger.tif", labels)
    done = import_work(engine, read_work(tmp_path / "labels", engine), stage=1)
    assert (done.images, done.masks, done.unknown) == (1, 3, ("stranger.tif",))


def test_two_images_of_one_name_are_refused(engine, truth):
    image = engine.state.images()[0]
    with pytest.raises(EngineError, match="twice"):
        import_work(engine, [annotated(image, truth)] * 2, stage=1)


def test_of_prefilled_images_only_what_people_added_is_theirs(engine, truth, tmp_path):
    image = engine.state.images()[0]
    objects = annotated(image, truth, 2, predicted_iou=0.9).objects
    engine.state.put(
        Work(image, (72, 96), objects, ["model", "model"]), stage=2, source="model", made_with="x"
    )
    export_to_people(engine, tmp_path / "out", [image], stage=2)
    (prefilled,) = read_coco(tmp_path / "out" / "instances.json")
    assert len(prefilled.objects) == 2
    # The second is deleted, the third is added.
    third = AnnotatedObject(9, truth[image.name].objects[2], clicks=4)
    back = AnnotatedImage(image.name, (72, 96), (prefilled.objects[0], third))
    done = import_work(engine, [back], stage=2)
    assert (done.masks, done.kept) == (1, 1)
    work = engine.state.work(image, 2)
    assert list(work.sources) == ["model", "person"]
    assert work.objects[0].predicted_iou == 0.9
    assert [work.objects[1].clicks, work.objects[1].label] == [4, 2]
    assert engine.state.done(2)[image.id][0] == "person"
    assert [each.name for each, _ in works(engine, (2, 1), by_people=True)] == [image.name]


def test_prefilled_masks_of_another_size_are_refused(engine, truth):
    image = engine.state.images()[0]
    objects = annotated(image, truth, 1).objects
    engine.state.put(Work(image, (72, 96), objects, ["model"]), stage=2, source="model")
    small = AnnotatedObject(1, rle.encode(np.ones((5, 5), bool)))
    with pytest.raises(EngineError, match=r"\(5, 5\)"):
        import_work(engine, [AnnotatedImage(image.name, (5, 5), (small,))], stage=2)


def test_sessions_of_napari_tell_clicks_and_time(engine, tmp_path):
    image = engine.state.images()[2]
    stack = ImageStack((read_image(image.path),))
    folder = SessionFolder(image_key(stack), directory=tmp_path / "sessions")
    session = Session(
        ArrayTarget(np.zeros((72, 96), np.uint16)), journal=folder.journal((None, None))
    )
    session.add_point(40.0, 30.0)
    time.sleep(0.3)
    session.add_point(42.0, 30.0)
    session.answer(prediction((72, 96), session.prompt()), session.version)
    session.commit()
    session.close()
    folder.close()
    done = import_work(engine, read_work(tmp_path / "sessions", engine), stage=1)
    assert (done.images, done.masks) == (1, 1)
    (made,) = engine.state.work(image, 1).objects
    assert (rle.decode(made.segmentation) == disc((72, 96), 41, 30, 4)).all()
    assert made.clicks == 2
    assert 0.2 <= made.seconds < 60


def test_sessions_of_other_images_are_an_error(engine, tmp_path):
    folder = tmp_path / "sessions" / "0123" / "0001"
    folder.mkdir(parents=True)
    (folder / "x-x.jsonl").write_text('{"journal": 1, "key": "", "size": [3, 4]}\n')
    with pytest.raises(EngineError, match="no session"):
        read_work(tmp_path / "sessions", engine)


def test_time_is_counted_from_the_object_before():
    record = {"id": 1}
    entries = [
        {"journal": 1, "at": 0.0},
        {"do": {"kind": "say"}, "at": 10.0},
        {"do": {"records": [[1, None, record]]}, "at": 14.0},
        {"undo": True, "at": 15.0},
        {"do": {"records": [[2, None, record], [1, record, record]]}, "at": 18.0},
    ]
    assert seconds_of(entries[1:]) == {1: 4.0, 2: 3.0}
    assert seconds_of([{"do": {"records": [[1, None, record]]}}]) == {}
