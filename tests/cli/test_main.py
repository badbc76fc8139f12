import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sam_plugins.cli import main as cli

Command = Callable[..., Any]
COMMANDS = ("demo", "segment", "predict", "embed", "models", "info", "cache")
HEAVY = {"torch", "numba", "scipy", "skimage", "pycocotools", "tifffile", "pooch"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from sam_plugins.cli.main import run\n"
        "code = run(['--help'])\n"
        "print(code, *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code_and_modules = done.stdout.splitlines()[-1].split()
    assert code_and_modules[0] == "0"
    assert HEAVY.isdisjoint(code_and_modules)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_listed_and_shows_an_example(command: Command, name: str) -> None:
    listed = command("--help")
    assert listed.code == 0
    assert f"\n  {name} " in listed.out
    shown = command(name, "--help")
    assert shown.code == 0
    assert f"\n    sam-plugins {name}" in shown.out


def test_version(command: Command) -> None:
    from sam_plugins import __version__

    assert command("--version").out == f"sam-plugins {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("cache",)])
def test_no_command_shows_the_help_and_is_wrong_use(
    command: Command, arguments: tuple[str, ...]
) -> None:
    outcome = command(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("Usage: sam-plugins")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nonsense",), "nonsense"),
        (("--nonsense",), "--nonsense"),
        (("segment",), "PATH"),
        (("segment", ".", "--points-per-side", "many", "--out", "x"), "--points-per-side"),
        (("segment", ".", "--format", "jpeg", "--out", "x"), "jpeg"),
        (("models", "download", "vit_z"), "vit_z"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(
    command: Command, arguments: tuple[str, ...], named: str
) -> None:
    outcome = command(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert named in outcome.err


def failing(error: BaseException) -> Callable[..., None]:
    def command() -> None:
        raise error

    return command


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make the command ``info`` raise an error."""

    def replace(error: BaseException) -> None:
        monkeypatch.setattr("sam_plugins.cli.info._add_versions", lambda table: failing(error)())

    return replace


def test_an_unexpected_error_is_one_line_without_traceback(
    command: Command, broken: Callable[[BaseException], None]
) -> None:
    broken(ZeroDivisionError("of the second\nkind"))
    outcome = command("info")
    assert (outcome.code, outcome.err) == (1, "Error: of the second kind\n")


@pytest.mark.parametrize("where", ["option", "environment"])
def test_debug_shows_the_traceback(
    command: Command,
    broken: Callable[[BaseException], None],
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    broken(ZeroDivisionError("deep inside"))
    if where == "environment":
        monkeypatch.setenv("SAM_PLUGINS_DEBUG", "1")
    outcome = command(*(["--debug"] if where == "option" else []), "info")
    assert outcome.code == 1
    assert "Traceback (most recent call last)" in outcome.err
    assert outcome.err.endswith("\nError: deep inside\n")


def test_an_os_error_names_the_file(
    command: Command, broken: Callable[[BaseException], None]
) -> None:
    broken(PermissionError(13, "Permission denied", "secret.png"))
    assert command("info").err == "Error: Permission denied: secret.png\n"


def test_ctrl_c_is_130_and_one_line(
    command: Command, broken: Callable[[BaseException], None]
) -> None:
    broken(KeyboardInterrupt())
    outcome = command("info")
    assert (outcome.code, outcome.err) == (130, "Interrupted.\n")


INTERRUPTED_IN_TEXT = """
import sam_plugins.cli.info, sam_plugins.cli.main
text = "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(30)"
sam_plugins.cli.info._add_versions = lambda table: exec(text)
sam_plugins.cli.main.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
def test_ctrl_c_is_130_in_code_made_from_text_too(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(INTERRUPTED_IN_TEXT)
    done = subprocess.run(
        [sys.executable, "-m", "interrupted", "info"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (done.returncode, done.stderr) == (130, "Interrupted.\n")


def test_warnings_are_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    monkeypatch.setattr(
        "sam_plugins.cli.info._add_versions",
        lambda table: warnings.warn("mind\nthe gap", stacklevel=1),
    )
    assert "Warning: mind the gap\n" in command("info").err


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_run_without_traceback(
    start: Callable[..., subprocess.Popen[str]],
    model_path: Path,
    folder: Path,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
) -> None:
    out = tmp_path / "out"
    for index in range(200):
        (folder / f"c{index}.png").write_bytes((folder / "a.png").read_bytes())
    process = start("segment", folder, "--out", out, "--model", model_path, "--points-per-side", 4)
    wait_until(lambda: list(out.rglob("*.overlay.png")), process)
    process.send_signal(number)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == code, messages
    assert "Traceback" not in messages
    assert not list(out.rglob("*.partial*"))
    assert not (out / "instances.json").exists()


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_a_closed_pipe_ends_a_run_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "sam_plugins", "predict", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode in (1, cli.BROKEN_PIPE)
