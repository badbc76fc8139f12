"""Fine-tuning learns what is new, in each mode; keeps the best; writes model and report."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from sam_plugins.checkpoints import load_model
from sam_plugins.cli.main import run as command
from sam_plugins.datasets.labelled import DataError, LabelledImage
from sam_plugins.errors import SamPluginsError
from sam_plugins.masks import rle
from sam_plugins.training.finetuning import FinetuneSettings, finetune, validation
from sam_plugins.training.finetuning.finetune import split
from tests.training.tiny import easy_image, tiny_model


def labelled(count):
    found = []
    for index in range(count):
        image, masks = easy_image(index)
        objects = tuple(rle.encode(mask.numpy()) for mask in masks)
        found.append(LabelledImage(f"{index}.png", image.permute(1, 2, 0).numpy(), objects))
    return found


@pytest.mark.parametrize("mode", ["whole", "decoder", "adapters"])
def test_each_mode_learns(mode):
    model = tiny_model()
    names = set(model.state_dict())
    encoder = {k: v.clone() for k, v in model.image_encoder.state_dict().items()}
    settings = FinetuneSettings(mode=mode, steps=60, learning_rate=2e-3, validation=0.25)
    lines = []
    outcome = finetune(model, labelled(8), settings, on_progress=lines.append)
    assert outcome.after.score > outcome.before.score + 0.1
    assert outcome.after.step > 0
    assert (len(outcome.trained), len(outcome.held_out)) == (6, 2)
    assert not set(outcome.trained) & set(outcome.held_out)
    assert lines[0].startswith("before")
    assert set(model.state_dict()) == names
    changed = any(
        not torch.equal(value, encoder[name])
        for name, value in model.image_encoder.state_dict().items()
    )
    assert changed == (mode != "decoder")


@pytest.mark.parametrize("mode", ["whole", "adapters"])
def test_weights_that_get_worse_are_not_kept(mode):
    model = tiny_model()
    first = finetune(model, labelled(4), FinetuneSettings(steps=60, learning_rate=2e-3))
    good = {k: v.clone() for k, v in model.state_dict().items()}
    # Absurd steps destroy the model: what it was before stays.
    ruin = FinetuneSettings(mode=mode, steps=25, learning_rate=0.05)
    outcome = finetune(model, labelled(4), ruin)
    assert outcome.after.step == 0
    assert outcome.after.score == pytest.approx(first.after.score, abs=1e-3)
    for name, value in model.state_dict().items():
        assert torch.equal(value, good[name])


def test_at_least_one_image_is_held_out_and_one_is_left():
    for share in (0.01, 0.5, 0.99):
        kept, held = split(labelled(3), share, seed=0)
        assert kept
        assert held
        assert len(kept) + len(held) == 3
    with pytest.raises(DataError, match="two labelled images"):
        split(labelled(1), 0.5, seed=0)


def test_objects_as_large_as_their_images_teach_nothing():
    image, _ = easy_image()
    everything = rle.encode(np.ones((64, 64), dtype=bool))
    images = [LabelledImage(n, image.permute(1, 2, 0).numpy(), (everything,)) for n in "abc"]
    with pytest.raises(DataError, match="of the 2 images to train on covers more than 90%"):
        finetune(tiny_model(), images, FinetuneSettings(steps=1))


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SamPluginsError, match="one process"):
        finetune(tiny_model(), labelled(3), FinetuneSettings(steps=1))


@pytest.mark.parametrize("wrong", [{"mode": "all"}, {"validation": 0.0}, {"validation": 1.0}])
def test_settings_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=r"mode|held-out"):
        FinetuneSettings(**wrong)


def write_set(folder, count):
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        image, masks = easy_image(index)
        labels = (masks[0].numpy() + 2 * masks[1].numpy()).astype(np.uint8)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / "images" / f"{index}.png")
        Image.fromarray(labels).save(folder / "masks" / f"{index}.png")


def test_the_command_writes_a_model_that_can_be_used_and_a_report(tmp_path, capsys):
    write_set(tmp_path / "data", 3)
    out = tmp_path / "mine.safetensors"
    code = command(["finetune", str(tmp_path / "data"), "--out", str(out), "--steps", "2"])
    assert code == 0, capsys.readouterr().err
    assert load_model(str(out)).name == "mine"
    report = tmp_path / "mine-report"
    assert "| 1 click |" in (report / "report.md").read_text()
    numbers = json.loads((report / "report.json").read_text())
    assert numbers["before"]["step"] == 0
    assert Image.open(report / "curves.png").width > 500
    image = tmp_path / "data" / "images" / "0.png"
    asked = ["predict", str(image), "--point", "20,15", "--model", str(out), "--no-cache"]
    assert command([*asked, "--out", str(tmp_path / "mask.png")]) == 0


@pytest.mark.parametrize("measured_after_each_step", [False, True])
def test_a_loss_that_is_not_a_number_leaves_the_model_of_an_earlier_run(
    tmp_path, capsys, monkeypatch, measured_after_each_step
):
    if measured_after_each_step:
        monkeypatch.setattr(validation, "LEAST_PAUSE", 0)
        monkeypatch.setattr(validation, "VALIDATION_SHARE", 1e9)
    write_set(tmp_path / "data", 3)
    out = tmp_path / "mine.safetensors"
    out.write_bytes(b"earlier")
    common = ["finetune", str(tmp_path / "data"), "--out", str(out), "--steps", "9"]
    assert command([*common, "--learning-rate", "1e38"]) == 1
    error = capsys.readouterr().err
    assert "at step 1: the batch is in" in error
    assert "Traceback" not in error
    assert out.read_bytes() == b"earlier"
    report = tmp_path / "mine-report"
    assert torch.load(report / "bad-batch.pt", weights_only=False)[0].masks.any()
    best = load_model(str(report / "best.safetensors"))
    assert all(value.isfinite().all() for value in best.state_dict().values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--out", "m.safetensors"], "neither a folder nor a COCO file"),
        (["nowhere", "--out", "m.pt"], "must end with .safetensors"),
        (["nowhere", "--out", "m.safetensors", "--mode", "most"], "unknown mode"),
    ],
)
def test_wrong_use_is_one_line(arguments, message, capsys):
    assert command(["finetune", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
