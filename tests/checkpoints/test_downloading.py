"""Downloads against a real server on this machine that can also misbehave."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sam_plugins.checkpoints import transfer
from sam_plugins.checkpoints.downloading import download_url, fetch, url_file_name
from sam_plugins.errors import DownloadError

CONTENT = bytes(range(256)) * (5 << 12)  # 5 MiB: several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)


@dataclass
class Server:
    """What the server does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True  # understands Range
    break_after: list[int] = field(default_factory=list)  # bytes sent by the next answers
    status: list[int] = field(default_factory=list)  # errors of the next answers
    type: str = "application/octet-stream"
    tag: str = '"one"'
    pause: float = 0.0  # seconds between pieces
    length: bool = True  # tells the length
    asked: list[str] = field(default_factory=list)  # the Range headers received


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            server.asked.append(wanted)
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/weights.bin")
                self.end_headers()
                return
            if server.status:
                self.send_error(server.status.pop(0))
                return
            start = self.start(wanted)
            if start >= len(server.content) and start:
                self.send_error(416)
                return
            body = server.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Type", server.type)
            self.send_header("ETag", server.tag)
            if server.length:
                self.send_header("Content-Length", str(len(body)))
            if start:
                total = len(server.content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            self.end_headers()
            self.send_body(body)

        def start(self, wanted: str) -> int:
            condition = self.headers.get("If-Range", server.tag)
            if not (wanted and server.ranges and condition == server.tag):
                return 0
            match = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert match is not None
            return int(match[1])

        def send_body(self, body: bytes) -> None:
            limit = server.break_after.pop(0) if server.break_after else len(body)
            for offset in range(0, min(limit, len(body)), 1 << 16):
                self.wfile.write(body[offset : min(offset + (1 << 16), limit)])
                time.sleep(server.pause)
            self.close_connection = True

        def handle(self) -> None:
            # The client was killed, as some tests do.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                super().handle()

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    state.url = f"http://127.0.0.1:{http.server_port}/weights.bin"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "FIRST_PAUSE", 0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / "weights.bin"


def visible(folder: Path) -> list[str]:
    """Names in a folder, without the lock."""
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.endswith(".lock"))


def get(server: Server, path: Path, **changes: Any) -> Path:
    return fetch(server.url, path, **{"sha256": SHA256, "size": SIZE, **changes})


