"""Reading checkpoint files: by content, safely, with clear errors."""

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sam_plugins.checkpoints import load_state_dict_file
from sam_plugins.checkpoints.reading import read_checkpoint
from sam_plugins.errors import CheckpointError, CheckpointNotFoundError


@pytest.fixture
def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image_encoder.pos_embed": torch.randn(1, 4, 4, 8, generator=generator),
        "image_encoder.half": torch.randn(30, 40, generator=generator).half(),
        "image_encoder.brain": torch.randn(30, 40, generator=generator).bfloat16(),
        "image_encoder.count": torch.tensor(7),
    }


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name])
        for name in left
    )


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [save_file, torch.save, save_legacy])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin", ""])
def test_format_is_recognised_by_content(
    state: dict[str, Tensor], tmp_path: Path, save: Any, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    save(state, path)
    assert same(load_state_dict_file(path), state)
    assert same(load_state_dict_file(str(path)), state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}}},
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model_state": state, "decoder_state": {"a": torch.zeros(1)}},
        lambda state: {"epoch": 3, "model": {"state_dict": state}},
        lambda state: {**state, "epoch": 3, "decoder_state": {"a": torch.zeros(1)}},
        lambda state: (
            {name: nn.Parameter(v) for name, v in state.items() if v.is_floating_point()}
            | {"image_encoder.count": state["image_encoder.count"]}
        ),
    ],
)
def test_wrappers_are_taken_off(state: dict[str, Tensor], tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(state), tmp_path / "wrapped.pth")
    assert same(load_state_dict_file(tmp_path / "wrapped.pth"), state)


def test_metadata_of_safetensors(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "a.safetensors", metadata={"format": "pt", "note": "ü"})
    assert read_checkpoint(tmp_path / "a.safetensors").metadata == {"format": "pt", "note": "ü"}
    save_file(state, tmp_path / "b.safetensors")
    assert read_checkpoint(tmp_path / "b.safetensors").metadata == {}


class Touch:
    """Makes a file when it is unpickled by a careless reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("way", ["torch", "legacy", "wrapped", "pickle", "protocol 0"])
def test_code_in_a_pickle_is_not_run(state: dict[str, Tensor], tmp_path: Path, way: str) -> None:
    made, path = tmp_path / "was_run", tmp_path / "weights.pth"
    content = {**state, "evil": Touch(made)}
    if way == "torch":
        torch.save(content, path)
    elif way == "legacy":
        save_legacy(content, path)
    elif way == "wrapped":
        torch.save({"model": state, "callback": Touch(made)}, path)
    else:
        protocol = 0 if way == "protocol 0" else pickle.HIGHEST_PROTOCOL
        path.write_bytes(pickle.dumps({"evil": Touch(made)}, protocol))
        # The bait works: a careless reader is caught.
        pickle.loads(path.read_bytes())
        assert made.exists()
        made.unlink()
    with pytest.raises(CheckpointError) as error:
        load_state_dict_file(path)
    assert not made.exists()
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not isinstance(error.value, FileNotFoundError)


def test_whole_module_is_refused_and_named(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(CheckpointError, match=r"holds a torch\.nn\.modules\.linear\.Linear"):
        load_state_dict_file(tmp_path / "module.pth")


@pytest.mark.parametrize("save", [save_file, torch.save, save_legacy])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.999])
def test_truncated(state: dict[str, Tensor], tmp_path: Path, save: Any, part: float) -> None:
    path = tmp_path / "weights.pth"
    save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(CheckpointError) as error:
        load_state_dict_file(path)
    assert "\n" not in str(error.value)
    assert "truncated" in str(error.value)


@pytest.mark.parametrize("save", [save_file, torch.save, save_legacy])
def test_damage_anywhere_is_an_error_of_ours_or_harmless(
    state: dict[str, Tensor], tmp_path: Path, save: Any
) -> None:
    path = tmp_path / "weights.pth"
    save(state, path)
    content = path.read_bytes()
    messages = []
    for position in range(0, len(content), max(1, len(content) // 60)):
        damaged = bytearray(content)
        damaged[position : position + 8] = os.urandom(8)
        path.write_bytes(damaged)
        try:
            load_state_dict_file(path)
        except CheckpointError as error:
            messages.append(str(error))
    assert messages  # the header at least was hit
    assert not [message for message in messages if "\n" in message]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>Not Found</body></html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab", "Git LFS pointer"),
        (b"{}", "neither safetensors nor"),
        (os.urandom(1000), "not a checkpoint"),
        (b"PK\x03\x04 not really", "corrupt or truncated"),
        (b"\x02\0\0\0\0\0\0\0{}", "holds no weights"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as error:
        load_state_dict_file(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [[1, 2], 3, {}, {"epoch": 3}, {"model": {}}, torch.zeros(3), "text"]
)
def test_not_a_state_dict(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        load_state_dict_file(tmp_path / "other.pth")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"there is no checkpoint .*nowhere\.pth"):
        load_state_dict_file(tmp_path / "nowhere.pth")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read"):
        load_state_dict_file(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no such files on Windows")
def test_reading_keeps_no_file_open(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        load_state_dict_file(path)
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert after <= before
