"""Label Studio itself, as a process of its own that ends with us."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

from labelstudio_backend.sample.accounts import Account
from sam_plugins.errors import SamPluginsError

HOST = "127.0.0.1"
# It cannot share an environment with us: it pins other versions of what we need.
ENVIRONMENT = Path(".venv-label-studio")
INSTALL = (
    f"python -m venv {ENVIRONMENT} && {ENVIRONMENT}/bin/pip install label-studio, or, in a "
    "checkout of this project, make label-studio-server"
)
# The first start makes the database, which takes half a minute on a fast machine.
START_SECONDS = 600.0
STOP_SECONDS = 10.0
LOG = "label-studio.log"


def find_label_studio() -> Path:
    """Find Label Studio's command: in its environment in the current folder, else on the PATH.

    Returns
    -------
    Path

    Raises
    ------
    SamPluginsError
        If it is not installed.
    """
    names = [ENVIRONMENT / folder / "label-studio" for folder in ("bin", "Scripts")]
    found = [path for name in names if (path := shutil.which(name.absolute()))]
    path = found[0] if found else shutil.which("label-studio")
    if path is None:
        raise SamPluginsError(f"Label Studio is not installed: {INSTALL}")
    return Path(path)


def choose_port(wanted: int) -> int:
    """Take a port if it is free, else any that is.

    Parameters
    ----------
    wanted : int
        0 for any.

    Returns
    -------
    int
    """
    for port in (wanted, 0):
        with socket.socket() as probe:
            if os.name == "posix":
                # What was closed a moment ago is free, as servers see it.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SamPluginsError("this machine has no free port")


@contextmanager
def running_label_studio(
    command: Path, folder: Path, account: Account, *, port: int = 0
) -> Iterator[str]:
    """Run Label Studio on this machine alone while the block runs.

    Parameters
    ----------
    command : Path
        See `find_label_studio`.
    folder : Path
        Its data, which stay; made if there are none. Its log goes there as well.
    account : Account
        Its first user.
    port : int
        See `choose_port`.

    Yields
    ------
    str
        Its address, when it answers.

    Raises
    ------
    SamPluginsError
        If it does not start; the message has the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = choose_port(port)
    url = f"http://{HOST}:{port}"
    arguments = [str(command), "start", "--no-browser", "--log-level", "INFO"]
    arguments += ["--internal-host", HOST, "--port", str(port)]
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            arguments,
            env=environment(os.environ, folder, account, url),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us; we stop it when the answers under way are given.
            start_new_session=True,
        )
        try:
            _wait_until_up(process, url, folder / LOG)
            yield url
        finally:
            _stop(process)


def environment(
    given: Mapping[str, str], folder: Path, account: Account, url: str
) -> dict[str, str]:
    """The settings of the sample's Label Studio.

    Parameters
    ----------
    given : mapping
        Our own environment. Settings of another Label Studio in it are left out.
    folder : Path
    account : Account
    url : str

    Returns
    -------
    dict
    """
    foreign = ("LABEL_STUDIO_", "DJANGO_", "POSTGRE_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in given.items() if not name.startswith(foreign)}
    return kept | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder.absolute()),
        "LABEL_STUDIO_USERNAME": account.email,
        "LABEL_STUDIO_PASSWORD": account.password,
        "LABEL_STUDIO_USER_TOKEN": account.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_HOST": url,
        # Both it and the backend are at this machine's own address, which it refuses otherwise.
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        # What clouds tell their machines stays out of reach.
        "USER_ADDITIONAL_BANNED_SUBNETS": "169.254.0.0/16,fe80::/10",
        # A sample tells nobody that it runs.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SamPluginsError(f"Label Studio did not start: {_last_words(log)}")
        try:
            if requests.get(f"{url}/health", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.3)
    raise SamPluginsError(f"Label Studio did not answer in {START_SECONDS:.0f} s; see {log}")


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return f"{said[-1] if said else 'it said nothing'} (the whole of it: {log})"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    _signal(process, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To it and to what it started."""
    if sys.platform == "win32":
        process.terminate()
    else:
        os.killpg(process.pid, number)
