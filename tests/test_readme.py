"""The README's Python runs as it stands, and the commands that it names are there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = sorted(
    set(re.findall(r"^\$ sam-plugins ((?:label-studio )?[a-z]+)", TEXT, re.MULTILINE))
)
TARGETS = sorted(set(re.findall(r"^\$ make ([a-z-]+)", TEXT, re.MULTILINE)))


def test_there_is_something_to_test():
    assert (len(BLOCKS), len(COMMANDS), len(TARGETS)) == (2, 9, 4)


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.splitlines()[0])
def test_a_block(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {})
    if "print(" in code:
        area, count = map(int, capsys.readouterr().out.split())
        assert area > 100
        assert count > 10


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(command):
    subprocess.run(
        [sys.executable, "-m", "sam_plugins", *command.split(), "--help"],
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_a_target(target):
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"(?m)^{target}:.*##", rules)
