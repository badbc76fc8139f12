"""Requests that mean harm or nonsense: each a 4xx with a short reason, and the server goes on."""

import base64
import http.client
import json
import socket
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from tests.labelstudio_backend.server.conftest import COINS, CONFIG, box, point, question

# Generous, for slow machines: what is refused costs next to nothing.
SECONDS = 5.0
GOOD = question(point(87, 14.5))


@pytest.fixture(scope="module")
def warm(url):
    """The server, once it has answered."""
    requests.post(f"{url}/predict", json=GOOD, timeout=60).raise_for_status()
    return url


@pytest.fixture(autouse=True)
def goes_on(warm):
    """Whatever was asked, the next person is served."""
    yield
    answer = requests.post(f"{warm}/predict", json=GOOD, timeout=60)
    assert answer.status_code == 200
    assert answer.json()["results"][0]["result"]


def refused(answer, started):
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert time.monotonic() - started < SECONDS
    error = answer.json()["error"]
    assert 0 < len(error) < 500
    assert "\n" not in error
    assert "Traceback" not in error


def post(url, path, **how):
    headers = {"Content-Type": "application/json", **how.pop("headers", {})}
    started = time.monotonic()
    return requests.post(url + path, headers=headers, timeout=30, **how), started


BODIES = {
    "empty": b"",
    "no JSON": b"{",
    "text": b"hello",
    "a string": b'"abc"',
    "a number": b"5",
    "null": b"null",
    "a list": b"[]",
    "true": b"true",
    "NaN": b'{"tasks": NaN}',
    "infinity": b'{"tasks": [Infinity]}',
    "not UTF-8": b'{"tasks": "\xff\xfe"}',
    "UTF-16": '{"tasks": []}'.encode("utf-16-le"),
    "two values": b"{} {}",
    "a comment": b"{/* */}",
    "deep lists": b"[" * 100_000,
    "closed deep lists": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a huge number": b'{"tasks": ' + b"9" * 100_000 + b"}",
    "zeros": b"\0" * 1000,
    "a form": b"tasks=1&project=2",
    "XML": b"<?xml version='1.0'?><a/>",
}


@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_no_requests(warm, path, name):
    refused(*post(warm, path, data=BODIES[name]))


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "a/b"])
@pytest.mark.parametrize("path", ["/predict", "/setup", "/webhook"])
def test_what_a_page_of_another_site_could_send(warm, path, kind):
    refused(*post(warm, path, json=None, data=json.dumps(GOOD), headers={"Content-Type": kind}))


def changed(**changes):
    body = json.loads(json.dumps(GOOD))
    for path, value in changes.items():
        target = body
        *parents, last = path.split("__")
        for name in parents:
            target = target[int(name) if name.isdigit() else name]
        if value is KeyError:
            del target[last]
        else:
            target[int(last) if last.isdigit() else last] = value
    return body


