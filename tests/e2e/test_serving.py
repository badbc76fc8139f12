"""``sam-plugins label-studio serve`` and ``sample``, as processes of their own."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from socket import socket

import requests

from labelstudio_backend.client import LabelStudioClient
from labelstudio_backend.sample import find_label_studio, own_account
from labelstudio_backend.sample.project import LABEL_CONFIG, TITLE
from labelstudio_backend.sample.server import choose_port
from tests.e2e.coins import CLOSE, COIN, HEIGHT, WIDTH, overlap, truth
from tests.e2e.recorder import masks_of

POINT = {
    "id": "point",
    "type": "keypointlabels",
    "from_name": "points",
    "to_name": "image",
    "original_width": WIDTH,
    "original_height": HEIGHT,
    "image_rotation": 0,
    "is_positive": True,
    "value": {
        "x": 100 * COIN[0] / WIDTH,
        "y": 100 * COIN[1] / HEIGHT,
        "width": 0.3,
        "keypointlabels": ["Cell"],
    },
}
TERMINATED = 143


@contextmanager
def command(*arguments, **environment):
    """A command, until the block ends; its lines on standard error can be read."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sam_plugins", "label-studio", *(str(each) for each in arguments)],
        env=os.environ | environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_with(process, text):
    """The first line that a process writes with a text."""
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"it ended without {text!r}")


def status_when_up(url):
    """What a server answers, as soon as it does."""
    for _ in range(100):
        try:
            return requests.get(url, timeout=5).status_code
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {url}")


def ask_for_a_mask(client, token, project):
    """What the page does with a click."""
    (model,) = client.ml_backends(project)
    task = next(client.task_summaries(project)).id
    answer = requests.post(
        f"{client.url}/api/ml/{model.id}/interactive-annotating",
        json={"task": task, "context": {"result": [POINT]}},
        headers={"Authorization": f"Token {token}"},
        timeout=60,
    )
    (mask,) = masks_of(answer.json()["data"]["result"])
    return mask


def test_a_backend_with_a_password_that_listens_to_all(label_studio, images):
    client, port = label_studio.client, choose_port(0)
    project = client.create_project("With a password", LABEL_CONFIG).id
    client.upload(project, images[0])
    environment = {"BASIC_AUTH_USER": "label-studio", "BASIC_AUTH_PASS": "secret"}
    with command("serve", "--host", "0.0.0.0", "--port", port, **environment) as process:
        line_with(process, "Ctrl-C ends")
        url = f"http://127.0.0.1:{port}"
        assert status_when_up(f"{url}/health") == 401
        client.connect_ml_backend(project, url, basic_auth=("label-studio", "secret"))
        mask = ask_for_a_mask(client, label_studio.account.token, project)
        assert overlap(mask, truth(COIN)) > CLOSE
        process.send_signal(signal.SIGINT)
        line_with(process, "Stopped")
        assert process.wait(20) == 0


def test_the_sample_is_there_again_after_a_restart(tmp_path):
    folder = tmp_path / "sample"
    arguments = ("--folder", folder, "--port", 0, "--backend-port", 0)
    found = []
    # Ctrl-C ends it, also where a script's shell had switched that off.
    ends = [(signal.SIGTERM, TERMINATED), (signal.SIGINT, 0)]
    for number, code in ends:
        with command("sample", *arguments, "--label-studio", find_label_studio()) as process:
            url = line_with(process, "Open").split()[-1]
            account = own_account(folder)
            client = LabelStudioClient(url.partition("/projects")[0], account.token)
            (project,) = client.projects()
            assert project.title == TITLE
            assert project.task_count == 4
            assert url.endswith(f"/projects/{project.id}/data")
            mask = ask_for_a_mask(client, account.token, project.id)
            assert overlap(mask, truth(COIN)) > CLOSE
            found.append((project.id, account))
            process.send_signal(number)
            assert process.wait(30) == code
        # Label Studio has ended with it.
        with socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(url.split(":")[2].partition("/")[0])))
    assert found[0] == found[1]
