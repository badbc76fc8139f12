"""Requests that are no HTTP, no JSON, or not meant for us: each a 4xx with a reason as JSON."""

import gzip
import http.client
import json
import socket
import threading
import time

import pytest
import requests

from labelstudio_backend.server import ServerSettings
from labelstudio_backend.server.admission import Admission
from tests.labelstudio_backend.server.conftest import CONFIG, point, question
from tests.labelstudio_backend.server.test_hostile import GOOD, post, refused

TEXT = json.dumps(GOOD)


@pytest.fixture(scope="module")
def warm(url):
    """The server, once it has answered."""
    requests.post(f"{url}/predict", json=GOOD, timeout=60).raise_for_status()
    return url


@pytest.fixture(autouse=True)
def goes_on(warm):
    """Whatever was asked, the next person is served."""
    yield
    assert requests.post(f"{warm}/predict", json=GOOD, timeout=60).status_code == 200


def raw(url, *parts, pause=0.0):
    """Send bytes as they are; the status, the headers and the body of the answer."""
    name, port = url.removeprefix("http://").split(":")
    with socket.create_connection((name, int(port)), timeout=20) as line:
        for part in parts:
            line.sendall(part)
            time.sleep(pause)
        answer = http.client.HTTPResponse(line)
        answer.begin()
        return answer.status, answer.headers, answer.read()


def head(*lines, method="POST", path="/predict"):
    """The head of a request."""
    start = f"{method} {path} HTTP/1.1"
    return "\r\n".join([start, "Content-Type: application/json", *lines, "", ""]).encode("latin-1")


