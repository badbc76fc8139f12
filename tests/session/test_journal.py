"""The journal brings a session back, whatever was done and whenever it was killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sam_plugins.session import (
    ArrayTarget,
    Cutout,
    Journal,
    JournalError,
    Overlap,
    OverlapError,
    Session,
)
from tests.session.answers import disc, prediction

SIZE = (40, 50)


def new_labels():
    return np.zeros(SIZE, dtype=np.uint16)


def act(session, rng):
    """Do one random thing, as a person or an impatient host would."""
    x, y = float(rng.integers(SIZE[1])), float(rng.integers(SIZE[0]))
    known = list(session.objects)
    kind = rng.integers(12)
    if kind < 3:
        session.add_point(x, y, foreground=bool(rng.integers(4)) or session.prompts.empty)
    elif kind == 3:
        session.add_box(
            x, y, float(rng.integers(SIZE[1])) + 0.5, float(rng.integers(SIZE[0])) + 0.5
        )
    elif kind == 4:
        session.cycle()
    elif kind == 5 and known:
        session.delete(int(rng.choice(known)))
    elif kind == 6 and known:
        session.set_class(int(rng.choice(known)), int(rng.integers(1, 5)))
    elif kind == 7:
        session.take_up(x, y)
    elif kind == 8:
        session.undo()
    elif kind == 9:
        session.redo()
    elif kind == 10:
        session.commit_all([(Cutout(disc(SIZE, x, y, 3)), 0.5), (Cutout(disc(SIZE, y, x, 3)), 0.4)])
    else:
        session.overlap = rng.choice(list(Overlap))
        with contextlib.suppress(OverlapError):
            session.commit(with_prompts=bool(rng.integers(2)))
    said = session.prompt()
    if said is not None and rng.integers(5):
        answer_to = said if said.labels is None or said.labels.any() else None
        if answer_to is not None:
            session.answer(prediction(SIZE, answer_to), session.version)


@pytest.mark.parametrize("seed", range(6))
def test_random_sessions_come_back_and_areas_are_true(tmp_path, seed):
    rng = np.random.default_rng(seed)
    labels = new_labels()
    path = tmp_path / "session.jsonl"
    session = Session(ArrayTarget(labels), journal=Journal(path), key="image")
    for number in range(120):
        act(session, rng)
        areas = np.bincount(labels.ravel(), minlength=1)
        assert {i: record.area for i, record in session.objects.items()} == {
            int(i): int(areas[i]) for i in np.flatnonzero(areas) if i
        }
        for object_id, record in session.objects.items():
            rows, columns = np.nonzero(labels == object_id)
            x0, y0, x1, y1 = record.box
            assert x0 <= columns.min()
            assert columns.max() < x1
            assert y0 <= rows.min()
            assert rows.max() < y1
        if number % 30 == 29:
            again = new_labels()
            restored = Session.restore(ArrayTarget(again), path)
            assert np.array_equal(again, labels)
            assert restored.objects == session.objects
            assert list(restored.objects) == list(session.objects)
            assert restored.prompts == session.prompts
            assert restored.editing == session.editing
            restored.close()
    while session.undo():
        pass
    assert not labels.any()
    assert session.objects == {}


def test_restoring_over_labels_that_were_saved_changes_nothing(tmp_path):
    labels = new_labels()
    path = tmp_path / "session.jsonl"
    session = Session(ArrayTarget(labels), journal=Journal(path))
    rng = np.random.default_rng(3)
    for _ in range(40):
        act(session, rng)
    saved = labels.copy()
    restored = Session.restore(ArrayTarget(saved), path)
    assert np.array_equal(saved, labels)
    # And it goes on in the same journal.
    restored.add_point(3, 3)
    restored.close()
    assert Session.restore(ArrayTarget(new_labels()), path).prompts == restored.prompts


def test_a_torn_line_is_left_out_and_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "session.jsonl"
    session = Session(ArrayTarget(new_labels()), journal=Journal(path))
    session.add_point(3, 4)
    session.add_point(5, 6)
    session.close()
    torn = path.read_bytes()[:-20]
    path.write_bytes(torn)
    restored = Session.restore(ArrayTarget(new_labels()), path)
    assert restored.prompts.points == ((3, 4),)
    restored.add_point(7, 8)
    restored.close()
    again = Session.restore(ArrayTarget(new_labels()), path)
    assert again.prompts.points == ((3, 4), (7, 8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n", "no journal"),
        (b"{}\n", "no journal"),
        (b'{"journal": 99}\n', "version"),
        (b'{"journal": 1, "key": "", "size": [3, 4]}\n', "image of"),
    ],
)
def test_what_is_no_journal_of_this_image_is_refused(tmp_path, content, message):
    path = tmp_path / "session.jsonl"
    path.write_bytes(content)
    labels = new_labels()
    with pytest.raises(JournalError, match=message):
        Session.restore(ArrayTarget(labels), path)
    assert path.read_bytes() == content
    assert not labels.any()


COMMITS = """
import sys
import numpy as np
from sam_plugins.session import ArrayTarget, Cutout, Journal, Session
session = Session(ArrayTarget(np.zeros((40, 2000), np.uint16)), journal=Journal(sys.argv[1]))
for index in range(50):
    session.propose_mask(Cutout(np.ones((30, 30), bool), (40 * index, 5)))
    session.commit()
    print(index + 1, flush=True)
"""


@pytest.mark.parametrize("wait", [1, 7, 20, 33, 49])
def test_a_process_killed_while_it_commits_loses_the_unfinished_object_at_most(tmp_path, wait):
    path = tmp_path / "session.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-c", COMMITS, str(path)], stdout=subprocess.PIPE, text=True
    )
    reported = 0
    while reported < wait:
        reported = int(process.stdout.readline())
    time.sleep(0.0003 * (wait % 5))
    os.kill(process.pid, signal.SIGKILL)
    reported += len(process.stdout.read().split())
    process.wait()
    labels = np.zeros((40, 2000), np.uint16)
    restored = Session.restore(ArrayTarget(labels), path)
    assert reported <= len(restored.objects) <= reported + 1
    for index in range(reported):
        assert (labels[5:35, 40 * index : 40 * index + 30] == index + 1).all()
    assert (labels > 0).sum() == 900 * len(restored.objects)


def test_the_journal_is_small(tmp_path):
    path = tmp_path / "session.jsonl"
    labels = np.zeros((6000, 6000), np.uint16)
    session = Session(ArrayTarget(labels), journal=Journal(path))
    for index in range(20):
        session.propose_mask(Cutout(disc((200, 200), 100, 100, 90), (250 * index, 250 * index)))
        session.commit()
    assert path.stat().st_size / 20 < 4000
    assert json.loads(path.read_text().splitlines()[0])["size"] == [6000, 6000]
