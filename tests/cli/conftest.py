"""A small random model and small images, so that a command takes a second and not a minute."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sam_plugins.cli.main import run


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and its two streams."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees or leaves anything in the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(folder))
    return folder


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in this process."""

    def run_here(*arguments: object) -> Outcome:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run_here


@pytest.fixture
def program() -> Command:
    """Run a command in a process of its own."""

    def run_there(*arguments: object) -> Outcome:
        done = subprocess.run(
            command_line(arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run_there


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[str]]:
    """Begin a command in a process of its own."""

    def begin(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command_line(arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            # A shell's background jobs ignore Ctrl-C, and so would what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )

    return begin


def command_line(arguments: Sequence[object]) -> list[str]:
    return [sys.executable, "-m", "sam_plugins", *(str(argument) for argument in arguments)]


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, whose masks cover about half of an image."""
    import torch

    from sam_plugins.checkpoints import save_model
    from sam_plugins.modeling import LiteConfig, SamConfig, build_sam

    encoder = LiteConfig(
        channels=(8, 8, 8, 8, 8),
        blocks=(1, 1, 1, 1),
        embed_dim=32,
        fine_channels=(8, 8, 8),
        decoder_depth=1,
        decoder_heads=2,
        decoder_mlp_dim=32,
    )
    torch.manual_seed(0)
    model = build_sam(SamConfig("tiny", encoder, frame_size=64))
    torch.nn.init.zeros_(model.mask_decoder.mask_bias)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(model, path)
    return path


def scene(seed: int) -> NDArray[np.uint8]:
    """Some bright rectangles on a dark ground: (48, 64, 3), uint8."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 40, (48, 64, 3)).astype(np.uint8)
    for _ in range(4):
        top, left = random.integers(0, 36), random.integers(0, 50)
        pixels[top : top + 12, left : left + 12] = random.integers(100, 255, 3)
    return pixels


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """One image, 64 pixels wide and 48 high."""
    path = tmp_path / "picture.png"
    Image.fromarray(scene(0)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two images that differ only in their suffix, and one in a folder below."""
    top = tmp_path / "images"
    (top / "below").mkdir(parents=True)
    Image.fromarray(scene(1)).save(top / "a.png")
    Image.fromarray(scene(2)).save(top / "a.tif")
    Image.fromarray(scene(3)).save(top / "below" / "b.png")
    return top
