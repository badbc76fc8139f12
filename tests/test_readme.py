"""The README's Python runs as it stands."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_there_are_as_many_blocks_as_ways_to_use_it():
    assert len(BLOCKS) == 4


def can_show_napari() -> bool:
    """Whether napari is installed, and has a screen if it needs one."""
    screen = sys.platform != "linux" or "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return screen and importlib.util.find_spec("napari") is not None


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.splitlines()[0])
def test_a_block(code, tmp_path, monkeypatch, capsys):
    if "import napari" in code and not can_show_napari():
        code = code.replace("import napari\n", "").split("viewer =")[0]
    # The window would stay open until a person closes it.
    code = code.replace("napari.run()", "viewer.close()")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(README), "exec"), {})
    if "print(" in code:
        area, count = map(int, capsys.readouterr().out.split())
        assert area > 100
        assert count > 10
    if "tasks.json" in code:
        (task,) = json.loads((tmp_path / "tasks.json").read_text())
        points = task["predictions"][0]["result"][0]["value"]["points"]
        assert all(0 <= value <= 100 for point in points for value in point)