HOST = "Host: 127.0.0.1"
HEADS = {
    "a length that is none": head(HOST, "Content-Length: abc"),
    "a negative length": head(HOST, "Content-Length: -5"),
    "a length with a sign": head(HOST, "Content-Length: +5") + b"hello",
    "a length in another script": head(HOST, "Content-Length: ٥".encode().decode("latin-1")),
    "an enormous length": head(HOST, "Content-Length: 999999999999"),
    "a length beyond any number": head(HOST, "Content-Length: " + "9" * 5000),
    "two lengths": head(HOST, "Content-Length: 5", "Content-Length: 6") + b"hello",
    "pieces that are none": head(HOST, "Transfer-Encoding: chunked") + b"zz\r\n",
    "a negative piece": head(HOST, "Transfer-Encoding: chunked") + b"-1\r\n",
    "a way that is none": head(HOST, "Transfer-Encoding: gzip") + b"a",
    "two ways": head(HOST, "Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "a large header": head(HOST, "X: " + "a" * 300_000),
    "many headers": head(HOST, *(f"X-{n}: {n}" for n in range(50_000))),
    "a header without a colon": head(HOST, "nonsense"),
    "a header over two lines": head(HOST, "X: a", " b", "Content-Length: abc"),
    "a bare line feed": b"POST /predict HTTP/1.1\nHost: 127.0.0.1\r\n\r\n",
    "an endless path": head(HOST, method="GET", path="/" + "a" * 300_000),
    "a target of another server": head(HOST, method="GET", path="http://evil.example/predict"),
    "no version": b"GET\r\n\r\n",
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_are_none(warm, name):
    started = time.monotonic()
    status, headers, body = raw(warm, HEADS[name])
    assert 400 <= status < 500, body
    assert headers["Content-Type"] == "application/json"
    error = json.loads(body)["error"]
    assert 0 < len(error) < 500
    assert "\n" not in error
    assert time.monotonic() - started < 5


def test_a_body_in_pieces_is_a_body(warm):
    body = TEXT.encode()
    pieces = [body[at : at + 9999] for at in range(0, len(body), 9999)]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    status, _, answer = raw(warm, head(HOST, "Transfer-Encoding: chunked"), *chunks, b"0\r\n\r\n")
    assert status == 200
    assert json.loads(answer)["results"][0]["result"]


def test_too_large_a_body_in_pieces_is_cut(start):
    _, url = start(max_body=10_000, max_webhook=10_000)
    chunks = [b"2710\r\n" + b" " * 10_000 + b"\r\n"] * 3000
    status, headers, answer = raw(url, head(HOST, "Transfer-Encoding: chunked"), *chunks)
    assert status == 413
    assert headers["Content-Type"] == "application/json"
    assert "error" in json.loads(answer)


def test_who_still_sends_too_much_sees_why_not(start):
    _, url = start(max_body=10_000, max_webhook=10_000)
    for path in ("/predict", "/setup", "/webhook"):
        answer, started = post(url, path, data=b" " * 50_000_000)
        refused(answer, started)
        assert answer.status_code == 413


def test_slow_bodies_keep_nobody_waiting(warm):
    stop = threading.Event()

    def trickle():
        name, port = warm.removeprefix("http://").split(":")
        with socket.create_connection((name, int(port)), timeout=20) as line:
            line.sendall(head(HOST, "Content-Length: 1000"))
            while not stop.wait(0.05):
                line.sendall(b" ")

    slow = [threading.Thread(target=trickle) for _ in range(60)]  # more than there are threads
    for each in slow:
        each.start()
    try:
        answer = requests.post(f"{warm}/predict", json=GOOD, timeout=30)
        assert answer.status_code == 200
    finally:
        stop.set()
        for each in slow:
            each.join()


DEEP = 100_000
BODIES = {
    "named twice": TEXT.replace('"project": "1"', '"project": "1", "project": "2"'),
    "named twice within": '{"tasks": [{"data": {"image": "a", "image": "b"}}]}',
    "a hundred thousand names": json.dumps({f"n{i}": i for i in range(100_000)}),
    "the same name a hundred thousand times": "{" + '"a": 1,' * 100_000 + '"a": 1}',
    "minus infinity": '{"tasks": [-Infinity]}',
    "a float beyond any": TEXT.replace('"x": 87', '"x": 1e999'),
    "a whole number beyond any": TEXT.replace('"x": 87', '"x": ' + "9" * 4000),
    "a number of a hundred thousand digits": TEXT.replace('"x": 87', '"x": ' + "9" * DEEP),
    "lists in lists in a task": TEXT.replace('"id": 1', '"id": ' + "[" * DEEP + "]" * DEEP),
    "objects in objects in a region": TEXT.replace(
        '"x": 87', '"x": ' + '{"a":' * DEEP + "1" + "}" * DEEP
    ),
    "a byte order mark": "\ufeff" + TEXT,
    "a trailing comma": TEXT[:-1] + ",}",
    "single quotes": TEXT.replace('"', "'"),
    "a control character": TEXT.replace("Cell", "Ce\nll"),
    "half of a character in the config": json.dumps(
        {**GOOD, "label_config": "<View>\ud800</View>"}
    ),
    "a zero in the config": json.dumps({**GOOD, "label_config": "<View>\0</View>"}),
}


@pytest.mark.parametrize("name", BODIES)
def test_json_that_is_a_trap(warm, name):
    refused(*post(warm, "/predict", data=BODIES[name].encode("utf-8")))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-7", "cp037"])
def test_other_encodings(warm, encoding):
    kind = {"Content-Type": f"application/json; charset={encoding}"}
    refused(*post(warm, "/predict", data=TEXT.encode(encoding), headers=kind))


def test_a_compressed_body_is_not_unpacked(warm):
    bomb = gzip.compress(b" " * 50_000_000)
    refused(*post(warm, "/predict", data=bomb, headers={"Content-Encoding": "gzip"}))


KINDS = (
    "text/json", "application/jsonp", "application/json-patch+json", "multipart/form-data",
    "application/x-ndjson", "APPLICATION/XML", "json", "application/", ";", "*/*",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
def test_wrong_content_types(warm, path, kind):
    answer, started = post(warm, path, data=TEXT, headers={"Content-Type": kind})
    refused(answer, started)
    assert answer.status_code == 415


# ---- labelling configs -------------------------------------------------------------------------

IMAGE = '<Image name="image" value="$image"/>'
ENTITIES = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(10))
CONFIGS = {
    "entities of entities": f"<!DOCTYPE a [{ENTITIES}]><View>{IMAGE}&e9;</View>",
    "a file": f'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]><View>{IMAGE}&f;</View>',
    "an address": '<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><View/>',
    "a parameter entity": '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><View/>',
    "an unknown entity": f"<View>{IMAGE}&unknown;</View>",
    "controls in controls": f"<View>{IMAGE}" + '<A toName="image">' * 40_000 + "</A>" * 40_000,
    "closed controls in controls": (
        f"<View>{IMAGE}" + '<A toName="image">' * 40_000 + "</A>" * 40_000 + "</View>"
    ),
    "many controls": f"<View>{IMAGE}" + '<A toName="image"/>' * 19_000 + "</View>",
    "many tags": f"<View>{IMAGE}" + "<A/>" * 200_000 + "</View>",
    "deep tags": f"<View>{IMAGE}" + "<A>" * 100_000 + "</A>" * 100_000 + "</View>",
    "a style sheet": '<?xml-stylesheet href="http://127.0.0.1/"?><View/>',
    "UTF-16": '<?xml version="1.0" encoding="utf-16"?><View/>',
    "an encoding that is none": '<?xml version="1.0" encoding="klingon"?><View/>',
    "an attribute twice": f'<View a="1" a="2">{IMAGE}</View>',
    "HTML": "<html><br><script>alert(1)</script>",
    "another field": CONFIG.replace("$image", "$picture"),
    "no field": CONFIG.replace('value="$image"', ""),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_labelling_configs_that_are_traps(warm, name):
    refused(*post(warm, "/predict", json=question(point(50, 50), config=CONFIGS[name])))


# ---- whom it was meant for ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook", "/health", "/metrics"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9090", "10.0.0.1", "localhost.evil.example", "[::1", "@"]
)
def test_a_page_whose_name_was_made_ours_gets_nothing(warm, path, host):
    method = "GET" if path in ("/health", "/metrics") else "POST"
    lines = head(f"Host: {host}", f"Content-Length: {len(TEXT)}", method=method, path=path)
    status, _, body = raw(warm, lines, TEXT.encode())
    assert status == 421
    assert "error" in json.loads(body)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9090", "127.0.0.1", "127.0.0.2:80", "[::1]:9090", ""]
)
def test_our_own_names_are_answered(warm, host):
    assert raw(warm, head(f"Host: {host}", method="GET", path="/health"))[0] == 200


@pytest.mark.parametrize(
    "settings",
    [
        {"user": "a", "password": "b"},
        {"allow_anyone": True},
        {"host": "0.0.0.0", "user": "a", "password": "b"},
    ],
)
def test_with_a_password_any_name_will_do(settings):
    Admission(ServerSettings(**settings)).check_address({"HTTP_HOST": "sam.example.org"})


def test_nobody_starts_a_training_without_the_password(start):
    _, url = start(user="a", password="b")
    event = {"action": "START_TRAINING", "project": {"id": 1}}
    assert requests.post(f"{url}/webhook", json=event, timeout=9).status_code == 401
    answer = requests.post(f"{url}/webhook", json=event, auth=("a", "b"), timeout=9)
    assert answer.status_code == 201
