"""Folders of journals: one a window, found again, never shared, nothing left by looking."""

from __future__ import annotations

import numpy as np
import pytest

from sam_plugins.regions import ImageStack
from sam_plugins.session import ArrayTarget, Cutout, JournalError, Session
from sam_plugins.session.store import (
    KEPT,
    SessionFolder,
    image_key,
    journals_in,
    sessions_directory,
)

PLANE = (2, None, None)
SIZE = (20, 30)


def work_in(folder, plane=PLANE, objects=1):
    """Commit objects, and leave the journal as a killed process would."""
    session = Session(ArrayTarget(np.zeros(SIZE, np.uint16)), journal=folder.journal(plane))
    for index in range(objects):
        session.propose_mask(Cutout(np.ones((3, 3), bool), (4 * index, 5)), score=0.5)
        session.commit()
    return session


def test_nothing_is_written_before_the_first_action(tmp_path):
    folder = SessionFolder("key", directory=tmp_path)
    session = Session(ArrayTarget(np.zeros(SIZE, np.uint16)), journal=folder.journal(PLANE))
    assert folder.path is None
    assert not list(tmp_path.iterdir())
    session.add_point(1, 2)
    assert (folder.path / "2-x-x.jsonl").is_file()


def test_the_last_session_is_found_once_its_window_is_gone(tmp_path):
    first = SessionFolder("key", directory=tmp_path)
    work_in(first, objects=3)
    second = SessionFolder("key", directory=tmp_path)
    assert second.earlier() is None
    path = first.path
    first.close()
    assert second.earlier() == path
    assert SessionFolder("other", directory=tmp_path).earlier() is None
    assert list(journals_in(path)) == [PLANE]
    second.adopt(path)
    third = SessionFolder("key", directory=tmp_path)
    assert third.earlier() is None
    with pytest.raises(JournalError, match="another window"):
        third.adopt(path)
    labels = np.zeros(SIZE, np.uint16)
    session = Session.restore(ArrayTarget(labels), journals_in(path)[PLANE])
    assert len(session.objects) == 3
    assert np.unique(labels).tolist() == [0, 1, 2, 3]


def test_a_session_without_objects_is_not_offered(tmp_path):
    folder = SessionFolder("key", directory=tmp_path)
    session = Session(ArrayTarget(np.zeros(SIZE, np.uint16)), journal=folder.journal(PLANE))
    session.add_point(1, 2)
    folder.close()
    assert SessionFolder("key", directory=tmp_path).earlier() is None


def test_only_the_last_ones_are_kept(tmp_path):
    for _ in range(KEPT + 4):
        folder = SessionFolder("key", directory=tmp_path)
        work_in(folder)
        folder.close()
    assert len(list((tmp_path / "key").iterdir())) == KEPT


def test_a_disk_that_takes_nothing_stops_nobody(tmp_path):
    (tmp_path / "key").write_text("a file where a folder must be")
    told = []
    folder = SessionFolder("key", directory=tmp_path, complain=told.append)
    session = work_in(folder, objects=4)
    assert len(session.objects) == 4
    assert len(told) == 1


def test_class_names(tmp_path):
    folder = SessionFolder("key", directory=tmp_path)
    folder.write_classes(["lost"])
    assert folder.read_classes() == []
    work_in(folder)
    folder.write_classes(["object", "Zelle"])
    assert folder.read_classes() == ["object", "Zelle"]


def test_the_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SAM_PLUGINS_SESSIONS", str(tmp_path))
    assert sessions_directory() == tmp_path
    monkeypatch.delenv("SAM_PLUGINS_SESSIONS")
    assert sessions_directory().name == "sessions"


def test_images_are_told_apart():
    image = np.random.default_rng(0).integers(0, 255, (300, 400), dtype=np.uint8)
    key = image_key(ImageStack((image,)))
    assert key == image_key(ImageStack((image.copy(),)), source="elsewhere")
    assert key != image_key(ImageStack((image + 1,)))
    assert key != image_key(ImageStack((image[:-1],)))


def test_images_that_are_not_in_memory_are_not_read():
    class Far:
        shape, dtype = (10**6, 10**6), np.dtype(np.uint16)

        def __getitem__(self, index):
            raise AssertionError("was read")

    stack = ImageStack((Far(),))
    assert image_key(stack, source="a.zarr") != image_key(stack, source="b.zarr")