def test_download_is_complete_and_reported(server: Server, path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert get(server, path, progress=lambda done, total: seen.append((done, total))) == path
    assert path.read_bytes() == CONTENT
    assert visible(path.parent) == ["weights.bin"]
    assert seen[-1] == (SIZE, SIZE)
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert {total for _, total in seen} == {SIZE}


def test_what_is_there_is_not_downloaded_again(server: Server, path: Path) -> None:
    get(server, path)
    get(server, path)
    assert len(server.asked) == 1


def test_a_file_of_the_wrong_size_is_replaced(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT[:100])
    get(server, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_broken_connection_is_resumed_or_restarted(
    server: Server, path: Path, ranges: bool
) -> None:
    server.ranges = ranges
    server.break_after = [3 << 20]
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert server.asked[0] == ""
    received = re.fullmatch(r"bytes=(\d+)-", server.asked[1])
    assert received is not None
    assert 0 < int(received[1]) <= 3 << 20
    assert len(server.asked) == 2


def test_connection_that_keeps_breaking_but_goes_on_succeeds(server: Server, path: Path) -> None:
    # One more break than fruitless attempts are allowed, but each attempt brings something.
    server.break_after = [1 << 20] * (transfer.FRUITLESS_ATTEMPTS + 1)
    get(server, path)
    assert path.read_bytes() == CONTENT


def test_connection_that_always_breaks_is_an_error_that_keeps_the_part(
    server: Server, path: Path
) -> None:
    server.break_after = [2 << 20, *[0] * 10]
    with pytest.raises(
        DownloadError, match=r"^cannot download .*; the \d+ bytes received are kept"
    ):
        get(server, path)
    assert visible(path.parent) == ["weights.bin.partial"]
    assert len(server.asked) == 1 + transfer.FRUITLESS_ATTEMPTS - 1
    server.break_after = []
    get(server, path)
    assert server.asked[-1].startswith("bytes=")
    assert path.read_bytes() == CONTENT
    assert visible(path.parent) == ["weights.bin"]


def test_server_without_ranges_that_always_breaks_gives_up(server: Server, path: Path) -> None:
    server.ranges = False
    server.break_after = [2 << 20] * 50
    with pytest.raises(DownloadError):
        get(server, path)
    assert len(server.asked) == transfer.FRUITLESS_ATTEMPTS


def test_wrong_content_is_removed(server: Server, path: Path) -> None:
    server.content = CONTENT[::-1]
    with pytest.raises(DownloadError, match=rf"SHA-256 is [0-9a-f]{{64}} and not {SHA256}"):
        get(server, path)
    assert visible(path.parent) == []


def test_wrong_size_is_noticed_before_it_is_downloaded(server: Server, path: Path) -> None:
    server.content = CONTENT + b"more"
    seen: list[int] = []
    with pytest.raises(DownloadError, match=rf"has {SIZE + 4} bytes and not {SIZE}"):
        get(server, path, progress=lambda done, total: seen.append(done))
    assert seen == []
    assert not path.exists()


def test_damaged_part_of_an_earlier_call_is_downloaded_anew(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("weights.bin.partial").write_bytes(b"x" * (2 << 20))
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [f"bytes={2 << 20}-", ""]


@pytest.mark.parametrize("extra", [0, 10])
def test_part_that_is_already_complete_or_too_long(server: Server, path: Path, extra: int) -> None:
    path.parent.mkdir()
    path.with_name("weights.bin.partial").write_bytes(CONTENT + b"x" * extra)
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == ([""] if extra else [])


def test_file_that_changes_on_the_server_between_two_parts(server: Server, path: Path) -> None:
    # Without a known hash only the server's tag tells that the first part is stale.
    server.break_after = [2 << 20]
    changed = CONTENT[::-1]

    def change(done: int, total: int) -> None:
        server.content, server.tag = changed, '"two"'

    get(server, path, sha256=None, size=None, progress=change)
    assert path.read_bytes() == changed


def test_redirection_is_followed(server: Server, path: Path) -> None:
    url = server.url.replace("weights.bin", "moved")
    fetch(url, path, sha256=SHA256, size=SIZE)
    assert path.read_bytes() == CONTENT


def test_unknown_length(server: Server, path: Path) -> None:
    server.length = False
    seen: list[tuple[int, int]] = []
    get(server, path, sha256=None, size=None, progress=lambda *pair: seen.append(pair))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (SIZE, 0)


def test_passing_error_is_tried_again(server: Server, path: Path) -> None:
    server.status = [503]
    get(server, path)
    assert path.read_bytes() == CONTENT


def test_missing_file_is_one_clear_line(server: Server, path: Path) -> None:
    server.status = [404]
    with pytest.raises(DownloadError) as error:
        get(server, path)
    assert str(error.value) == f"cannot download {server.url}: the server answered 404 Not Found"
    assert len(server.asked) == 1
    assert not path.exists()


def test_web_page_is_refused(server: Server, path: Path) -> None:
    server.type = "text/html; charset=utf-8"
    with pytest.raises(DownloadError, match="is a web page and not a checkpoint"):
        get(server, path, sha256=None, size=None)
    assert not path.exists()


def test_no_network(path: Path) -> None:
    with pytest.raises(DownloadError) as error:
        fetch("http://127.0.0.1:9/weights.bin", path, sha256=SHA256, size=SIZE)
    assert "no connection to the server" in str(error.value)
    assert "\n" not in str(error.value)
    assert not path.exists()


def test_silent_server_times_out(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "READ_TIMEOUT", 0.1)
    server.pause = 0.5
    with pytest.raises(DownloadError):
        get(server, path)
    assert not path.exists()


def test_disk_without_room_is_noticed_beforehand(
    server: Server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(path.parent.parent)._replace(free=SIZE - 1)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match=r"the disk is full \(5 MB needed, 5 MB free\)"):
        get(server, path)
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_disk_that_becomes_full(server: Server, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("weights.bin.partial").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="the disk is full") as error:
        get(server, path)
    assert isinstance(error.value.__cause__, OSError)
    assert error.value.__cause__.errno == errno.ENOSPC
    assert visible(path.parent) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_read_only_folder(server: Server) -> None:
    # Not in tmp_path, which other users cannot enter; root may write anywhere, so become nobody.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        with pytest.raises(DownloadError, match="cannot be written to; SAM_PLUGINS_CACHE"):
            get(server, folder / "weights.bin")
        with pytest.raises(DownloadError, match="cannot be written to; SAM_PLUGINS_CACHE"):
            get(server, folder / "models" / "weights.bin")
    finally:
        if root:
            os.seteuid(0)
    assert list(folder.iterdir()) == []
    folder.rmdir()


def test_folder_that_is_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot download"):
        get(server, tmp_path / "models" / "weights.bin")
    assert (tmp_path / "models").read_text() == "in the way"


def test_progress_callback_can_stop_and_the_next_call_goes_on(server: Server, path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(server, path, progress=stop)
    assert visible(path.parent) == ["weights.bin.partial"]
    get(server, path)
    assert server.asked == ["", f"bytes={1 << 20}-"]


CHILD = """
import sys
from pathlib import Path
from sam_plugins.checkpoints.downloading import fetch
url, path, sha256, size = sys.argv[1:]
fetch(url, Path(path), sha256=sha256, size=int(size))
"""


def start_child(server: Server, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, server.url, str(path), SHA256, str(SIZE)]
    return subprocess.Popen(command)


def test_killed_download_is_resumed(server: Server, path: Path) -> None:
    server.pause = 0.02
    partial = path.with_name("weights.bin.partial")
    child = start_child(server, path)
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    received = partial.stat().st_size
    assert 0 < received < SIZE
    assert visible(path.parent) == ["weights.bin.partial"]

    server.pause = 0.0
    get(server, path)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["", f"bytes={received}-"]
    assert visible(path.parent) == ["weights.bin"]


def test_two_processes_at_once_download_once(server: Server, path: Path) -> None:
    server.pause = 0.01
    children = [start_child(server, path) for _ in range(2)]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    assert path.read_bytes() == CONTENT
    assert server.asked == [""]


def test_waiting_thread_sees_the_progress_of_the_other(server: Server, path: Path) -> None:
    server.pause = 0.02
    seen: dict[str, list[int]] = {"a": [], "b": []}

    def run(name: str) -> None:
        get(server, path, progress=lambda done, total: seen[name].append(done))

    threads = [threading.Thread(target=run, args=(name,)) for name in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert path.read_bytes() == CONTENT
    assert server.asked == [""]
    assert seen["a"]
    assert seen["b"]


def test_address_of_the_user(server: Server, tmp_path: Path) -> None:
    path = download_url(server.url, cache_dir=tmp_path)
    assert path == tmp_path / "models" / url_file_name(server.url)
    assert path.read_bytes() == CONTENT
    download_url(server.url, cache_dir=tmp_path)
    assert len(server.asked) == 1


def test_address_of_the_user_is_never_resumed_from_an_earlier_call(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "models" / url_file_name(server.url)
    path.parent.mkdir()
    path.with_name(path.name + ".partial").write_bytes(b"of another version")
    download_url(server.url, cache_dir=tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [""]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/",
        "https://example.org/a/../../etc/passwd",
        "https://example.org/%2e%2e%2fpasswd",
        "https://example.org/" + "long" * 100,
        "https://example.org/model.pth?token=../x",
    ],
)
def test_file_names_are_safe(url: str) -> None:
    name = url_file_name(url)
    assert re.fullmatch(r"[0-9a-f]{16}-[A-Za-z0-9._-]{1,80}", name)


def test_different_addresses_have_different_names() -> None:
    assert url_file_name("https://a.org/model.pth") != url_file_name("https://b.org/model.pth")
