"""The worker: newer replaces older, clicks go first, nothing waits for it."""

from __future__ import annotations

import threading
import time

import pytest

from napari_sam.worker import Worker


@pytest.fixture
def worker(qapp):
    one = Worker()
    yield one
    one.close(wait=10)


def refuse(error):
    raise error


def test_a_result_comes_in_the_window_s_thread(worker, qtbot):
    seen = []
    worker.submit(
        "click",
        lambda task: threading.current_thread(),
        lambda result: seen.append((result, threading.current_thread())),
        refuse,
    )
    qtbot.waitUntil(lambda: bool(seen))
    there, here = seen[0]
    assert here is threading.main_thread()
    assert there is not here


def test_a_newer_job_replaces_an_older_one(worker, qtbot):
    started, go, seen = threading.Event(), threading.Event(), []

    def block(task):
        started.set()
        go.wait(10)

    worker.submit("embed", block, lambda _: seen.append("blocker"), refuse)
    assert started.wait(10)
    for number in range(5):
        worker.submit("click", lambda task, number=number: number, seen.append, refuse)
    go.set()
    qtbot.waitUntil(lambda: len(seen) == 2)
    assert seen == ["blocker", 4]


def test_clicks_are_answered_within_a_long_job(worker, qtbot):
    seen, clicked = [], threading.Event()

    def long(task):
        clicked.wait(10)
        for _ in range(3):
            task.progress(1, 3)
        return "long"

    worker.submit("propose", long, seen.append, refuse)
    worker.submit("click", lambda task: "click", seen.append, refuse)
    clicked.set()
    qtbot.waitUntil(lambda: len(seen) == 2)
    assert seen == ["click", "long"]


def test_a_long_job_can_be_cancelled(worker, qtbot):
    started, seen, ended = threading.Event(), [], []
    worker.ended.connect(ended.append)

    def endless(task):
        while True:
            started.set()
            task.pause()

    worker.submit("propose", endless, seen.append, seen.append)
    assert started.wait(10)
    worker.cancel("propose")
    qtbot.waitUntil(lambda: bool(ended))
    assert not seen
    assert not worker.busy()


def test_it_is_busy_until_the_window_has_the_result(worker, qtbot):
    seen, done = [], threading.Event()

    def job(task):
        done.set()
        return 1

    worker.submit("click", job, seen.append, refuse)
    assert done.wait(10)
    time.sleep(0.05)  # the window does nothing meanwhile, so that nothing can be delivered
    assert worker.busy("click")
    qtbot.waitUntil(lambda: not worker.busy())
    assert seen == [1]


def test_a_result_that_is_not_delivered_yet_can_be_cancelled(worker, qtbot):
    seen, done = [], threading.Event()
    worker.submit("click", lambda task: done.set(), seen.append, refuse)
    assert done.wait(10)
    time.sleep(0.05)
    worker.submit("click", lambda task: 2, seen.append, refuse)
    qtbot.waitUntil(lambda: not worker.busy())
    assert seen == [2]


def test_what_goes_wrong_is_told(worker, qtbot):
    seen = []
    worker.submit("click", lambda task: 1 / 0, refuse, seen.append)
    qtbot.waitUntil(lambda: bool(seen))
    assert isinstance(seen[0], ZeroDivisionError)
    worker.submit("click", lambda task: 2, seen.append, refuse)
    qtbot.waitUntil(lambda: len(seen) == 2)


def test_nothing_comes_after_the_end(worker, qtbot):
    seen = []
    worker.submit("click", lambda task: 1, seen.append, refuse)
    worker.close(wait=10)
    worker.submit("click", lambda task: 2, seen.append, refuse)
    qtbot.wait(50)
    assert not seen
