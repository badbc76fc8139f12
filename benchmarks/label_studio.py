"""How fast is the Label Studio backend for one annotator, and for 32 at once?

Starts the backend as its users do, in a process of its own, and a small server that gives images
as Label Studio does. One annotator: seconds of a first click on a new image, and of further ones.
Many: each clicks on images of their own, with a pause between clicks, for some minutes.
"""

import argparse
import io
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import requests
import skimage
from PIL import Image

from benchmarks.measure import save, table

SIZE = 1024
SECONDS_INSIDE = 'request_seconds_total{path="/predict"}'
# So often is the memory looked at, in equal intervals.
SAMPLES = 10
CONFIG = """<View><Image name="image" value="$image"/>
<KeyPointLabels name="points" toName="image" smart="true"><Label value="Cell"/></KeyPointLabels>
<BrushLabels name="masks" toName="image"><Label value="Cell"/></BrushLabels></View>"""


def picture(number: int) -> bytes:
    """A photograph of 1024 x 1024 pixels that no other number below 1024 has."""
    image = Image.fromarray(skimage.data.astronaut()).resize((SIZE, SIZE))
    pixels = np.roll(np.asarray(image), 37 * number, axis=(number % 2))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


class _Images(BaseHTTPRequestHandler):
    """Gives `picture` N for ``/data/upload/N.jpg``."""

    def do_GET(self) -> None:
        number = re.fullmatch(r"/data/upload/(\d+)\.jpg", self.path)
        if number is None:
            self.send_error(404)
            return
        body = picture(int(number[1]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Backend:
    """The backend in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process, self.url = process, url

    @cached_property
    def session(self) -> requests.Session:
        return requests.Session()

    def click(self, image: int, x: float, y: float, session: requests.Session | None = None) -> Any:
        """One smart point: seconds that it took."""
        value = {"x": x, "y": y, "width": 0.5, "keypointlabels": ["Cell"]}
        region = {
            **{"type": "keypointlabels", "from_name": "points", "to_name": "image"},
            **{"id": "p", "original_width": SIZE, "original_height": SIZE, "image_rotation": 0},
            **{"is_positive": True, "value": value},
        }
        body = {
            "tasks": [{"id": image, "data": {"image": f"/data/upload/{image}.jpg"}}],
            "project": "1",
            "label_config": CONFIG,
            "params": {"context": {"result": [region]}},
        }
        start = time.perf_counter()
        answer = (session or self.session).post(f"{self.url}/predict", json=body, timeout=100)
        seconds = time.perf_counter() - start
        answer.raise_for_status()
        (prediction,) = answer.json()["results"]
        if not prediction["result"]:
            raise RuntimeError("a click was answered without a mask")
        return seconds

    def metric(self, name: str) -> float:
        """A figure of /metrics."""
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        found = re.search(rf"^sam_plugins_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    @property
    def memory_mb(self) -> float:
        """What the process holds now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


class _Server(ThreadingHTTPServer):
    # Many ask at once at the beginning; with the default of 5, some would wait for seconds.
    request_queue_size = 128


@contextmanager
def running() -> Iterator[Backend]:
    """Start the backend and the server of images."""
    images = _Server(("127.0.0.1", 0), _Images)
    threading.Thread(target=images.serve_forever, daemon=True).start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "LABEL_STUDIO_URL": f"http://127.0.0.1:{images.server_port}",
            "LABEL_STUDIO_API_KEY": "a" * 40,
            "SAM_PLUGINS_CACHE": folder,
        }
        command = [sys.executable, "-m", "sam_plugins", "label-studio", "serve"]
        command += ["--port", str(port), "--state", folder, "--prefetch", "0", "--no-train"]
        process = subprocess.Popen(command, env=environment)
        backend = Backend(process, f"http://127.0.0.1:{port}")
        try:
            _wait(backend)
            yield backend
        finally:
            process.terminate()
            process.wait(30)
            images.shutdown()


def _wait(backend: Backend) -> None:
    for _ in range(300):
        try:
            requests.get(f"{backend.url}/health", timeout=1).raise_for_status()
        except requests.RequestException:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("the backend did not start")


def one_annotator(backend: Backend, repetitions: int) -> dict[str, Any]:
    """Medians for somebody who works alone."""
    backend.click(0, 50, 50)  # loads the model and compiles the kernels
    first = [backend.click(1 + n, 40, 40) for n in range(max(3, repetitions // 5))]
    rng = random.Random(0)
    before = backend.metric(SECONDS_INSIDE)
    further = [backend.click(1, rng.uniform(5, 95), rng.uniform(5, 95)) for _ in range(repetitions)]
    inside = (backend.metric(SECONDS_INSIDE) - before) / repetitions
    return {
        "first click, ms": 1000 * statistics.median(first),
        "click, ms": 1000 * statistics.median(further),
        "click inside the backend, mean, ms": 1000 * inside,
    }


def many_annotators(
    backend: Backend, people: int, minutes: float, *, images: int = 4, pause: float = 1.5
) -> dict[str, Any]:
    """Many at once, each on images of their own."""
    until = time.monotonic() + 60 * minutes
    times: list[float] = []
    errors: list[str] = []
    opened: set[int] = set()
    before = backend.metric("embedding_cache_misses")

    def work(number: int) -> None:
        rng, session = random.Random(number), requests.Session()
        clicks = 0
        while time.monotonic() < until:
            # From one image to the next, and back again: first clicks are among the others.
            image = 100 + images * number + clicks // 5 % images
            clicks += 1
            opened.add(image)
            try:
                times.append(backend.click(image, rng.uniform(5, 95), rng.uniform(5, 95), session))
            except (requests.RequestException, RuntimeError) as error:
                errors.append(str(error))
            time.sleep(rng.uniform(0.5, 1.5) * pause)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(people)]
    for thread in threads:
        thread.start()
    memory = []
    for _ in range(SAMPLES):
        time.sleep(60 * minutes / SAMPLES)
        memory.append(round(backend.memory_mb))
    for thread in threads:
        thread.join()
    return {
        "people": people,
        "minutes": minutes,
        "clicks": len(times),
        "errors": len(errors),
        "first error": errors[0] if errors else "",
        "median, ms": 1000 * statistics.median(times),
        "95 %, ms": 1000 * statistics.quantiles(times, n=20)[-1],
        "images": len(opened),
        "encoded": int(backend.metric("embedding_cache_misses") - before),
        "memory, MB": memory,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half a minute")
    parser.add_argument("--people", type=int, default=32, help="0 leaves the many out")
    arguments = parser.parse_args(argv)
    with running() as backend:
        report("label_studio", one_annotator(backend, 10 if arguments.quick else 60))
        if arguments.people:
            minutes = 0.5 if arguments.quick else 5
            together = many_annotators(backend, arguments.people, minutes)
            report("label_studio-many", together)


def report(name: str, row: dict[str, Any]) -> None:
    """Write one result down and show it."""
    save(name, [row])
    print(table([row], list(row)))


if __name__ == "__main__":
    main()
