"""Choice of device and precision; batches that shrink when memory is spent."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sam_plugins.devices import (
    choose_device,
    choose_precision,
    give_back_memory,
    in_shrinking_batches,
)


def test_auto_takes_the_best_device_there_is():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.backends.mps.is_available():
        assert choose_device("auto").type == expected


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "", "xpu", "meta"])
def test_an_absent_device_is_an_error_that_names_it(name):
    with pytest.raises(ValueError, match="auto") as caught:
        choose_device(name)
    assert repr(name) in str(caught.value)


def test_an_unknown_precision_is_an_error():
    with pytest.raises(ValueError, match="float8"):
        choose_precision(torch.device("cpu"), "float8")


@pytest.mark.parametrize("name", ["int8", "openvino"])
def test_what_only_a_processor_can_is_refused_elsewhere(name):
    assert choose_precision(torch.device("cpu"), name) == name
    with pytest.raises(ValueError, match="is for a CPU"):
        choose_precision(torch.device("meta"), name)


def test_precision_can_be_forced():
    assert choose_precision(torch.device("cpu"), "float32") == "float32"
    assert choose_precision(torch.device("cpu"), "auto") in ("float32", "bfloat16")


@given(count=st.integers(0, 40), fits=st.integers(1, 10), batch_size=st.integers(1, 50))
def test_batches_shrink_until_they_fit_and_nothing_is_lost(count, fits, batch_size):
    tried = []

    def run(batch):
        tried.append(len(batch))
        if len(batch) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [item * 10 for item in batch]

    assert in_shrinking_batches(range(count), run, batch_size=batch_size) == [
        item * 10 for item in range(count)
    ]
    # Memory that did not suffice once is not asked for again.
    failed = [size for size in tried if size > fits]
    assert failed == sorted(set(failed), reverse=True)


def test_one_item_that_does_not_fit_is_an_error():
    def run(batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        in_shrinking_batches([1, 2], run, batch_size=2)


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="the GNU C library is Linux's")
def test_memory_that_is_free_goes_back_to_the_system():
    blocks = [np.ones(100_000, np.uint8) for _ in range(2000)]
    last = blocks[-1].copy()  # what is free lies below something that is not
    full = resident()
    blocks.clear()
    give_back_memory()
    assert resident() < full - 150e6
    assert last.all()


def test_giving_memory_back_does_nothing_where_the_library_cannot(monkeypatch):
    def refuse(name):
        raise TypeError("no such library")

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", refuse)  # as Windows does
    give_back_memory()


FAULTS = """
import resource, sys
from sam_plugins.devices import reuse_memory
if sys.argv[1] == "reuse":
    reuse_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    bytearray(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the GNU C library is Linux's")
def test_memory_that_is_free_is_used_again():
    pages = 8_000_000 / 4096

    def faults(how):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert faults("as it is") > 1.5 * pages
    assert faults("reuse") < 1.5 * pages
