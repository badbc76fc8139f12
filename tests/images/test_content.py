"""Content keys: equal for what is the same image, different for what is not."""

import hashlib
from collections import Counter

import dask.array
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sam_plugins.errors import InvalidImageError
from sam_plugins.images import Normalization, content_key
from sam_plugins.images import content as content_module


@given(data=st.data(), dtype=st.sampled_from(["?", "u1", "u2", ">i4", "f4", ">f8"]))
@settings(max_examples=80, deadline=None)
def test_the_memory_layout_does_not_matter(data, dtype):
    shape = data.draw(st.sampled_from([(5, 7), (5, 7, 3), (3, 5, 7), (5, 7, 4)]))
    image = data.draw(arrays.arrays(dtype, shape))
    key = content_key(image)
    wide = np.zeros([side * 2 for side in shape], dtype=dtype)
    view = wide[tuple(slice(None, None, -2) for _ in shape)]
    view[...] = image
    assert content_key(view) == key
    assert content_key(np.asfortranarray(image)) == key
    assert content_key(image.astype(image.dtype.newbyteorder())) == key
    image.flags.writeable = False
    assert content_key(image) == key
    assert content_key(dask.array.from_array(image)) == key


@given(
    data=st.data(),
    shape=st.sampled_from([(5, 7), (5, 7, 3), (3, 5, 7)]),
    dtype=st.sampled_from(["u1", "i4", "f4"]),
)
@settings(max_examples=60, deadline=None)
def test_every_value_matters(data, shape, dtype):
    image = data.draw(
        arrays.arrays(dtype, shape)
        if dtype != "f4"
        else arrays.arrays(dtype, shape, elements={"allow_nan": False})
    )
    where = tuple(data.draw(st.integers(0, side - 1)) for side in shape)
    other = image.copy()
    other[where] = 1 if other[where] != 1 else 2
    assert content_key(other) != content_key(image)


def test_shape_axes_and_dtype_matter():
    zeros = [
        np.zeros((6, 4), np.uint8),
        np.zeros((4, 6), np.uint8),
        np.zeros((3, 4), np.uint16),
        np.zeros((3, 4), np.int16),
        np.zeros((6, 4, 1), np.uint8),
        np.zeros((6, 4, 3), np.uint8),
        np.zeros((3, 6, 4), np.uint8),
    ]
    assert len({content_key(image) for image in zeros}) == len(zeros)
    cube = np.zeros((4, 4, 4), np.uint8)
    one = Normalization(channels=1)
    assert content_key(cube, normalization=one, channel_axis=0) != content_key(
        cube, normalization=one, channel_axis=1
    )


def test_only_what_is_seen_matters():
    rng = np.random.default_rng(0)
    rgba = rng.integers(0, 256, (6, 7, 4)).astype(np.uint8)
    other = rgba.copy()
    other[..., 3] = 0
    assert content_key(other) == content_key(rgba)
    assert content_key(other, normalization=Normalization(channels=3)) != content_key(
        rgba, normalization=Normalization(channels=3)
    )
    stack = rng.integers(0, 256, (5, 6, 7)).astype(np.uint8)
    changed = stack.copy()
    changed[4] += 1
    for channels, same in ((0, True), ((0, 3, 1), True), (4, False), ((2, 4, 4), False)):
        chosen = Normalization(channels=channels)
        keys = {content_key(image, normalization=chosen) for image in (stack, changed)}
        assert (len(keys) == 1) == same
    with pytest.raises(InvalidImageError, match="channels="):
        content_key(stack)


def test_the_other_settings_have_a_key_of_their_own():
    image = np.random.default_rng(0).random((6, 7))
    assert content_key(image) == content_key(image, normalization=Normalization("minmax"))


def test_the_key_is_sha256_of_description_and_values():
    image = np.random.default_rng(0).integers(0, 256, (6, 7)).astype(">u2")
    digest = hashlib.sha256(b"(6, 7) None (0,) <u2" + image.astype("<u2").tobytes())
    assert content_key(image) == digest.hexdigest()


def test_large_arrays_in_memory_count_whole_up_to_a_limit(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (3000, 2000)).astype(np.uint8)
    key = content_key(image)
    rng = np.random.default_rng(1)
    for _ in range(5):
        other = image.copy()
        other[rng.integers(3000), rng.integers(2000)] += 1
        assert content_key(other) != key
    monkeypatch.setattr(content_module, "MAX_HASHED_BYTES", 2**20)
    sampled = content_key(image)
    assert sampled == content_key(np.asfortranarray(image))
    assert sampled != key
    # Every image differs from another one of the same size in most of its blocks.
    assert content_key(np.roll(image, 1, axis=0)) != sampled
    assert content_key(image[::-1]) != sampled


@pytest.mark.parametrize("chunk", [(512, 512), (8, 4000), (700, 300), (4000, 4000)])
def test_of_large_lazy_arrays_some_chunks_count_and_each_is_read_once(chunk, monkeypatch):
    monkeypatch.setattr(content_module, "MAX_HASHED_LAZY_BYTES", 2**20)
    image = np.random.default_rng(0).integers(0, 256, (4000, 4000)).astype(np.uint8)
    loads = Counter()

    def load(block, block_info=None):
        loads[tuple(block_info[0]["chunk-location"])] += 1
        return block

    source = dask.array.from_array(image, chunks=chunk)
    lazy = source.map_blocks(load, dtype=np.uint8, meta=np.empty((0, 0), np.uint8))
    key = content_key(lazy)
    assert set(loads.values()) == {1}
    read = sum(np.prod([source.chunks[i][c] for i, c in enumerate(where)]) for where in loads)
    # 32 blocks of 512 x 512 to 1024 x 1024 pixels, or one chunk.
    assert read <= max(32 * 1024**2, np.prod(chunk))
    if read < image.size:
        assert read >= image.size / 8
    assert content_key(source) == key
    assert content_key(source + np.uint8(1)) != key


def test_sampled_blocks_are_spread_over_the_image(monkeypatch):
    monkeypatch.setattr(content_module, "MAX_HASHED_LAZY_BYTES", 0)
    corners = []

    class Recorded:
        shape = (20_000, 30_000)
        dtype = np.dtype(np.uint8)

        def __getitem__(self, index):
            rows, columns = index
            corners.append((rows.start, columns.start))
            return np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)

    content_key(Recorded())
    assert len(set(corners)) == content_module.SAMPLED_BLOCKS
    first = list(corners)
    content_key(Recorded())
    assert corners[len(first) :] == first
    rows, columns = np.array(first).T
    assert np.ptp(rows) > 18_000
    assert np.ptp(columns) > 24_000
    assert len(set(columns.tolist())) > 16
