"""Work that several threads share."""

import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from sam_plugins import threads


@pytest.fixture(params=["team", "pool"])
def way(request, monkeypatch):
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("a PyTorch without GNU OpenMP")


@pytest.mark.parametrize("count", [None, 1, 2, 5])
def test_each_part_is_taken_once(way, count):
    taken = []
    threads.share(range(1000), taken.extend, threads=count)
    assert sorted(taken) == list(range(1000))


def test_threads_work_at_the_same_time(way):
    meeting = threading.Barrier(2, timeout=30)

    def meet(parts):
        for _ in parts:
            meeting.wait()

    threads.share(range(2), meet, threads=2)


def test_there_are_no_more_threads_than_parts(way):
    seen = []
    threads.share([1], lambda parts: seen.extend((threading.get_ident(), part) for part in parts))
    assert seen == [(threading.get_ident(), 1)]
    threads.share([], seen.extend)
    assert len(seen) == 1


def test_a_failure_comes_out_and_the_next_work_is_done(way):
    def fail(parts):
        for part in parts:
            time.sleep(0.001)
            if part == 5:
                raise MemoryError(part)

    with pytest.raises(MemoryError, match="5"):
        threads.share(range(10), fail, threads=2)
    test_each_part_is_taken_once(way, 2)


def test_several_callers_share_at_once(way):
    results = {}

    def call(number):
        taken = []
        threads.share(range(100 * number), taken.extend, threads=2)
        results[number] = sorted(taken)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(1, 7)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == {number: list(range(100 * number)) for number in range(1, 7)}


def test_as_many_threads_as_pytorch_uses():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert threads.default_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_pytorch_is_not_imported_for_it():
    code = (
        "import sys; from sam_plugins.threads import share; found = [];"
        "share(range(9), found.extend); assert sorted(found) == list(range(9));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_process_does_not_wait_for_threads_that_it_lacks():
    code = (
        "import os, torch; from sam_plugins.threads import share; torch.set_num_threads(2);"
        "share(range(9), lambda parts: list(parts)); child = os.fork();"
        "share(range(9), lambda parts: list(parts));"
        "child and os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
