"""Embeddings: what a file keeps, and that no damage to it goes unnoticed."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sam_plugins import ImageEmbedding
from sam_plugins.errors import EmbeddingFileError
from sam_plugins.frames import Frame

FRAME = Frame((60, 80), 128)


def make(dtype: torch.dtype = torch.float32, seed: int = 0) -> ImageEmbedding:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(1, 8, 4, 4), (1, 2, 16, 16)]
    return ImageEmbedding(
        features=tuple(torch.randn(shape, generator=generator).to(dtype) for shape in shapes),
        frame=FRAME,
        model_name="tiny",
        weights_hash="ab" * 32,
        content_key="cd" * 32,
        normalization_key="percentile 0.1 99.9",
        precision="bfloat16",
    )


def assert_same(one: ImageEmbedding, other: ImageEmbedding) -> None:
    assert len(one.features) == len(other.features)
    for left, right in zip(one.features, other.features, strict=True):
        assert left.dtype == right.dtype
        torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)
    for name in (
        "frame",
        "model_name",
        "weights_hash",
        "content_key",
        "normalization_key",
        "precision",
    ):
        assert getattr(one, name) == getattr(other, name), name


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "embedding.safetensors"
    make().save(path)
    return path


# ---- what a file keeps ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_file_keeps_everything(tmp_path, dtype):
    embedding = make(dtype)
    embedding.save(tmp_path / "new" / "folder" / "a.safetensors")
    loaded = ImageEmbedding.load(tmp_path / "new" / "folder" / "a.safetensors")
    assert_same(loaded, embedding)
    assert loaded.image_size == (60, 80)
    assert [feature.device.type for feature in loaded.features] == ["cpu", "cpu"]


@given(
    texts=st.lists(st.text(max_size=20), min_size=4, max_size=4),
    size=st.tuples(st.integers(2, 3000), st.integers(2, 3000)),
    stride=st.sampled_from([2, 4]),
    value=st.floats(width=32),
)
def test_a_file_keeps_any_text_size_and_value(tmp_path_factory, texts, size, stride, value):
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    embedding = ImageEmbedding(
        (torch.full((1, 1, 2, 2), value),), Frame(size, 4096, stride), *texts
    )
    embedding.save(path)
    assert_same(ImageEmbedding.load(path), embedding)


def test_views_and_shared_memory_are_saved_by_value(tmp_path):
    batch = torch.arange(96.0).reshape(3, 2, 4, 4)
    part = batch[1:2]
    embedding = ImageEmbedding((part, part, part.transpose(2, 3)), FRAME, "tiny", "w")
    embedding.save(tmp_path / "a.safetensors")
    loaded = ImageEmbedding.load(tmp_path / "a.safetensors")
    np.testing.assert_array_equal(loaded.features[0], part)
    np.testing.assert_array_equal(loaded.features[1], part)
    np.testing.assert_array_equal(loaded.features[2], part.transpose(2, 3))
    assert (tmp_path / "a.safetensors").stat().st_size < 3 * part.nbytes + 4096


def test_equal_embeddings_make_equal_files(tmp_path, saved):
    make().save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_the_file_is_plain_safetensors(saved):
    tensors = load_file(saved)
    np.testing.assert_array_equal(tensors["features.0"], make().features[0])


def test_a_loaded_embedding_does_not_hang_on_to_its_file(saved):
    loaded = ImageEmbedding.load(saved)
    saved.write_bytes(b"")
    assert_same(loaded, make())


def test_the_key_is_checked(tmp_path):
    make().save(tmp_path / "a.safetensors", key="one")
    assert_same(ImageEmbedding.load(tmp_path / "a.safetensors"), make())
    assert_same(ImageEmbedding.load(tmp_path / "a.safetensors", key="one"), make())
    with pytest.raises(EmbeddingFileError, match="another embedding"):
        ImageEmbedding.load(tmp_path / "a.safetensors", key="two")


# ---- damage --------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", range(0, 100, 10))
def test_a_truncated_file_is_noticed(saved, percent):
    content = saved.read_bytes()
    saved.write_bytes(content[: len(content) * percent // 100])
    with pytest.raises(EmbeddingFileError) as caught:
        ImageEmbedding.load(saved)
    assert saved.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [-1, 1, 4096])
def test_a_file_of_another_length_is_noticed(saved, change):
    content = saved.read_bytes()
    saved.write_bytes(content[:change] if change < 0 else content + bytes(change))
    with pytest.raises(EmbeddingFileError):
        ImageEmbedding.load(saved)


def test_a_flipped_bit_in_any_byte_of_the_header_and_in_many_values_is_noticed(saved):
    content = saved.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for position in [*range(header), *range(header, len(content), 13)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << position * 5 % 8
        saved.write_bytes(damaged)
        with pytest.raises(EmbeddingFileError) as caught:
            ImageEmbedding.load(saved)
        assert "\n" not in str(caught.value)


@given(junk=st.binary(max_size=200))
def test_junk_is_noticed(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("junk") / "a.safetensors"
    path.write_bytes(junk)
    with pytest.raises(EmbeddingFileError):
        ImageEmbedding.load(path)


class Trap:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_foreign_files_are_refused(tmp_path, tiny_sam):
    trap = tmp_path / "sprung"
    (tmp_path / "pickle").write_bytes(pickle.dumps(Trap(trap)))
    torch.save(Trap(trap), tmp_path / "torch")
    save_file({"features.0": torch.zeros(1, 2, 2, 2)}, tmp_path / "tensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "metadata", {"format": "pt"})
    for name in ("pickle", "torch", "tensors", "metadata"):
        with pytest.raises(EmbeddingFileError, match=name):
            ImageEmbedding.load(tmp_path / name)
    assert not trap.exists()


def test_a_missing_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no embedding at .*gone"):
        ImageEmbedding.load(tmp_path / "gone.safetensors")


@contextmanager
def file_size_limit(count: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond so many bytes, as a full disk would."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(saved):
    large = ImageEmbedding((torch.zeros(1, 64, 64, 64),), FRAME, "tiny", "w")
    with file_size_limit(100_000), pytest.raises(OSError, match="too large"):
        large.save(saved)
    assert_same(ImageEmbedding.load(saved), make())
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


# ---- in memory -----------------------------------------------------------------------------


def test_nbytes_counts_all_feature_maps():
    assert make().nbytes == 4 * (8 * 4 * 4 + 2 * 16 * 16)
    assert make(torch.bfloat16).nbytes == 2 * (8 * 4 * 4 + 2 * 16 * 16)


def test_to_gives_the_same_object_where_nothing_moves():
    embedding = make()
    assert embedding.to("cpu") is embedding
    moved = embedding.to("meta")
    assert [feature.device.type for feature in moved.features] == ["meta", "meta"]
    assert (moved.frame, moved.content_key) == (embedding.frame, embedding.content_key)


def test_compact_lets_go_of_the_batch():
    batch = torch.arange(64.0).reshape(4, 4, 2, 2)
    part = ImageEmbedding((batch[2:3],), FRAME, "tiny", "w")
    own = part.compact()
    np.testing.assert_array_equal(own.features[0], batch[2:3])
    assert own.features[0].untyped_storage().nbytes() == own.nbytes == 64
    assert own.compact() is own
