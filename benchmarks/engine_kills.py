"""Does the third stage survive? Workers killed twice, the run itself once, and memory watched.

``python -m benchmarks.engine_kills`` makes 200 small images, finds their masks undisturbed in one
process, then with two workers and three kills, and compares.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.measure import save, table
from sam_plugins.data_engine import Engine, SourceImage
from sam_plugins.datasets.procedural import scene

SIZE = 128
POINTS = 4


def engine_over(folder: Path, images: list[SourceImage]) -> Engine:
    """An engine over the images."""
    return Engine.create(folder, images)


def make_images(folder: Path, count: int) -> list[SourceImage]:
    """Procedural scenes as files."""
    folder.mkdir()
    found = []
    for index in range(count):
        path = folder / f"{index:04d}.png"
        Image.fromarray(scene(np.random.default_rng([3, index]), SIZE).image).save(path)
        found.append(SourceImage(path.name, str(path)))
    return found


class Run:
    """The command in a process of its own, watched."""

    def __init__(self, engine: Engine, workers: int) -> None:
        self.engine = engine
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "sam_plugins", "engine", "stage3", str(engine.folder)),
                *("--points-per-side", str(POINTS), "--crop-layers", "0", "--device", "cpu"),
                *("--workers", str(workers)),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.memory: list[tuple[int, float, float]] = []

    @property
    def done(self) -> int:
        """Images that are complete."""
        return len(self.engine.state.done(3))

    def workers(self) -> list[psutil.Process]:
        """The processes with a model."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if any("spawn_main" in part for part in child.cmdline()):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def watch(self, until: Callable[[], bool]) -> None:
        """Note the memory, in MB, of the run and of its largest worker until something is so."""
        while not until() and self.process.poll() is None:
            try:
                own = psutil.Process(self.process.pid).memory_info().rss / 1e6
                rest = [worker.memory_info().rss / 1e6 for worker in self.workers()]
                self.memory.append((self.done, own, max(rest, default=0.0)))
            except psutil.NoSuchProcess:
                continue
            time.sleep(0.5)


def memory_row(name: str, run: Run) -> dict[str, object]:
    """Memory at the first, the middle and the last tenth of the images that a run did."""
    counts = sorted({done for done, _, _ in run.memory if done})
    row: dict[str, object] = {"what": name}
    for label, share in (("early", 0.2), ("middle", 0.6), ("late", 1.0)):
        near = counts[max(0, int(share * len(counts)) - 1)] if counts else 0
        at = [(own, worker) for done, own, worker in run.memory if done == near]
        row[f"run_mb_{label}"] = round(max((own for own, _ in at), default=0.0))
        row[f"worker_mb_{label}"] = round(max((worker for _, worker in at), default=0.0))
    return row


def main(argv: Sequence[str] | None = None) -> None:
    """Run, kill, compare, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="20 images")
    arguments = parser.parse_args(argv)
    count = 20 if arguments.quick else arguments.images
    with tempfile.TemporaryDirectory() as temporary:
        images = make_images(Path(temporary, "images"), count)
        whole = engine_over(Path(temporary, "whole"), images)
        began = time.perf_counter()
        undisturbed = Run(whole, 0)
        undisturbed.watch(lambda: False)
        seconds = time.perf_counter() - began

        engine = engine_over(Path(temporary, "disturbed"), images)
        began = time.perf_counter()
        first = Run(engine, 2)
        for share in (0.1, 0.3):
            first.watch(lambda share=share: first.done >= share * count)
            first.workers()[0].send_signal(signal.SIGKILL)
            print(f"killed a worker after {first.done} images", flush=True)
        first.watch(lambda: first.done >= 0.5 * count)
        first.process.kill()
        first.process.wait()
        killed_at = first.done
        print(f"killed the run after {killed_at} images", flush=True)
        second = Run(engine, 2)
        second.watch(lambda: False)

        pairs = [
            (whole.state.work(image, 3), engine.state.work(image, 3))
            for image in whole.state.images()
        ]
        masks = sum(len(one.objects) for one, _ in pairs if one is not None)
        same = sum(
            one is not None and other is not None and one.objects == other.objects
            for one, other in pairs
        )
        rows = [
            memory_row("one process", undisturbed) | {"seconds": round(seconds)},
            memory_row("two workers, killed", first),
            memory_row("two workers, resumed", second)
            | {
                "seconds": round(time.perf_counter() - began),
                "killed_at": killed_at,
                "images": count,
                "images_same": same,
                "masks": masks,
                "exit_codes": [undisturbed.process.returncode, second.process.returncode],
            },
        ]
    if not arguments.quick:
        save("engine-kills", rows)
    print(table(rows, list(rows[-1])))


if __name__ == "__main__":
    main()