REGION = "params__context__result__0"
WRONG = {
    "no tasks": {"tasks": KeyError},
    "tasks null": {"tasks": None},
    "tasks a text": {"tasks": "abc"},
    "tasks an object": {"tasks": {}},
    "tasks empty": {"tasks": []},
    "a task a number": {"tasks__0": 5},
    "a task null": {"tasks__0": None},
    "two tasks with prompts": {"tasks": [GOOD["tasks"][0]] * 2},
    "many tasks": {"tasks": [{}] * 20_000},
    "no data": {"tasks__0__data": KeyError},
    "data a list": {"tasks__0__data": []},
    "no image": {"tasks__0__data": {}},
    "image null": {"tasks__0__data__image": None},
    "image a number": {"tasks__0__data__image": 5},
    "image a list": {"tasks__0__data__image": ["a.png"]},
    "image an object": {"tasks__0__data__image": {"url": "a"}},
    "image empty": {"tasks__0__data__image": ""},
    "project a list": {"project": [1]},
    "project an object": {"project": {}},
    "project a boolean": {"project": True},
    "config a number": {"label_config": 5},
    "config a list": {"label_config": ["<View/>"]},
    "config no XML": {"label_config": "<View"},
    "config without an image": {"label_config": "<View/>"},
    "config without masks": {"label_config": '<View><Image name="image" value="$image"/></View>'},
    "config with entities": {
        "label_config": '<!DOCTYPE a [<!ENTITY b "c">]><View><Image name="image"/></View>'
    },
    "config with a file": {
        "label_config": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><View>&b;</View>'
    },
    "config huge": {"label_config": "<View>" + "a" * 2_000_000 + "</View>"},
    "another image": {f"{REGION}__to_name": "elsewhere"},
    "params a list": {"params": [1]},
    "params a text": {"params": "abc"},
    "context a text": {"params__context": "abc"},
    "context a list": {"params__context": [1]},
    "result a text": {"params__context__result": "abc"},
    "result an object": {"params__context__result": {"a": 1}},
    "result a number": {"params__context__result": 7},
    "a region null": {REGION: None},
    "a region a text": {REGION: "abc"},
    "a region without a value": {f"{REGION}__value": KeyError},
    "a value a list": {f"{REGION}__value": []},
    "no x": {f"{REGION}__value__x": KeyError},
    "x a text": {f"{REGION}__value__x": "50"},
    "x null": {f"{REGION}__value__x": None},
    "x a boolean": {f"{REGION}__value__x": True},
    "x a list": {f"{REGION}__value__x": [5]},
    "x enormous": {f"{REGION}__value__x": 10**400},
    "many regions": {"params__context__result": [point(50, 50)] * 5000},
    "text": {"params__context__result": [{"type": "textarea", "value": {"text": ["a wheel"]}}]},
    "text without size": {
        "params__context__result": [{"type": "textarea", "value": {"text": "x"}}]
    },
    "a text area without a value": {"params__context__result": [{"type": "textarea"}]},
    "a text area with a list": {"params__context__result": [{"type": "textarea", "value": [1]}]},
    "a box without a width": {"params__context__result": [{**box(1, 1, 1, 1), "value": {"x": 1}}]},
    "a box of text": {"params__context__result": [box("a", "b", "c", "d")]},
}


@pytest.mark.parametrize("name", WRONG)
def test_requests_with_something_wrong(warm, name):
    refused(*post(warm, "/predict", data=json.dumps(changed(**WRONG[name]))))


def header_of(width, height):
    """A PNG that says that it is so large, and holds next to nothing."""

    def chunk(name, body):
        whole = name + body
        return struct.pack(">I", len(body)) + whole + struct.pack(">I", zlib.crc32(whole))

    about = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 10_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def uri(data, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


IMAGES = {
    "50k x 50k": uri(header_of(50_000, 50_000)),
    "one line of two thousand million": uri(header_of(2**31 - 1, 1)),
    "no pixels": uri(header_of(0, 0)),
    "truncated": COINS[:5000],
    "header alone": uri(base64.b64decode(COINS.partition(",")[2])[:60]),
    "HTML": uri(b"<html><script>alert(1)</script></html>"),
    "SVG": uri(b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "image/svg+xml"),
    "PDF": uri(b"%PDF-1.7\n%%EOF"),
    "GIF and script": uri(b"GIF89a/*" + b"a" * 100 + b"*/=1;alert(1)"),
    "a ZIP with a PNG": uri(b"PK\x03\x04" + header_of(5, 5)),
    "TIFF": uri(b"II*\0" + b"\0" * 100),
    "no base64": "data:image/png;base64,%%%%",
    "no data": "data:image/png;base64,",
    "no comma": "data:image/png",
    "a file": "file:///etc/passwd",
    "ftp": "ftp://127.0.0.1/a.png",
    "gopher": "gopher://127.0.0.1:6379/_INFO",
    "javascript": "javascript:alert(1)",
    "a Windows path": "C:\\Windows\\win.ini",
    "a path": "/etc/passwd",
    "a relative path": "../../etc/passwd",
    "two slashes": "//example.com/a.png",
    "loopback": "http://127.0.0.1:22/a.png",
    "loopback by name": "http://localhost:22/a.png",
    "loopback in another spelling": "http://2130706433/a.png",
    "loopback in octal": "http://0177.0.0.1/a.png",
    "loopback, short": "http://127.1/a.png",
    "loopback, version 6": "http://[::1]/a.png",
    "loopback, mapped": "http://[::ffff:127.0.0.1]/a.png",
    "any address": "http://0.0.0.0/a.png",
    "a cloud's metadata": "http://169.254.169.254/latest/meta-data/",
    "a private network": "http://10.0.0.1/a.png",
    "another private network": "http://192.168.0.1/a.png",
    "user and password": "http://user:pw@127.0.0.1/a.png",
    "a port that is none": "http://example.com:99999/a.png",
    "an upload": "/data/upload/../../../etc/passwd",
    "an encoded upload": "/data/upload/%2e%2e/%2e%2e/etc/passwd",
    "local files": "/data/local-files/?d=../../../../etc/passwd",
    "local files, absolute": "/data/local-files/?d=/etc/passwd",
    "local files, encoded": "/data/local-files/?d=%2e%2e%2fetc%2fpasswd",
    "a storage": "s3://bucket/key.png",
    "a line break": "http://example.com/a.png\r\nHost: evil",
    "a zero byte": "/data/upload/a\0.png",
    "a surrogate": "/data/upload/\udc80.png",
    "endless": "http://" + "a" * 100_000,
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_that_are_traps(warm, name):
    refused(*post(warm, "/predict", json=question(point(50, 50), image=IMAGES[name])))


class Inside(BaseHTTPRequestHandler):
    """Something that only this machine should reach."""

    asked: list[str] = []  # noqa: RUF012  (of the class, as its instances live for one request)

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"secret")

    def log_message(self, *_):
        pass


def test_no_address_of_this_machine_is_even_asked(warm):
    inside = ThreadingHTTPServer(("127.0.0.1", 0), Inside)
    threading.Thread(target=inside.serve_forever, daemon=True).start()
    port = inside.server_port
    hosts = ("127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "[::ffff:7f00:1]", "0")
    try:
        for host in hosts:
            image = f"http://{host}:{port}/a.png"
            answer, started = post(warm, "/predict", json=question(point(5, 5), image=image))
            refused(answer, started)
            assert "secret" not in answer.text
    finally:
        inside.shutdown()
    assert Inside.asked == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/%2e%2e/etc/passwd", 404),
        ("POST", "/", 405),
        ("GET", "/predict", 405),
        ("DELETE", "/predict", 405),
        ("PUT", "/setup", 405),
        ("PATCH", "/webhook", 405),
        ("OPTIONS", "/predict", 405),
        ("POST", "/health", 405),
        ("TRACE", "/health", 405),
        ("BREW", "/health", 405),
    ],
)
def test_paths_and_methods_that_are_none(warm, method, path, status):
    host = warm.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=9)
    connection.request(method, path)
    answer = connection.getresponse()
    assert answer.status == status
    assert "error" in json.loads(answer.read())


