"""Zarr folders: arrays, OME-Zarr images of all versions, and what is neither."""

import sys

import numpy as np
import pytest
import zarr

from sam_plugins.errors import InvalidImageError
from sam_plugins.images import count_pages, read_image

IMAGE = np.random.default_rng(0).integers(0, 4096, (3, 4, 2, 30, 44)).astype(np.uint16)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("index", [(0, 0, 0), (0, 0), (0,), ()])
def test_arrays(tmp_path, index, zarr_format):
    """Of more than three axes, the leading ones count pages."""
    image = IMAGE[index]
    path = tmp_path / "image.zarr"
    zarr.save_array(str(path), image, zarr_format=zarr_format)
    pages = image.reshape(-1, *image.shape[-3:]) if image.ndim > 3 else image[None]
    assert count_pages(path) == len(pages)
    for page in (0, len(pages) - 1):
        actual = read_image(path, page=page)
        np.testing.assert_array_equal(actual, pages[page])
        assert type(actual) is np.ndarray
        assert actual.dtype == image.dtype
    with pytest.raises(InvalidImageError, match="no page"):
        read_image(path, page=len(pages))


def write_ome(path, image, axes, version):
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)
    for level in (0, 1):
        step = (slice(None, None, 2**level),) * 2
        group.create_array(f"s{level}", data=image[(..., *step)])
    names = {
        "0.2": {},
        "0.3": {"axes": axes},
        "0.4": {"axes": [{"name": name, "type": "space"} for name in axes]},
        "0.5": {"axes": [{"name": name, "type": "space"} for name in axes]},
    }[version]
    multiscales = [{"datasets": [{"path": "s0"}, {"path": "s1"}], **names}]
    if version == "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    else:
        group.attrs["multiscales"] = [{**multiscales[0], "version": version}]


@pytest.mark.parametrize(
    ("axes", "version"),
    [("tczyx", version) for version in ("0.2", "0.3", "0.4", "0.5")]
    + [("tzcyx", "0.4"), ("czyx", "0.5"), ("cyx", "0.4"), ("zyx", "0.5"), ("yx", "0.4")],
)
def test_ome_zarr(tmp_path, axes, version):
    sides = dict(zip("tzc", IMAGE.shape, strict=False))
    rng = np.random.default_rng(1)
    image = rng.integers(0, 4096, [sides.get(axis, 40) for axis in axes]).astype(np.uint16)
    path = tmp_path / "image.ome.zarr"
    write_ome(path, image, list(axes), version)
    expected = np.moveaxis(image, axes.index("c"), -3) if "c" in axes else image
    inner = 3 if "c" in axes else 2
    expected = expected.reshape(-1, *expected.shape[-inner:])
    assert count_pages(path) == len(expected)
    for page in range(len(expected)):
        np.testing.assert_array_equal(read_image(path, page=page), expected[page])


def test_only_one_page_is_read(tmp_path):
    path = tmp_path / "image.zarr"
    chunks = (1, 1, 30, 44)
    array = zarr.create_array(str(path), shape=(6, 2, 30, 44), chunks=chunks, dtype="u2")
    array[:] = IMAGE.reshape(-1, 2, 30, 44)[:6]
    for chunk in (path / "c").iterdir():
        if chunk.name != "4":
            for file in chunk.rglob("*"):
                if file.is_file():
                    file.write_bytes(b"damaged")
    np.testing.assert_array_equal(read_image(path, page=4), IMAGE.reshape(-1, 2, 30, 44)[4])
    with pytest.raises(InvalidImageError, match=r"image\.zarr") as caught:
        read_image(path, page=3)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_image(tmp_path):
    with pytest.raises(InvalidImageError, match="is a folder, not an image"):
        read_image(tmp_path)
    group = zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    group.create_array("nuclei", data=IMAGE[0, 0])
    with pytest.raises(InvalidImageError, match="nuclei") as caught:
        read_image(tmp_path / "group.zarr")
    assert "\n" not in str(caught.value)
    np.testing.assert_array_equal(read_image(tmp_path / "group.zarr" / "nuclei"), IMAGE[0, 0])
    (tmp_path / "damaged.zarr").mkdir()
    (tmp_path / "damaged.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InvalidImageError, match=r"damaged\.zarr"):
        read_image(tmp_path / "damaged.zarr")


def test_without_zarr_the_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "image.zarr"
    zarr.save_array(str(path), IMAGE[0, 0])
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(InvalidImageError, match=r"pip install 'sam-plugins\[zarr\]'"):
        read_image(path)


def test_too_large_arrays_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "image.zarr"
    zarr.create_array(str(path), shape=(40_000, 40_000), chunks=(4000, 4000), dtype="u1")
    with pytest.raises(InvalidImageError, match="40000 x 40000 pixels"):
        read_image(path)
