"""The cache in one process: what is kept, who computes, what damage and a bad folder do."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sam_plugins import EmbeddingCache, ImageEmbedding
from sam_plugins.cache import disk as disk_module
from sam_plugins.cache.disk import STALE_AFTER


def never() -> ImageEmbedding:
    raise AssertionError("computed again")


def number(embedding: ImageEmbedding) -> float:
    assert float(embedding.features[0].min()) == float(embedding.features[0].max())
    return float(embedding.features[0].max())


def files(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def in_threads(*tasks: Callable[[], object]) -> list[object]:
    """What each task returned or raised, all run at the same time."""
    results: list[object] = [None] * len(tasks)

    def run(index: int) -> None:
        try:
            results[index] = tasks[index]()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive(), "a thread hangs"
    return results


# ---- keeping -------------------------------------------------------------------------------


def test_what_was_computed_is_found_again(tmp_path, make):
    cache = EmbeddingCache(tmp_path)
    assert cache.get("a") is None
    assert "a" not in cache
    computed = make(7)
    assert cache.get_or_compute("a", lambda: computed) is computed
    assert cache.get_or_compute("a", never) is computed
    assert "a" in cache
    other = EmbeddingCache(tmp_path)
    assert number(other.get_or_compute("a", never)) == 7
    assert number(other.get("a")) == 7
    assert files(tmp_path) == ["a.safetensors"]


def test_hits_and_misses_are_counted(tmp_path, make):
    cache = EmbeddingCache(tmp_path)
    cache.get_or_compute("a", make)
    cache.get_or_compute("b", make)
    cache.get_or_compute("a", never)
    assert (cache.statistics.hits, cache.statistics.misses) == (1, 2)
    other = EmbeddingCache(tmp_path)
    other.get("a")
    other.get("a")
    assert (other.statistics.disk_hits, other.statistics.memory_hits) == (1, 1)


def test_the_default_folder_follows_the_environment_and_is_made_late(tmp_path, monkeypatch, make):
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(tmp_path / "here"))
    cache = EmbeddingCache()
    assert cache.directory == tmp_path / "here" / "embeddings"
    assert "a" not in cache
    assert cache.get("a") is None
    assert cache.disk_usage() == 0
    cache.clear()
    assert list(tmp_path.iterdir()) == []
    cache.put("a", make())
    assert cache.disk_usage() == (tmp_path / "here/embeddings/a.safetensors").stat().st_size


def test_a_tilde_is_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert EmbeddingCache("~/embeddings").directory == tmp_path / "embeddings"


def test_without_bytes_for_the_disk_it_is_left_alone(tmp_path, make):
    EmbeddingCache(tmp_path).put("old", make())
    cache = EmbeddingCache(tmp_path, disk_bytes=0)
    cache.get_or_compute("a", make)
    assert "a" in cache
    assert "old" not in cache
    assert cache.get("old") is None
    cache.clear()
    assert cache.disk_usage() == 0
    assert files(tmp_path) == ["old.safetensors"]


@pytest.mark.parametrize("bounds", [{"memory_bytes": -1}, {"disk_bytes": -1}])
def test_negative_bounds_are_refused(bounds):
    with pytest.raises(ValueError, match="0 bytes or more"):
        EmbeddingCache(**bounds)


def test_keys_lead_to_no_other_folder(tmp_path, make):
    cache = EmbeddingCache(tmp_path / "c")
    for use in (
        lambda: cache.get("../a"),
        lambda: cache.put("../a", make()),
        lambda: cache.get_or_compute("../a", make),
        lambda: "../a" in cache,
    ):
        with pytest.raises(ValueError, match=r"\.\./a"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_an_embedding_larger_than_the_bounds_is_given_but_not_kept(tmp_path, make):
    cache = EmbeddingCache(tmp_path, memory_bytes=10 << 10, disk_bytes=20 << 10)
    cache.put("small", make(1, 1))
    large = make(2, 100)
    assert cache.get_or_compute("large", lambda: large) is large
    assert "large" not in cache
    assert "small" in cache
    assert files(tmp_path)[-1] == "small.safetensors"


def test_memory_holds_its_own_bytes_and_not_the_batch(make):
    batch = torch.zeros(8, 1, 16, 16)
    part = ImageEmbedding((batch[3:4],), make().frame, "tiny", "w")
    cache = EmbeddingCache(disk_bytes=0)
    cache.put("a", part)
    held = cache.get("a")
    assert held.features[0].untyped_storage().nbytes() == 1024 == cache.memory_usage()


# ---- one computation -----------------------------------------------------------------------


@pytest.mark.parametrize("memory_bytes", [0, 1 << 20])
def test_threads_that_ask_at_once_share_one_computation(make, memory_bytes):
    cache = EmbeddingCache(memory_bytes=memory_bytes, disk_bytes=0)
    calls = []
    waiting = threading.Semaphore(0)

    def compute() -> ImageEmbedding:
        calls.append(1)
        for _ in range(5):  # until all others are about to ask
            assert waiting.acquire(timeout=30)
        time.sleep(0.1)
        return make()

    def ask() -> ImageEmbedding:
        waiting.release()
        return cache.get_or_compute("a", compute)

    results = in_threads(*[ask] * 5)
    assert len(calls) == 1
    assert all(result is results[0] for result in results)
    assert (cache.statistics.misses, cache.statistics.hits) == (1, 4)


def test_different_keys_are_computed_at_the_same_time(tmp_path, make):
    cache = EmbeddingCache(tmp_path)
    meeting = threading.Barrier(3, timeout=30)

    def compute() -> ImageEmbedding:
        meeting.wait()
        return make()

    results = in_threads(
        *[lambda key=key: cache.get_or_compute(key, compute) for key in ("aa1", "aa2", "aa3")]
    )
    assert all(isinstance(result, ImageEmbedding) for result in results), results


def test_a_computation_that_raises_harms_only_its_caller(tmp_path, make):
    cache = EmbeddingCache(tmp_path)
    entered = threading.Event()
    turns = []

    def fail() -> ImageEmbedding:
        entered.set()
        time.sleep(0.2)
        raise RuntimeError("out of memory")

    def succeed() -> ImageEmbedding:
        turns.append(1)
        return make(3)

    def ask_later() -> ImageEmbedding:
        assert entered.wait(30)
        return cache.get_or_compute("a", succeed)

    first, *others = in_threads(
        lambda: cache.get_or_compute("a", fail), ask_later, ask_later, ask_later
    )
    assert isinstance(first, RuntimeError)
    assert [number(other) for other in others] == [3, 3, 3]
    assert len(turns) == 1
    assert cache.get_or_compute("a", never) is others[0]


def test_nothing_is_kept_of_a_computation_that_raises(tmp_path):
    cache = EmbeddingCache(tmp_path)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.get_or_compute("a", lambda: 1 / 0)
    assert "a" not in cache
    assert cache.disk_usage() == 0
    assert cache.memory_usage() == 0


def test_a_computation_may_use_the_cache_for_other_keys(tmp_path, make):
    cache = EmbeddingCache(tmp_path)
    inner = cache.get_or_compute
    outer = cache.get_or_compute("ab1", lambda: inner("ab2", lambda: make(5)))
    assert number(outer) == number(cache.get("ab2")) == 5


def test_two_caches_of_one_folder_compute_once(tmp_path, make):
    calls = []

    def compute() -> ImageEmbedding:
        calls.append(1)
        time.sleep(0.3)
        return make(4)

    caches = [EmbeddingCache(tmp_path) for _ in range(3)]
    results = in_threads(*[lambda c=c: c.get_or_compute("a", compute) for c in caches])
    assert [number(result) for result in results] == [4, 4, 4]
    assert len(calls) == 1


def test_threads_that_write_read_evict_and_clear_do_not_disturb_each_other(tmp_path, make):
    until = time.monotonic() + 1.5
    largest = 12 << 10

    def work(seed: int) -> int:
        cache = EmbeddingCache(tmp_path, memory_bytes=4 << 10, disk_bytes=largest)
        random = np.random.default_rng(seed)
        count = 0
        while time.monotonic() < until:
            key = int(random.integers(6))
            found = cache.get_or_compute(f"k{key}", lambda key=key: make(key, 1 + key % 3))
            assert number(found) == key
            assert cache.disk_usage() >= 0
            if random.random() < 0.05:
                cache.clear()
            count += 1
        return count

    results = in_threads(*[lambda seed=seed: work(seed) for seed in range(3)])
    assert all(isinstance(result, int) and result > 5 for result in results), results
    assert EmbeddingCache(tmp_path).disk_usage() <= largest


# ---- damage --------------------------------------------------------------------------------


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda _: b"", lambda _: b"not an embedding"])
def test_a_damaged_entry_is_noticed_computed_again_and_replaced(tmp_path, make, caplog, damage):
    EmbeddingCache(tmp_path).put("a", make(1))
    path = tmp_path / "a.safetensors"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    cache = EmbeddingCache(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert number(cache.get_or_compute("a", lambda: make(1))) == 1
    assert cache.statistics.misses == 1
    [record] = caplog.records
    assert record.name.startswith("sam_plugins.cache")
    assert "a.safetensors" in record.message
    assert "\n" not in record.message
    assert path.read_bytes() == whole
    assert number(EmbeddingCache(tmp_path).get_or_compute("a", never)) == 1


def test_an_entry_of_another_key_is_not_believed(tmp_path, make, caplog):
    EmbeddingCache(tmp_path).put("a", make(1))
    (tmp_path / "a.safetensors").rename(tmp_path / "b.safetensors")
    cache = EmbeddingCache(tmp_path)
    assert number(cache.get_or_compute("b", lambda: make(2))) == 2
    assert "another embedding" in caplog.text
    assert number(EmbeddingCache(tmp_path).get("b")) == 2


def test_what_dead_processes_left_is_removed_after_a_while(tmp_path, make):
    cache = EmbeddingCache(tmp_path)
    cache.put("a", make())
    (tmp_path / "locks").mkdir(exist_ok=True)
    old = [".a.safetensors.x1.partial.safetensors", "locks/old.lock"]
    new = [".a.safetensors.x2.partial.safetensors", "locks/new.lock"]
    for name in old + new:
        (tmp_path / name).write_bytes(b"half")
    long_ago = time.time() - STALE_AFTER - 10
    for name in old:
        os.utime(tmp_path / name, (long_ago, long_ago))
    assert cache.disk_usage() == (tmp_path / "a.safetensors").stat().st_size
    cache.put("b", make())
    assert files(tmp_path) == sorted([*new, "a.safetensors", "b.safetensors"])
    assert number(cache.get("a")) == 0


def test_locks_are_removed_with_success_and_kept_for_those_who_wait_after_failure(tmp_path, make):
    cache = EmbeddingCache(tmp_path)
    cache.get_or_compute("a", make)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_compute("b", lambda: 1 / 0)
    assert files(tmp_path / "locks") == ["b.lock"]
    cache.get_or_compute("b", make)
    assert files(tmp_path / "locks") == []


# ---- folders that do not work --------------------------------------------------------------


@pytest.mark.parametrize("where", ["file", "file/below/it"])
def test_a_folder_that_cannot_be_costs_one_warning(tmp_path, make, caplog, where):
    (tmp_path / "file").write_text("precious")
    cache = EmbeddingCache(tmp_path / where, memory_bytes=0)
    for count in range(4):
        assert number(cache.get_or_compute(f"k{count}", lambda count=count: make(count))) == count
        assert f"k{count}" not in cache
        assert cache.get(f"k{count}") is None
    assert cache.disk_usage() == 0
    [record] = caplog.records
    assert "not cached on disk" in record.message
    assert "\n" not in record.message
    assert files(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
@pytest.mark.filterwarnings("ignore:flock not supported")
def test_a_file_system_without_locks_caches_all_the_same(tmp_path, make, caplog, monkeypatch, code):
    fcntl = pytest.importorskip("fcntl")

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    cache = EmbeddingCache(tmp_path)
    began = time.monotonic()
    for count in range(3):
        assert number(cache.get_or_compute(f"k{count}", lambda count=count: make(count))) == count
    assert time.monotonic() - began < 10
    assert len(caplog.records) <= 1
    monkeypatch.undo()
    assert number(EmbeddingCache(tmp_path).get_or_compute("k2", never)) == 2


def test_whoever_waits_too_long_computes_by_itself(tmp_path, make, caplog, monkeypatch):
    monkeypatch.setattr(disk_module, "LONGEST_WAIT", 0.2)
    holds, done = threading.Event(), threading.Event()

    def slow() -> ImageEmbedding:
        holds.set()
        assert done.wait(30)
        return make(1)

    def impatient() -> ImageEmbedding:
        assert holds.wait(30)
        try:
            return EmbeddingCache(tmp_path).get_or_compute("a", lambda: make(2))
        finally:
            done.set()

    results = in_threads(lambda: EmbeddingCache(tmp_path).get_or_compute("a", slow), impatient)
    assert [number(result) for result in results] == [1, 2]
    assert "cannot wait" in caplog.text


def test_an_unlock_that_fails_does_not_lose_the_result(tmp_path, make, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    real = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_UN:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert number(EmbeddingCache(tmp_path).get_or_compute("a", lambda: make(9))) == 9