@pytest.mark.parametrize(
    "head",
    [
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /predict HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 300_000 + b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
def test_heads_that_are_none(warm, head):
    name, port = warm.removeprefix("http://").split(":")
    with socket.create_connection((name, int(port)), timeout=9) as line:
        line.sendall(head)
        answer = line.recv(4000)
    status = int(answer.split()[1]) if answer else 400
    assert 400 <= status < 500 or (head.startswith(b"GET /") and status in (200, 505))


def test_a_request_that_stops_midway_harms_nobody(warm):
    name, port = warm.removeprefix("http://").split(":")
    lines = []
    for _ in range(50):
        line = socket.create_connection((name, int(port)), timeout=9)
        line.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        lines.append(line)
    answer = requests.post(f"{warm}/predict", json=GOOD, timeout=60)
    assert answer.status_code == 200
    for line in lines:
        line.close()


SETUPS = {
    "project a list": {"project": []},
    "schema a number": {"schema": 5},
    "host a list": {"hostname": []},
    "token a number": {"access_token": 5},
    "host no address": {"hostname": "not an address", "access_token": "a"},
    "host a file": {"hostname": "file:///etc", "access_token": "a"},
    "params no JSON": {"extra_params": "{"},
    "params deep": {"extra_params": "[" * 100_000},
    "params deep and closed": {"extra_params": "[" * 100_000 + "]" * 100_000},
    "params a list": {"extra_params": [1]},
    "params unknown": {"extra_params": {"model": "/tmp/evil.pt"}},
    "params of another type": {"extra_params": {"segment_everything": "yes"}},
    "a grid out of range": {"extra_params": {"points_per_side": 100_000}},
    "a threshold out of range": {"extra_params": {"pred_iou_thresh": 7}},
    "a number that is none": {"extra_params": {"min_area": "5"}},
}


@pytest.mark.parametrize("name", SETUPS)
def test_setups_with_something_wrong(warm, name):
    body = {"project": "1", "schema": CONFIG, "hostname": "", "access_token": "", **SETUPS[name]}
    refused(*post(warm, "/setup", json=body))
