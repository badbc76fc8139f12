"""A server that is killed at any moment serves again as soon as it is started."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import requests

from tests.labelstudio_backend.learning.test_training import fill
from tests.labelstudio_backend.server.conftest import CONFIG, png, point, question


class Server:
    """``sam-plugins label-studio serve`` in a process of its own."""

    def __init__(self, folder, *options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "sam_plugins", "label-studio", "serve"]
        command += ["--port", str(port), "--state", str(folder / "state"), "--prefetch", "0"]
        command += options
        environment = {**os.environ, "SAM_PLUGINS_CACHE": str(folder / "cache")}
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def wait(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                requests.get(f"{self.url}/health", timeout=1)
            except requests.RequestException:
                time.sleep(0.05)
            else:
                return self
        raise AssertionError("the server did not start")

    def kill(self):
        """End it and what it started, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
def test_killed_while_it_encodes_caches_and_notes(tmp_path):
    rng = random.Random(0)
    images = [
        png(np.random.default_rng(n).integers(0, 255, (200, 200, 3), np.uint8)) for n in range(12)
    ]
    options = {"segment_everything": True, "label": "Cell"}
    setup = {"schema": CONFIG, "hostname": "", "access_token": "", "extra_params": options}
    for round_ in range(3):
        server = Server(tmp_path).wait()

        def ask(server=server, round_=round_):
            for number, image in enumerate(images):
                try:
                    project = str(100 * round_ + number)
                    requests.post(f"{server.url}/setup", json={**setup, "project": project})
                    requests.post(
                        f"{server.url}/predict", json=question(point(50, 50), image=image)
                    )
                except requests.RequestException:
                    return

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(rng.uniform(1.0, 4.0))
        server.kill()
        asking.join()
    server = Server(tmp_path).wait()
    try:
        versions = set()
        for image in images:
            answer = requests.post(
                f"{server.url}/predict", json=question(point(50, 50), image=image), timeout=60
            )
            assert answer.status_code == 200
            versions.add(answer.json()["results"][0]["model_version"])
        assert len(versions) == 1
        # What was noted before the kills is there.
        body = {"tasks": [{"id": 1, "data": {"image": images[0]}}], "project": "0"}
        answer = requests.post(
            f"{server.url}/predict", json={**body, "label_config": CONFIG}, timeout=60
        )
        assert answer.json()["results"][0]["result"]
    finally:
        server.kill()


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
def test_killed_while_it_trains(tmp_path):
    state = tmp_path / "state"
    fill(state)
    body = question(point(50, 50))
    event = {"action": "START_TRAINING", "project": {"id": 4}}

    def version(server):
        answer = requests.post(f"{server.url}/predict", json=body, timeout=60)
        assert answer.json()["results"][0]["result"]
        return answer.json()["results"][0]["model_version"]

    def begin_to_train(server):
        assert requests.post(f"{server.url}/webhook", json=event, timeout=9).status_code == 201
        until(lambda: "before" in (state / "training.log").read_text())  # measured: it trains now

    server = Server(tmp_path, "--train-minutes", "5").wait()
    before = version(server)
    begin_to_train(server)
    assert version(server) == before
    server.kill()
    assert not (state / "current.json").exists()
    assert not list(state.rglob("*.safetensors"))
    server = Server(tmp_path, "--train-minutes", "0.02").wait()
    try:
        assert version(server) == before
        begin_to_train(server)
        until(lambda: version(server) != before)
        (model,) = state.rglob("*.safetensors")
        assert json.loads((state / "current.json").read_text())["model"] == str(model)
    finally:
        server.kill()


def until(done):
    """Wait until something is so."""
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
