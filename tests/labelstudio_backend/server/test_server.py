"""The server: who is let in, who waits, who shares, what is told."""

import threading
import time

import pytest
import requests

from labelstudio_backend.server import ServerSettings
from labelstudio_backend.server.coalescing import Coalescing
from labelstudio_backend.server.turns import BusyError, Turns
from tests.labelstudio_backend.server.conftest import CONFIG, box, point, question


def test_a_point_is_answered_before_any_setup(url):
    answer = requests.post(f"{url}/predict", json=question(point(87, 14.5)), timeout=60)
    assert answer.status_code == 200
    (prediction,) = answer.json()["results"]
    (region,) = prediction["result"]
    assert region["type"] == "brushlabels"
    assert region["value"]["brushlabels"] == ["Cell"]
    assert (region["original_width"], region["original_height"]) == (384, 303)
    assert region["id"] != "p"


def test_ids_are_never_the_same(url):
    body = question(box(80, 5, 15, 18), box(50, 5, 12, 20))
    answers = [requests.post(f"{url}/predict", json=body, timeout=60).json() for _ in range(2)]
    ids = [region["id"] for each in answers for region in each["results"][0]["result"]]
    assert len(ids) == len(set(ids)) == 4


def test_setup_and_predictions_name_the_same_model(url):
    body = {"project": "5.17", "schema": CONFIG, "hostname": "", "access_token": ""}
    version = requests.post(f"{url}/setup", json=body, timeout=9).json()["model_version"]
    answer = requests.post(f"{url}/predict", json=question(point(9, 9), project="5"), timeout=60)
    assert answer.json()["results"][0]["model_version"] == version
    assert requests.get(f"{url}/versions", timeout=9).json()["versions"] == [version]


@pytest.mark.parametrize("path", ["/predict", "/setup", "/versions", "/metrics", "/health"])
def test_without_the_password_nobody_comes_in(start, path):
    _, url = start(user="anna", password="süß")
    method = "GET" if path in ("/versions", "/metrics", "/health") else "POST"
    for auth in (None, ("anna", "wrong"), ("anna", ""), ("", "süß")):
        answer = requests.request(method, url + path, auth=auth, json={}, timeout=9)
        assert answer.status_code == 401
        assert "Basic" in answer.headers["WWW-Authenticate"]
    for header in ("Basic", "Basic !!!", "Bearer abc", "Basic " + "A" * 4000):
        headers = {"Authorization": header}
        assert requests.request(method, url + path, headers=headers, timeout=9).status_code == 401
    right = (b"anna", "süß".encode())
    assert requests.request(method, url + path, auth=right, json={}, timeout=9).status_code != 401


def test_webhooks_need_no_password_and_health_is_small(start):
    _, url = start(user="a", password="b")
    answer = requests.post(f"{url}/webhook", json={"action": "PROJECT_UPDATED"}, timeout=9)
    assert answer.status_code == 201
    answer = requests.get(f"{url}/health", auth=("a", "b"), timeout=9)
    assert answer.json() == {"status": "UP", "model_class": "SamBackend"}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"host": "0.0.0.0"}, "lets other machines in"),
        ({"host": "192.168.1.2"}, "lets other machines in"),
        ({"user": "a"}, "both"),
        ({"password": "a"}, "both"),
        ({"port": 70000}, "port"),
        ({"threads": 0}, "threads"),
    ],
)
def test_unsafe_and_impossible_settings_are_refused(settings, why):
    with pytest.raises(ValueError, match=why):
        ServerSettings(**settings)


def test_settings_for_other_machines():
    assert not ServerSettings(host="0.0.0.0", user="a", password="b").local
    assert ServerSettings(host="0.0.0.0", user="a", password="b").trusts_setup
    assert not ServerSettings(host="0.0.0.0", allow_anyone=True).trusts_setup
    for local in ("127.0.0.1", "localhost", "::1"):
        assert ServerSettings(host=local).local


def test_metrics_count_what_happened(server):
    application, url = server
    body = question(point(50, 50))
    requests.post(f"{url}/predict", json=body, timeout=60).raise_for_status()
    text = requests.get(f"{url}/metrics", timeout=9).text
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(counts['sam_plugins_requests_total{path="/predict",status="200"}']) >= 1
    assert float(counts["sam_plugins_model_loaded"]) == 1
    assert float(counts["sam_plugins_embedding_cache_misses"]) >= 1
    assert float(counts["sam_plugins_waiting_requests"]) == 0
    predictor = application.service.model.current.predictor
    before = predictor.cache.statistics.misses
    requests.post(f"{url}/predict", json=body, timeout=60).raise_for_status()
    assert predictor.cache.statistics.misses == before


def test_an_error_of_ours_gives_no_traceback(start, caplog):
    application, url = start()

    def fail(request):
        raise ZeroDivisionError("a secret of the program")

    application.service.predict = fail
    answer = requests.post(f"{url}/predict", json=question(point(1, 1)), timeout=9)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    number = answer.json()["error"].split()[-1]
    assert number in caplog.text
    assert "a secret of the program" in caplog.text


# ---- turns -------------------------------------------------------------------------------


def test_no_more_than_so_many_compute_at_once():
    turns, now, most = Turns(2, waiting=50), [0], [0]
    lock = threading.Lock()

    def work():
        with turns(True):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.01)
            with lock:
                now[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 2
    assert turns.waiting == 0


def test_who_would_wait_too_long_is_told_so():
    turns = Turns(1, waiting=1, patience=0.05)
    with turns(True):
        with pytest.raises(BusyError, match=r"within 0\.05 seconds"), turns(True):
            pass
        slow = Turns(1, waiting=1, patience=5)
        with slow(True):
            thread = threading.Thread(target=lambda: slow(True).__enter__(), daemon=True)
            thread.start()
            while slow.waiting == 0:
                time.sleep(0.001)
            with pytest.raises(BusyError, match="already"), slow(True):
                pass
        thread.join(5)


def test_a_batch_keeps_nobody_waiting():
    turns = Turns(1, waiting=1, patience=0.2)
    with turns(False), turns(True):
        pass


def test_a_full_server_says_503(start):
    application, url = start(at_once=1, waiting=1, patience=0.3)
    requests.post(f"{url}/predict", json=question(point(9, 9)), timeout=60).raise_for_status()
    with application.service.turns(True):
        answer = requests.post(f"{url}/predict", json=question(point(20, 20)), timeout=9)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    answer = requests.post(f"{url}/predict", json=question(point(20, 20)), timeout=60)
    assert answer.status_code == 200


# ---- coalescing ----------------------------------------------------------------------------


def test_simultaneous_identical_requests_are_answered_once():
    coalescing, calls, start = Coalescing(), [], threading.Barrier(8)

    def work():
        calls.append(1)
        time.sleep(0.2)
        return object()

    answers = []

    def ask():
        start.wait()
        answers.append(coalescing.run("same", work))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len({id(answer) for answer in answers}) == 1
    coalescing.run("same", work)
    assert len(calls) == 2  # not kept: the next one asks anew


def test_an_error_goes_to_all_who_ask_and_is_not_kept():
    coalescing = Coalescing()

    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        coalescing.run("a", fail)
    assert coalescing.run("a", lambda: 5) == 5
