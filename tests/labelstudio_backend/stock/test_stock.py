"""The subclass for the SDK gives the answers of our own server, under the SDK and without it."""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from skimage import data

from labelstudio_backend.answering import PredictRequest, ServedModel, Service
from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.sample.server import choose_port
from sam_plugins.errors import SamPluginsError
from tests.e2e.coins import CLOSE, COIN, overlap, truth
from tests.e2e.recorder import masks_of
from tests.labelstudio_backend.test_recorded_requests import RECORDED, data_uri

ROOT = Path(__file__).parents[3]
SDK = ROOT / ".label-studio-ml"
# The SDK's first generation answers nothing before it is set up.
KINDS = ("setup", "predict", "webhook")
NAMES = [name for kind in KINDS for name in sorted(RECORDED) if name.startswith(kind)]


@pytest.fixture(scope="module")
def requests_to_replay():
    images = {"coins.png": data_uri(data.coins()), "cell.png": data_uri(data.cell())}
    prepared = [copy.deepcopy(RECORDED[name]) for name in NAMES]
    for request in prepared:
        for task in request["body"].get("tasks", []):
            task["data"]["image"] = images[task["data"]["image"].partition("-")[2]]
    return prepared


@pytest.fixture(scope="module")
def expected(requests_to_replay):
    """What the service answers; None where it declines."""
    service = Service(ServedModel("lite"), Projects(None, settings=FetchSettings()))
    answers = []
    for request in requests_to_replay:
        try:
            asked = PredictRequest.read(request["body"])
            answers.append(service.predict(asked))
        except SamPluginsError:
            answers.append(None)
    return answers


def replay(way, requests, tmp_path, path):
    """Answers of a process of its own, which may have the SDK before everything on its path."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "SAM_PLUGINS_CACHE": str(tmp_path / "cache"),
    }
    environment.pop("MODEL_DIR", None)
    done = subprocess.run(
        [sys.executable, "-m", "tests.labelstudio_backend.stock.replay", way],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # Nothing of the SDK lands where it was started.
    assert [each.name for each in tmp_path.iterdir()] == ["cache"]
    return json.loads(done.stdout.splitlines()[-1])


def compare(answers, expected):
    compared = 0
    for name, answer, wanted in zip(NAMES, answers, expected, strict=True):
        if not name.startswith("predict"):
            assert answer["status"] in (200, 201), name
            continue
        if wanted is None:
            assert answer["status"] >= 400, name
            continue
        assert answer["status"] == 200, name
        results = answer["body"]["results"]
        assert len(results) == len(wanted), name
        for one, other in zip(results, wanted, strict=True):
            if other == []:
                assert one == [], name
                continue
            assert one["model_version"] == other["model_version"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-3)
            left_out = {"id", "value", "score"}
            for region, same in zip(one["result"], other["result"], strict=True):
                assert {k: v for k, v in region.items() if k not in left_out} == {
                    k: v for k, v in same.items() if k not in left_out
                }
            for mask, same in zip(masks_of(one["result"]), masks_of(other["result"]), strict=True):
                assert np.array_equal(mask, same), name
                compared += 1
    assert compared >= 8


def test_under_the_stock_sdk(requests_to_replay, expected, tmp_path):
    if not SDK.is_dir():
        pytest.skip("the SDK is not installed: make stock-sdk")
    answers = replay("server", requests_to_replay, tmp_path, [SDK, ROOT])
    compare(answers, expected)


def test_without_an_sdk(requests_to_replay, expected, tmp_path):
    compare(replay("plain", requests_to_replay, tmp_path, [ROOT]), expected)


@pytest.mark.skipif(os.name == "nt", reason="it starts a shell there")
def test_the_stock_command_starts_it(requests_to_replay, tmp_path):
    if not SDK.is_dir():
        pytest.skip("the SDK is not installed: make stock-sdk")
    port = choose_port(0)
    code = "from label_studio_ml.server import main; main()"
    folder = ROOT / "labelstudio_backend" / "stock"
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(map(str, [SDK, ROOT])),
        "SAM_PLUGINS_CACHE": str(tmp_path / "cache"),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code, "start", str(folder), "--port", str(port)],
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(f"{url}/health", process)
        for name in ("setup", "predict-point"):
            body = requests_to_replay[NAMES.index(name)]["body"]
            answer = requests.post(f"{url}/{name.partition('-')[0]}", json=body, timeout=60)
            assert answer.status_code == 200
        (mask,) = masks_of(answer.json()["results"][0]["result"])
        assert overlap(mask, truth(COIN)) > CLOSE
    finally:
        # The command is a shell's parent, which is the server's.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(url, process):
    """Wait until a server answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            return requests.get(url, timeout=5).raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {url}")


@pytest.mark.parametrize(("more", "lets_in"), [((), False), (("--allow-anyone",), True)])
def test_the_stock_command_lets_nobody_in_unasked(tmp_path, more, lets_in):
    if not SDK.is_dir():
        pytest.skip("the SDK is not installed: make stock-sdk")
    code = (
        "import sys; from labelstudio_backend.stock import _wsgi; "
        "_wsgi.app.run = lambda **how: print(how['host']); _wsgi.main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--host", "0.0.0.0", *more],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [SDK, ROOT])),
            "SAM_PLUGINS_CACHE": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == lets_in
    assert done.stdout.strip() == ("0.0.0.0" if lets_in else "")
    assert lets_in or "lets other machines in" in done.stderr


def test_importing_the_package_needs_no_sdk():
    code = (
        "import sys; sys.modules['label_studio_ml'] = None; import labelstudio_backend.stock as s; "
        "assert 'labelstudio_backend.stock.backend' not in sys.modules; s.SamBackend"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
