"""Pre-training: learns, resumes exactly, two processes equal one; the command."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sam_plugins.cli.main import run as command
from sam_plugins.errors import InvalidImageError, SamPluginsError
from sam_plugins.training.loop import TrainingDivergedError
from sam_plugins.training.mae.data import list_images
from sam_plugins.training.mae.fit import PretrainSettings, pretrain
from sam_plugins.training.mae.model import MaskedAutoencoder, MaskedAutoencoderConfig
from sam_plugins.training.optimizer import build_optimizer, learning_rate_factor

TINY = MaskedAutoencoderConfig(
    32, 2, 2, image_size=64, decoder_dim=16, decoder_depth=1, decoder_heads=2
)
# Six steps with the six images below.
SIX = PretrainSettings(
    epochs=4, batch=4, learning_rate=0.05, warm_up=0.2, report_every=2, checkpoint_every=3
)


@pytest.fixture
def images(tmp_path):
    """Six images of stripes."""
    folder = tmp_path / "images"
    folder.mkdir()
    ramp = np.arange(80)
    for index in range(6):
        stripes = 127 + 120 * np.sin(ramp[:, None] / (3 + index) + ramp / 9)
        Image.fromarray(stripes.astype(np.uint8)).save(folder / f"{index}.png")
    return folder


def train(images, place, settings=SIX, **more):
    return pretrain(
        list_images(images),
        place / "encoder.safetensors",
        config=TINY,
        folder=place / "run",
        settings=settings,
        **more,
    )


def same(left, right, **tolerance):
    left, right = (load_file(place / "encoder.safetensors") for place in (left, right))
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, **tolerance)


def kill_at(step):
    def stop(run):
        if run.step == step:
            raise KeyboardInterrupt
        return False

    return stop


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_loss_falls(tmp_path, precision):
    # Ramps, down or across: which one, and mirrored or not, only the visible patches tell. Who
    # does not look at them cannot get below 0.75.
    (tmp_path / "images").mkdir()
    for index in range(6):
        ramp = np.broadcast_to((2 + index / 6) * np.arange(80), (80, 80)).astype(np.uint8)
        image = Image.fromarray(ramp.T if index % 2 else ramp)
        image.save(tmp_path / "images" / f"{index}.png")
    settings = PretrainSettings(epochs=200, batch=6, learning_rate=0.15, precision=precision)
    rows = []
    run = train(tmp_path / "images", tmp_path, settings, on_report=rows.append)
    assert run.step == 200
    assert rows[0]["loss"] > 0.5
    assert rows[-1]["loss"] < 0.1
    assert all(value.dtype == torch.float32 for value in run.model.state_dict().values())


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_resumed_run_is_exact(images, tmp_path, accumulate):
    settings = PretrainSettings(
        epochs=4, batch=4, accumulate=accumulate, learning_rate=0.05, checkpoint_every=3
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(images, whole, settings).step == 6
    with pytest.raises(KeyboardInterrupt):
        train(images, killed, settings, stop=kill_at(4))
    assert not (killed / "encoder.safetensors").exists()
    assert torch.load(killed / "run" / "checkpoint.pt", weights_only=True)["step"] == 3
    assert train(images, killed, settings).step == 6
    same(whole, killed, rtol=0, atol=0)


def test_parts_of_a_step_add_up(images, tmp_path):
    train(images, tmp_path / "whole")
    parts = PretrainSettings(
        epochs=4, batch=4, learning_rate=0.05, warm_up=0.2, accumulate=2, checkpoint_every=3
    )
    train(images, tmp_path / "parts", parts)
    same(tmp_path / "whole", tmp_path / "parts", rtol=1e-3, atol=2e-5)


TWO = """
import sys
from pathlib import Path
from tests.training.mae.test_fit import train
run = train(Path(sys.argv[1]), Path(sys.argv[2]))
assert run.fabric.world_size == 2
"""


def test_two_processes_give_the_result_of_one(images, tmp_path):
    train(images, tmp_path / "one")
    script = tmp_path / "two.py"
    script.write_text(TWO)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    arguments = ["--standalone", "--nproc-per-node=2", script, images, tmp_path / "two"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *map(str, arguments)],
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    same(tmp_path / "one", tmp_path / "two", rtol=1e-3, atol=2e-5)


def test_other_images_or_settings_are_another_run(images, tmp_path):
    train(images, tmp_path, stop=lambda run: run.step == 3)
    longer = PretrainSettings(epochs=9, batch=4, learning_rate=0.05, warm_up=0.2)
    with pytest.raises(SamPluginsError, match="a run with other settings: choose another"):
        train(images, tmp_path, longer)
    (images / "0.png").unlink()
    with pytest.raises(SamPluginsError, match="other images and names"):
        train(images, tmp_path)


def test_a_loss_that_is_not_a_number_keeps_the_last_checkpoint(images, tmp_path):
    def poison(run):
        if run.step == 4:
            with torch.no_grad():
                run.objective.model.mask_token.fill_(torch.nan)
        return False

    with pytest.raises(TrainingDivergedError, match="nan at step 4") as caught:
        train(images, tmp_path, stop=poison)
    assert isinstance(caught.value, FloatingPointError)
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert state["step"] == 3
    assert all(value.isfinite().all() for value in state["model"].values())
    assert not (tmp_path / "encoder.safetensors").exists()


def test_the_optimizer_is_the_papers():
    settings = PretrainSettings()
    steps = settings.steps(1_281_167)
    assert steps == 250_228  # 800 epochs of ImageNet
    rules = settings.optimizer(steps)
    assert rules.learning_rate == pytest.approx(2.4e-3)
    factors = [
        learning_rate_factor(rules, step=step, steps=steps)
        for step in (0, round(steps / 20), steps // 2, steps - 1)
    ]
    assert factors == pytest.approx([0, 1, 0.5, 0], abs=0.01)
    model = MaskedAutoencoder(TINY)
    optimizer = build_optimizer(model, rules)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decay = {
        names[id(parameter)]: group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert set(names.values()) - decay.keys() == {"pos_embed", "decoder_pos_embed"}
    for name, value in decay.items():
        exempt = name.endswith("bias") or "norm" in name
        assert value == (0 if exempt else 0.05), name
    assert all(group["betas"] == (0.9, 0.95) for group in optimizer.param_groups)


def test_bad_settings(images, tmp_path):
    for wrong, message in (
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"batch": 6, "accumulate": 4}, "multiple of accumulate, got 6 and 4"),
        ({"warm_up": 1.0}, "warm_up must lie in"),
    ):
        with pytest.raises(ValueError, match=message):
            PretrainSettings(**wrong)
    (images / "broken.png").write_bytes(b"nothing")
    with pytest.raises(InvalidImageError, match=r"broken\.png"):
        train(images, tmp_path)


def test_the_command(images, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sam_plugins.training.mae.model.SIZES", {"vit_b": TINY})
    out = tmp_path / "encoder.safetensors"
    given = ["pretrain", images, "--out", out, "--epochs", 2, "--batch", 4, "--device", "cpu"]
    assert command([*map(str, given), "--precision", "float32"]) == 0
    assert "6 images, 3 steps" in (said := capsys.readouterr().err)
    assert "step 3/3: loss" in said
    assert "blocks.1.mlp.fc2.weight" in load_file(out)
    assert (tmp_path / "encoder-run" / "checkpoint.pt").exists()
    for wrong in (
        ["--encoder", "vit_x"],
        ["--device", "nowhere"],
        ["--precision", "float16"],
        ["--accumulate", "3"],
        ["--out", "encoder.pt"],
    ):
        assert command([*map(str, given), *wrong]) == 2
    assert command(["pretrain", str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    assert "no folder" in capsys.readouterr().err
