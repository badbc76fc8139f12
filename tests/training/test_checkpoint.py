"""Checkpoints: whole or not at all, in one file or several."""

import errno
from pathlib import Path

import pytest
import torch

from sam_plugins.errors import SamPluginsError
from sam_plugins.training.checkpoint import read_checkpoint, write_checkpoint
from tests.training.limits import no_room_beyond

STATE = {"weights": torch.arange(5000.0), "step": 7, "averaged": None}


@pytest.mark.parametrize("part_bytes", [None, 3000, 10**9])
def test_what_is_written_is_read(tmp_path, part_bytes):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, STATE, part_bytes=part_bytes)
    state = read_checkpoint(path)
    assert torch.equal(state.pop("weights"), STATE["weights"])
    assert state == {"step": 7, "averaged": None}
    if part_bytes == 3000:
        assert len(list(tmp_path.iterdir())) > 7
        assert max(each.stat().st_size for each in tmp_path.iterdir()) <= 3000


def test_the_parts_of_the_checkpoint_before_are_deleted(tmp_path):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, STATE, part_bytes=3000)
    before = {each.name for each in tmp_path.iterdir()}
    write_checkpoint(path, {**STATE, "step": 8}, part_bytes=9000)
    after = {each.name for each in tmp_path.iterdir()}
    assert before & after == {path.name}
    assert read_checkpoint(path)["step"] == 8


@pytest.mark.parametrize("part_bytes", [None, 9000])
def test_a_full_disk_leaves_the_checkpoint_before_and_nothing_else(tmp_path, part_bytes):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, STATE, part_bytes=3000)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    with no_room_beyond(8000), pytest.raises(OSError, match=r"checkpoint\.pt") as caught:
        write_checkpoint(path, {**STATE, "step": 8}, part_bytes=part_bytes)
    assert caught.value.errno == errno.EFBIG
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


def test_a_full_disk_in_the_middle_of_the_parts_leaves_none_of_them(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, STATE, part_bytes=3000)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    write, written = Path.write_bytes, []

    def full(target, data):
        written.append(target)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        return write(target, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(path, {**STATE, "step": 8}, part_bytes=3000)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before


@pytest.mark.parametrize("size", [0, 100, 15_000])
def test_a_file_that_was_cut_off_is_named(tmp_path, size):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, STATE)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(SamPluginsError, match=r"checkpoint\.pt cannot be read .*delete it"):
        read_checkpoint(path)


def test_parts_that_are_missing_or_changed_are_named(tmp_path):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, STATE, part_bytes=3000)
    part = sorted(tmp_path.glob("*.001"))[0]
    data = part.read_bytes()
    part.write_bytes(data[:-1] + b"?")
    with pytest.raises(SamPluginsError, match="not those that were written"):
        read_checkpoint(path)
    part.unlink()
    with pytest.raises(SamPluginsError, match=rf"lacks {part.name}"):
        read_checkpoint(path)
