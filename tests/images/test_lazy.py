"""Arrays that read when they are indexed: nothing is read that is not asked for, nor twice."""

import tracemalloc
from collections import Counter

import dask
import dask.array
import numpy as np
import pytest
import zarr

from sam_plugins.errors import InvalidImageError
from sam_plugins.images import Normalization, Planes, content_key, image_size, to_rgb
from sam_plugins.images import planes as planes_module

CHUNK = (1, 40, 50)


@pytest.fixture
def stack():
    return np.random.default_rng(0).integers(0, 4096, (5, 100, 130)).astype(np.uint16)


def counting_dask(array, loads, *, chunk=CHUNK):
    """A dask array of delayed chunks that are counted when they are computed."""
    plain = dask.array.from_array(array, chunks=chunk)

    @dask.delayed
    def load(where, corner):
        loads[corner] += 1
        return array[where]

    blocks = np.empty(plain.numblocks, dtype=object)
    slices = dask.array.core.slices_from_chunks(plain.chunks)
    for index, where in zip(np.ndindex(plain.numblocks), slices, strict=True):
        corner = tuple(part.start for part in where)
        blocks[index] = dask.array.from_delayed(
            load(where, corner), array[where].shape, dtype=array.dtype
        )
    return dask.array.block(blocks.tolist())


class CountingStore(zarr.storage.MemoryStore):
    """A zarr store that counts how often each chunk is read."""

    def __init__(self):
        super().__init__()
        self.loads = Counter()

    async def get(self, key, prototype, byte_range=None):
        if "/c/" in f"/{key}":
            self.loads[tuple(int(part) for part in key.split("c/")[1].split("/"))] += 1
        return await super().get(key, prototype, byte_range)


def counting_zarr(array, *, chunk=CHUNK):
    store = CountingStore()
    lazy = zarr.create_array(store, shape=array.shape, chunks=chunk, dtype=array.dtype)
    lazy[:] = array
    store.loads.clear()
    return lazy, store.loads


class Sliced:
    """The least that an array needs which reads when it is indexed, such as a file's."""

    def __init__(self, array):
        self._array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.reads = 0

    def __getitem__(self, index):
        self.reads += 1
        return self._array[index]


@pytest.mark.parametrize("channels", [2, (4, 0, 1), (3, 3, 1)])
@pytest.mark.parametrize("limit", [2**29, 0])
def test_only_the_chosen_channels_of_dask_arrays_are_read(stack, channels, limit, monkeypatch):
    monkeypatch.setattr(planes_module, "MAX_LOADED_BYTES", limit)
    settings = Normalization(channels=channels)
    loads = Counter()
    lazy = counting_dask(stack, loads)
    assert image_size(lazy) == (100, 130)
    assert not loads
    actual = to_rgb(lazy, normalization=settings)
    np.testing.assert_array_equal(actual, to_rgb(stack, normalization=settings))
    assert {corner[0] for corner in loads} == set(np.ravel(channels).tolist())
    assert len(loads) == len(set(np.ravel(channels).tolist())) * 3 * 3
    # Once for the percentiles and once for the values if they are not kept in between.
    assert set(loads.values()) == {1 if limit else 2}


@pytest.mark.parametrize("channels", [2, (4, 0, 1), (3, 3, 1)])
@pytest.mark.parametrize("limit", [2**29, 0])
def test_only_the_chosen_channels_of_zarr_arrays_are_read(stack, channels, limit, monkeypatch):
    monkeypatch.setattr(planes_module, "MAX_LOADED_BYTES", limit)
    settings = Normalization(channels=channels)
    lazy, loads = counting_zarr(stack)
    assert image_size(lazy) == (100, 130)
    assert not loads
    actual = to_rgb(lazy, normalization=settings)
    np.testing.assert_array_equal(actual, to_rgb(stack, normalization=settings))
    assert {chunk[0] for chunk in loads} == set(np.ravel(channels).tolist())
    assert set(loads.values()) == {1 if limit else 2}


