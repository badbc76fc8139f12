"""A whole recipe: parts follow each other, a killed run goes on, and a model comes out."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_plugins.checkpoints import load_model
from sam_plugins.errors import SamPluginsError
from sam_plugins.modeling.lite import LiteSam, build_lite
from sam_plugins.training.lite.__main__ import main
from sam_plugins.training.lite.recipe import Part
from sam_plugins.training.lite.train import train_lite, write_model
from sam_plugins.training.loop import CHECKPOINT
from tests.training.lite.easy import TINY
from tests.training.lite.test_samples import write_set

COMMON = {"size": 64, "batch": 4, "scenes": 3, "scene_size": 64, "warm_up": 2, "objects": 2}
PARTS = (
    Part("first", 2, **COMMON, real_weights={"set": 1.0, "missing": 2.0}),
    Part("second", 2, **COMMON, rounds=(1,)),
    Part("last", 1, kind="calibration", **COMMON),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_set(folder / "set", 4)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data):
    return train_lite(PARTS, tmp_path_factory.mktemp("run"), data=data, workers=0)


def test_a_model_comes_out_that_loads_by_path(trained):
    model = load_model(trained)
    assert isinstance(model, LiteSam)
    assert {p.name for p in trained.parent.iterdir() if p.is_dir()} == {"first", "second", "last"}


def test_a_killed_run_goes_on_to_the_same_weights_with_any_number_of_workers(
    tmp_path, data, trained
):
    train_lite(PARTS[:1], tmp_path, data=data, workers=1)
    first = (tmp_path / "first" / CHECKPOINT).read_bytes()
    again = train_lite(PARTS, tmp_path, data=data, workers=2, part_bytes=5_000_000)
    assert (tmp_path / "first" / CHECKPOINT).read_bytes() == first  # it was complete
    pieces = list((tmp_path / "second").glob(f"{CHECKPOINT}*"))
    assert len(pieces) > 5
    assert max(piece.stat().st_size for piece in pieces) <= 5_000_000
    for name, value in load_model(trained).state_dict().items():
        assert torch.equal(value, load_model(again).state_dict()[name]), name


def test_the_command_runs_some_parts_of_a_recipe(tmp_path, capsys, caplog):
    recipe = tmp_path / "recipe.toml"
    head = "size = 64\nbatch = 2\nscenes = 200\nscene_size = 64\nobjects = 2\n"
    recipe.write_text(head + '[[part]]\nname = "a"\nsteps = 10\n[[part]]\nname = "b"\nsteps = 20\n')
    common = ["--recipe", str(recipe), "--out", str(tmp_path / "out"), "--workers", "0"]
    main([*common, "--parts", "b", "--scale", "0.05", "--init", "lite"])
    assert not (tmp_path / "out" / "a").exists()
    assert (tmp_path / "out" / "b" / CHECKPOINT).exists()
    assert np.load(tmp_path / "out" / "scenes-0-64-10-images.npy").shape == (10, 64, 64, 3)
    with pytest.raises(SystemExit):
        main([*common, "--parts", "c"])
    assert "no part 'c' in a, b" in capsys.readouterr().err


def test_data_that_are_not_there(tmp_path, data):
    with pytest.raises(FileNotFoundError, match="none of the folders missing, set in"):
        train_lite(PARTS[:1], tmp_path, data=tmp_path, workers=0)


def test_another_recipe_in_the_same_folder_is_an_error(tmp_path):
    part = Part("a", 1, **COMMON)
    model = load_model(train_lite([part], tmp_path, workers=0)).state_dict()
    with pytest.raises(SamPluginsError, match="a run with other steps and learning_rate: choose"):
        train_lite([replace(part, steps=2, learning_rate=1e-3)], tmp_path, workers=0)
    again = load_model(train_lite([part], tmp_path, workers=0)).state_dict()
    assert all(torch.equal(again[name], value) for name, value in model.items())


def test_errors_of_the_command_are_one_line(tmp_path, capsys):
    out = ["--out", str(tmp_path / "out"), "--workers", "0"]
    for wrong, code, message in (
        (["--recipe", str(tmp_path / "none.toml")], 2, "none.toml"),
        (["--scale", "0"], 2, "argument --scale"),
        (["--part-mb", "-1"], 2, "argument --part-mb"),
        (["--init", str(tmp_path / "none.safetensors")], 1, "no file"),
        (["--data", str(tmp_path / "none")], 1, "there is none of the folders"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main([*out, *wrong])
        error = capsys.readouterr().err
        assert stopped.value.code == code
        assert message in error
        assert "Traceback" not in error


def test_another_kind_of_model_is_no_beginning(tmp_path):
    with pytest.raises(SamPluginsError, match="not a small model"):
        train_lite(PARTS[:1], tmp_path, init=_vit(tmp_path / "vit.safetensors"))


def _vit(path):
    from sam_plugins.checkpoints import save_model
    from tests.training.tiny import tiny_model

    save_model(tiny_model(), path)
    return path


def test_weights_that_half_precision_cannot_hold_are_refused(tmp_path):
    model = build_lite(TINY)
    with torch.no_grad():
        model.mask_decoder.mask_bias.fill_(1e6)
    with pytest.raises(SamPluginsError, match=r"mask_bias has values"):
        write_model(model, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


def test_two_processes_train_together(tmp_path):
    recipe = tmp_path / "recipe.toml"
    head = "size = 64\nbatch = 4\nscenes = 2\nscene_size = 64\nobjects = 2\n"
    recipe.write_text(head + '[[part]]\nname = "a"\nsteps = 2\n')
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
        *("-m", "sam_plugins.training.lite", "--recipe", str(recipe), "--threads", "1"),
        *("--out", str(tmp_path / "out"), "--workers", "0"),
    ]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert isinstance(load_model(tmp_path / "out" / "lite.safetensors"), LiteSam)
