"""The cache among processes: who computes, what a killed writer leaves, disks that refuse.

Each script imports torch once and forks its workers, which then are processes of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the scripts fork")

PRELUDE = """
import logging, os, random, signal, sys, time
from pathlib import Path
import torch
from sam_plugins import EmbeddingCache, ImageEmbedding
from sam_plugins.frames import Frame

folder = Path(sys.argv[1])
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")

def make(number, kibibytes=1):
    values = torch.full((1, kibibytes, 16, 16), float(number))
    return ImageEmbedding((values,), Frame((60, 80), 128), "tiny", "w")

def number(embedding):
    assert embedding.features[0].min() == embedding.features[0].max()
    return int(embedding.features[0].max())

def note(name):
    with open(folder / name, "a") as file:
        file.write("x\\n")

def count(name):
    path = folder / name
    return len(path.read_text().splitlines()) if path.exists() else 0

def wait_until(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)

def start(work, *arguments):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work(*arguments)
        status = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)

def finish(children):
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0, f"a worker ended with {status}"
"""


def run(script: str, folder: Path, *, within: tuple[str, ...] = ()) -> str:
    """The output of a script; ``within`` are the command and arguments that start it."""
    done = subprocess.run(
        [*within, sys.executable, "-c", PRELUDE + script, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_processes_compute_one_key_once_and_different_keys_at_the_same_time(tmp_path):
    output = run(
        """
def same_key():
    def compute():
        note("computed")
        time.sleep(0.5)
        return make(5)
    note("ready")
    wait_until(lambda: count("ready") == 4)
    assert number(EmbeddingCache(folder / "c").get_or_compute("aa", compute)) == 5

finish([start(same_key) for _ in range(4)])
assert count("computed") == 1, count("computed")

def own_key(index):
    def compute():
        note("inside")
        wait_until(lambda: count("inside") == 3)
        return make(index)
    assert number(EmbeddingCache(folder / "c").get_or_compute(f"aa{index}", compute)) == index

finish([start(own_key, index) for index in range(3)])

def dies():
    def compute():
        note("computing")
        time.sleep(600)
    EmbeddingCache(folder / "c").get_or_compute("bb", compute)

child = start(dies)
wait_until(lambda: count("computing"))
waiting = start(lambda: EmbeddingCache(folder / "c").get_or_compute("bb", lambda: make(6)))
time.sleep(0.3)
assert "bb" not in EmbeddingCache(folder / "c")
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
finish([waiting])
assert number(EmbeddingCache(folder / "c").get("bb")) == 6
""",
        tmp_path,
    )
    assert output == ""
    assert list((tmp_path / "c" / "locks").iterdir()) == []


def test_writers_killed_at_any_moment_leave_no_half_written_entry(tmp_path):
    output = run(
        """
def write():
    cache = EmbeddingCache(folder / "c", memory_bytes=0, disk_bytes=20 << 20)
    note("writing")
    while True:
        for index in range(6):
            cache.put(f"k{index}", make(index, 2048))

killed = leftovers = 0
for turn in range(25):
    child = start(write)
    wait_until(lambda: count("writing") > turn)
    time.sleep(random.uniform(0, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not (folder / "c").exists():
        continue
    for path in (folder / "c").glob("k*.safetensors"):
        assert number(ImageEmbedding.load(path)) == int(path.stem[1:])
    leftovers = max(leftovers, len(list((folder / "c").glob(".*"))))

long_ago = time.time() - 7200
for path in (folder / "c").glob(".*"):
    os.utime(path, (long_ago, long_ago))
cache = EmbeddingCache(folder / "c", disk_bytes=20 << 20)
cache.put("last", make(1))
assert list((folder / "c").glob(".*")) == []
assert cache.disk_usage() <= 20 << 20
assert cache.disk_usage() > 1 << 20, "the writers wrote nothing"
print("leftovers", leftovers)
""",
        tmp_path,
    )
    assert output.startswith("leftovers")


def test_processes_that_write_and_evict_keep_the_folder_bounded_and_whole(tmp_path):
    output = run(
        """
BOUND = 60 << 10

def work(seed):
    pick = random.Random(seed)
    for _ in range(80):
        cache = EmbeddingCache(folder / "c", memory_bytes=0, disk_bytes=BOUND)
        index = pick.randrange(12)
        found = cache.get_or_compute(f"k{index}", lambda: make(index, 1 + index))
        assert number(found) == index

finish([start(work, seed) for seed in range(4)])
cache = EmbeddingCache(folder / "c", disk_bytes=BOUND)
assert BOUND // 2 < cache.disk_usage() <= BOUND, cache.disk_usage()
for path in (folder / "c").glob("*.safetensors"):
    assert number(ImageEmbedding.load(path, key=path.stem)) == int(path.stem[1:])
assert list((folder / "c").glob(".*")) == []
""",
        tmp_path,
    )
    assert output == ""


def own_mounts() -> tuple[str, ...] | None:
    """The command that runs another with mounts of its own, which end with it."""
    command = ("unshare", "--map-root-user", "--mount")
    if shutil.which("unshare") is None:
        return None
    trial = [*command, "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"]
    done = subprocess.run(trial, capture_output=True, check=False)
    return command if done.returncode == 0 else None


def test_a_full_and_then_read_only_disk_costs_one_warning_and_no_result(tmp_path):
    command = own_mounts()
    if command is None:
        pytest.skip("no mounts of our own here")
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$0" -c "$2" "$1"'
    script = """
import subprocess

def whole():
    paths = sorted(folder.glob("*.safetensors"))
    assert all(number(ImageEmbedding.load(path)) == int(path.stem[1:]) for path in paths)
    assert list(folder.glob(".*")) == [], "something half-written is left"
    return [path.stem for path in paths]

cache = EmbeddingCache(folder, memory_bytes=0)
for index in range(10):
    assert number(cache.get_or_compute(f"k{index}", lambda: make(index, 300))) == index
kept = whole()
assert kept[:3] == ["k0", "k1", "k2"] and len(kept) == 3, kept
print("full")

subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
cache = EmbeddingCache(folder, memory_bytes=0)
for index in range(6):
    assert number(cache.get_or_compute(f"k{index}", lambda: make(index, 1))) == index
assert cache.statistics.disk_hits == 3 and cache.statistics.misses == 3
assert whole() == kept
try:
    cache.clear()
except OSError:
    print("read-only")
"""
    output = subprocess.run(
        [*command, "sh", "-c", mount, sys.executable, str(tmp_path), PRELUDE + script],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert output.returncode == 0, output.stdout + output.stderr
    first, full, second, read_only = output.stdout.splitlines()
    assert first.startswith("WARNING embeddings are not cached on disk")
    assert "No space left" in first
    assert second.startswith("WARNING embeddings are not cached on disk")
    assert "Read-only" in second
    assert (full, read_only) == ("full", "read-only")


def test_a_disk_that_refuses_a_write_costs_one_warning_and_no_result(tmp_path):
    output = run(
        """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
cache = EmbeddingCache(folder, memory_bytes=0)
for index in range(4):
    assert number(cache.get_or_compute(f"k{index}", lambda: make(index, 300))) == index
assert number(cache.get_or_compute("k9", lambda: make(9, 1))) == 9
assert [path.name for path in folder.iterdir() if path.is_file()] == ["k9.safetensors"]
""",
        tmp_path,
    )
    [warning] = output.splitlines()
    assert "not cached on disk" in warning
    assert "too large" in warning