@pytest.mark.parametrize("channels", [2, (4, 0, 1), (3, 3, 1)])
def test_key_and_colours_need_one_reading(stack, channels):
    settings = Normalization(channels=channels)
    loads = Counter()
    planes = Planes.loaded(counting_dask(stack, loads), normalization=settings)
    assert content_key(planes) == content_key(stack, normalization=settings)
    np.testing.assert_array_equal(to_rgb(planes), to_rgb(stack, normalization=settings))
    np.testing.assert_array_equal(
        to_rgb(planes, normalization=settings), to_rgb(stack, normalization=settings)
    )
    assert set(loads.values()) == {1}
    assert {corner[0] for corner in loads} == set(np.ravel(channels).tolist())
    whole = Planes.loaded(stack[2])
    assert whole.array.base is stack
    assert content_key(whole) == content_key(stack[2])


def test_a_slice_of_a_dask_array_reads_only_its_chunks(stack):
    loads = Counter()
    lazy = counting_dask(stack, loads)[3, 40:80, 50:]
    np.testing.assert_array_equal(to_rgb(lazy), to_rgb(stack[3, 40:80, 50:]))
    assert set(loads) == {(3, 40, 50), (3, 40, 100)}


@pytest.mark.parametrize("limit", [2**29, 0])
@pytest.mark.parametrize("shape", [(90, 80), (90, 80, 3), (90, 80, 4), (3, 90, 80), (1, 1, 90, 80)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "?"])
def test_lazy_arrays_give_what_loaded_ones_give(shape, dtype, limit, monkeypatch):
    monkeypatch.setattr(planes_module, "MAX_LOADED_BYTES", limit)
    monkeypatch.setattr("sam_plugins.images.planes._LAZY_BLOCK_BYTES", 1000)
    image = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    expected, key = to_rgb(image), content_key(image)
    chunk = tuple(min(side, 32) for side in shape)
    versions = [
        dask.array.from_array(image, chunks=chunk),
        zarr.array(image, chunks=chunk),
        Sliced(image),
    ]
    for lazy in versions:
        np.testing.assert_array_equal(to_rgb(lazy), expected)
        assert content_key(lazy) == key


def test_channels_apart_from_each_other_with_leading_axes():
    image = np.random.default_rng(0).integers(0, 200, (1, 1, 30, 40, 5)).astype(np.uint8)
    settings = Normalization(channels=(0, 2, 3))
    expected = to_rgb(image[0, 0], normalization=settings)
    for version in (image, dask.array.from_array(image), zarr.array(image)):
        np.testing.assert_array_equal(to_rgb(version, normalization=settings), expected)


def test_memory_is_bounded_by_blocks(monkeypatch):
    """An image far larger than what may be loaded, made block by block."""
    monkeypatch.setattr(planes_module, "MAX_LOADED_BYTES", 2**22)
    monkeypatch.setattr("sam_plugins.images.planes._LAZY_BLOCK_BYTES", 2**20)

    def ramp(block_info=None):
        (low, high), (left, right) = block_info[None]["array-location"]
        rows = np.arange(low, high, dtype=np.float64)[:, None]
        return rows + np.arange(left, right)

    image = dask.array.map_blocks(ramp, chunks=((64,) * 50, (1000,)), dtype=np.float64)
    with dask.config.set(scheduler="synchronous"):
        to_rgb(image[:64])
        tracemalloc.start()
        rgb = to_rgb(image, normalization=Normalization("minmax"))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert rgb[0, 0, 0] == 0
    assert rgb[-1, -1, 0] == 255
    assert image.nbytes > 25e6
    assert peak < rgb.nbytes + 8e6


def test_dask_arrays_of_unknown_size_are_refused():
    image = dask.array.ones((40, 50))
    image = image[image[:, 0] > 0]
    with pytest.raises(InvalidImageError, match="compute"):
        to_rgb(image)


def test_all_nan_lazy_images_are_refused():
    with pytest.raises(InvalidImageError, match="no finite value"):
        to_rgb(dask.array.full((40, 50), np.nan, chunks=20))
