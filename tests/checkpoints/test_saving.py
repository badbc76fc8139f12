"""Saving models and getting the same ones back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open

from sam_plugins.checkpoints import hash_weights, load_model, save_model
from sam_plugins.checkpoints.metadata import config_from_json, config_to_json
from sam_plugins.errors import CheckpointError
from sam_plugins.modeling import CONFIGS, LiteConfig, Sam, SamConfig, ViTConfig, build_sam

SMALL = SamConfig(
    "small",
    ViTConfig(32, 3, 2, (1,), window_size=3, mlp_ratio=2.0, out_channels=16),
    frame_size=128,
    pred_iou_thresh=0.5,
)
SMALL_LITE = SamConfig("small_lite", LiteConfig(embed_dim=64), frame_size=256)


@pytest.fixture
def model() -> Sam:
    torch.manual_seed(0)
    return build_sam(SMALL)


@pytest.mark.parametrize("config", [*CONFIGS.values(), SMALL, SMALL_LITE], ids=lambda c: c.name)
def test_configuration_survives_as_text(config: SamConfig) -> None:
    text = config_to_json(config)
    again = config_from_json(text)
    assert again == config
    assert hash(again) == hash(config)  # tuples stayed tuples
    assert json.loads(text)["name"] == config.name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"encoder": {"kind": "unknown"}, "name": "a"}',
        config_to_json(SMALL).replace('"depth"', '"from_the_future"'),
        config_to_json(SMALL).replace('"frame_size": 128', '"frame_size": 100'),
    ],
)
def test_damaged_configuration(text: str) -> None:
    with pytest.raises(CheckpointError, match="configuration cannot be read") as error:
        config_from_json(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("config", [SMALL, SMALL_LITE], ids=lambda c: c.name)
def test_round_trip(config: SamConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_sam(config)
    model.name = "my cells"
    path = save_model(model, tmp_path / "folder" / "model.safetensors")
    again = load_model(path)
    assert again.config == config
    assert again.name == "my cells"
    assert type(again) is type(model)
    assert not again.training
    assert all(parameter.requires_grad for parameter in again.parameters())
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    pixels = torch.rand(1, 3, config.frame_size, config.frame_size)
    with torch.no_grad():
        for left, right in zip(again.encode(pixels), model.encode(pixels), strict=True):
            assert torch.equal(left, right)
    assert [entry.name for entry in path.parent.iterdir()] == ["model.safetensors"]


def test_metadata(model: Sam, tmp_path: Path) -> None:
    with safe_open(save_model(model, tmp_path / "a"), framework="pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "sam-plugins"
    assert metadata["name"] == "small"
    assert config_from_json(metadata["config"]) == SMALL


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_stored_and_loaded_as_float32(
    model: Sam, tmp_path: Path, dtype: torch.dtype
) -> None:
    whole = save_model(model, tmp_path / "whole")
    half = save_model(model, tmp_path / "half", dtype=dtype)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    again = load_model(half).state_dict()
    for name, value in model.state_dict().items():
        assert again[name].dtype == torch.float32
        assert torch.equal(again[name], value.to(dtype).float())


def test_shared_and_strided_tensors(model: Sam, tmp_path: Path) -> None:
    with torch.no_grad():
        model.mask_decoder.iou_token.weight = model.prompt_encoder.no_mask_embed.weight
        kernel = model.image_encoder.patch_embed.proj.weight
        kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    again = load_model(save_model(model, tmp_path / "a")).state_dict()
    assert all(torch.equal(again[name], value) for name, value in expected.items())


def test_hash_of_weights(model: Sam, tmp_path: Path) -> None:
    before = hash_weights(model)
    assert len(before) == 64
    again = load_model(save_model(model, tmp_path / "a"))
    assert hash_weights(again) == before
    with torch.no_grad():
        again.mask_decoder.iou_token.weight[0, 0] += 1e-3
    assert hash_weights(again) != before
    # The same tensors mean something else under another configuration.
    other = build_sam(SamConfig("other", SMALL.encoder, frame_size=128))
    other.load_state_dict(model.state_dict())
    assert hash_weights(other) != before


def test_full_disk_leaves_the_old_file(
    model: Sam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_model(model, tmp_path / "model.safetensors")
    before = path.read_bytes()

    def full(tensors: object, filename: Path, metadata: object) -> None:
        filename.write_bytes(b"half")
        # What safetensors raises on a disk that is full.
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(CheckpointError, match=r"^cannot write .*: the disk is full$"):
        save_model(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


LIMITED = """
import resource, sys
from sam_plugins.checkpoints import load_model, save_model
from sam_plugins.errors import CheckpointError
model = load_model(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_model(model, sys.argv[1])
except CheckpointError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_write_that_really_fails_leaves_the_old_file(model: Sam, tmp_path: Path) -> None:
    path = save_model(model, tmp_path / "model.safetensors")
    before = path.read_bytes()
    assert len(before) > 200_000
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"cannot write {path}: ")
    assert done.stdout.count("\n") == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_made(model: Sam, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write"):
        save_model(model, tmp_path / "file" / "model.safetensors")


def test_file_may_be_overwritten_while_its_model_is_in_use(model: Sam, tmp_path: Path) -> None:
    # In place, as torch.save does: a model that was a view of the file would be lost.
    for name, save in (("a.pth", torch.save), ("a.safetensors", None)):
        path = tmp_path / name
        if save is None:
            save_model(model, path)
        else:
            save(model.state_dict(), path)
        again = load_model(path)
        expected = {key: value.clone() for key, value in again.state_dict().items()}
        path.write_bytes(b"\0" * path.stat().st_size)
        assert all(torch.equal(again.state_dict()[key], expected[key]) for key in expected)
