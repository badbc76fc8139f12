import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]

QUICK = ("--points-per-side", 4, "--pred-iou-thresh", 0, "--stability-score-thresh", 0)


@pytest.fixture
def segment(command: Command, model_path: Path, folder: Path, tmp_path: Path) -> Command:
    """Run ``segment`` on the folder of three images, quickly, with the random model."""

    def run(*arguments: object, out: Path = tmp_path / "out") -> Any:
        return command("segment", folder, "--out", out, "--model", model_path, *QUICK, *arguments)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def times(folder: Path) -> dict[str, int]:
    """When each file but the one that is always put together anew was written."""
    return {
        path.name: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and path.name != "instances.json"
    }


def test_what_is_complete_is_not_done_again(segment: Command, tmp_path: Path) -> None:
    assert segment().code == 0
    before, written = contents(tmp_path / "out"), times(tmp_path / "out")
    outcome = segment("--resume")
    assert outcome.code == 0
    assert "0 images segmented, 3 complete before" in outcome.err
    assert contents(tmp_path / "out") == before
    assert times(tmp_path / "out") == written


def test_without_resume_all_is_done_again(segment: Command, tmp_path: Path) -> None:
    segment()
    before, written = contents(tmp_path / "out"), times(tmp_path / "out")
    assert "3 images segmented, 0 complete before" in segment().err
    assert contents(tmp_path / "out") == before
    assert all(times(tmp_path / "out")[name] > written[name] for name in written)


def test_other_settings_are_done_again(segment: Command, tmp_path: Path) -> None:
    segment()
    assert "3 images segmented" in segment("--resume", "--points-per-side", 3).err
    segment("--points-per-side", 3, out=tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_changed_image_is_done_again(segment: Command, folder: Path, tmp_path: Path) -> None:
    segment()
    Image.fromarray(np.random.default_rng(9).integers(0, 255, (30, 40, 3)).astype(np.uint8)).save(
        folder / "a.png"
    )
    assert "1 image segmented, 2 complete before" in segment("--resume").err
    assert Image.open(tmp_path / "out" / "a.png.overlay.png").size == (40, 30)


def test_a_missing_result_is_written_again(segment: Command, tmp_path: Path) -> None:
    segment()
    before = contents(tmp_path / "out")
    (tmp_path / "out" / "a.tif.overlay.png").unlink()
    (tmp_path / "out" / "instances.json").unlink()
    assert segment("--resume").code == 0
    assert contents(tmp_path / "out") == before


def test_a_further_format_is_written_without_the_model(
    segment: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment()

    def not_again(*arguments: Any, **more: Any) -> None:
        raise AssertionError("the masks are known already")

    monkeypatch.setattr("sam_plugins.automatic.generate", not_again)
    assert segment("--resume", "--format", "labels").code == 0
    assert (tmp_path / "out" / "below" / "b.png.labels.tif").is_file()


def test_a_format_made_with_other_settings_is_not_taken_for_complete(
    segment: Command, tmp_path: Path
) -> None:
    """Labels of the first run must not survive into a run with other settings."""
    both = ("--format", "labels", "--format", "coco")
    segment(*both)
    segment("--points-per-side", 3, "--format", "coco")
    segment("--points-per-side", 3, "--resume", *both)
    segment("--points-per-side", 3, *both, out=tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


@pytest.mark.parametrize("damage", ["", "{", '{"made_with": 1}', "[]"])
def test_a_damaged_record_is_made_again(segment: Command, tmp_path: Path, damage: str) -> None:
    segment()
    before = contents(tmp_path / "out")
    (tmp_path / "out" / ".sam-plugins" / "a.png.json").write_text(damage)
    assert "1 image segmented, 2 complete before" in segment("--resume").err
    assert contents(tmp_path / "out") == before


@pytest.mark.skipif(os.name == "nt", reason="no such signal there")
def test_killed_and_resumed_is_the_same_as_undisturbed(
    segment: Command,
    start: Callable[..., subprocess.Popen[str]],
    model_path: Path,
    folder: Path,
    tmp_path: Path,
) -> None:
    for index in range(6):
        (folder / f"c{index}.png").write_bytes((folder / "a.png").read_bytes())
    out = tmp_path / "out"
    process = start("segment", folder, "--out", out, "--model", model_path, *QUICK, "--resume")
    records = out / ".sam-plugins"
    deadline = time.monotonic() + 120
    while len(list(records.glob("*.json"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert not (out / "instances.json").exists(), "it was killed too late to show anything"
    # What a write that was cut off leaves behind.
    (out / ".a.png.overlay.png.abcd1234.partial.png").write_bytes(b"half")

    outcome = segment("--resume")
    assert outcome.code == 0
    assert "0 complete before" not in outcome.err
    segment(out=tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")
    assert len(json.loads((out / "instances.json").read_text())["images"]) == 9
