"""TIFF files as microscopes and their programs write them: pages, stacks, channels, compression."""

import logging

import numpy as np
import pytest
import tifffile
from PIL import Image

from sam_plugins.errors import InvalidImageError
from sam_plugins.images import count_pages, read_image
from sam_plugins.images.pillow_files import upright

SIZE = (30, 44)


def noise(*shape, dtype="u2", seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1000, (*shape, *SIZE)).astype(dtype)
    low = 0 if dtype != "i2" else -1000
    return rng.integers(low, 2 if dtype == "?" else 120, (*shape, *SIZE)).astype(dtype)


def last(image):
    return np.ascontiguousarray(np.moveaxis(image, -3, -1))


def check(path, expected):
    """All pages, each by itself and in any order."""
    assert count_pages(path) == len(expected)
    for page in [*range(len(expected))[::-2], 0]:
        actual = read_image(path, page=page)
        np.testing.assert_array_equal(actual, expected[page])
        assert actual.dtype == expected[page].dtype
        assert actual.dtype.isnative
        assert actual.flags.c_contiguous
        assert type(actual) is np.ndarray
    with pytest.raises(InvalidImageError, match=f"no page {len(expected)}"):
        read_image(path, page=len(expected))


@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_one_gray_page_of_any_depth(tmp_path, dtype, byteorder, compression):
    image = noise(dtype=dtype)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, byteorder=byteorder, compression=compression)
    check(path, [image])


@pytest.mark.parametrize("kind", ["plain", "shaped", "imagej", "ome", "bigtiff", "tiled", "strips"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_stacks_are_pages(tmp_path, kind, compression):
    stack = noise(5)
    options = {
        "plain": {"metadata": None},
        "shaped": {},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "ome": {"ome": True, "metadata": {"axes": "TYX"}},
        "bigtiff": {"bigtiff": True},
        "tiled": {"tile": (16, 16)},
        "strips": {"rowsperstrip": 7, "metadata": None},
    }[kind]
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, stack, compression=compression, photometric="minisblack", **options)
    check(path, list(stack))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_of_different_sizes_are_in_the_file_s_order(tmp_path, compression):
    images = [
        noise(dtype="u1"),
        last(noise(3, dtype="u1")),
        noise(dtype="u1", seed=1),
        noise(dtype="f4")[:20],
        noise(dtype="u1", seed=2),
    ]
    path = tmp_path / "image.tif"
    with tifffile.TiffWriter(path) as tiff:
        for image in images:
            colour = "rgb" if image.ndim == 3 else "minisblack"
            tiff.write(image, photometric=colour, metadata=None, compression=compression)
    check(path, images)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_are_no_pages(tmp_path, kind, compression):
    stack = noise(2, 3, 4)  # T, Z, C
    path = tmp_path / "image.tif"
    metadata = {"axes": "TZCYX"}
    tifffile.imwrite(
        path,
        stack,
        **{kind: True},
        metadata=metadata,
        compression=compression,
        photometric="minisblack",
    )
    check(path, list(stack.reshape(6, 4, *SIZE)))


@pytest.mark.parametrize("axes", ["CTYX", "CYX", "TCYX", "CZYX"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_channels_anywhere_among_the_axes(tmp_path, axes, compression):
    sides = {"C": 2, "T": 3, "Z": 4}
    stack = noise(*(sides[letter] for letter in axes[:-2]))
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(
        path,
        stack,
        ome=True,
        metadata={"axes": axes},
        compression=compression,
        photometric="minisblack",
    )
    expected = np.moveaxis(stack, axes.index("C"), -3).reshape(-1, 2, *SIZE)
    check(path, list(expected))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_colours_interleaved_and_in_planes(tmp_path, planar, count, dtype, compression):
    stack = noise(2, count, dtype=dtype)
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        last(stack) if planar == "contig" else stack,
        photometric="rgb",
        planarconfig=planar,
        extrasamples=["unassalpha", "unspecified"][: count - 3],
        compression=compression,
    )
    seen = stack if count == 3 else stack[:, :3] if count == 4 else stack[:, [0, 1, 2, 4]]
    check(path, list(last(seen) if planar == "contig" else seen))


def test_coloured_images_of_several_channels_are_pages(tmp_path):
    stack = np.moveaxis(noise(2, 3, dtype="u1"), 1, -1)
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(path, stack, ome=True, metadata={"axes": "CYXS"}, photometric="rgb")
    check(path, list(np.ascontiguousarray(stack)))


def test_gray_with_alpha_is_gray(tmp_path):
    both = noise(2, dtype="u1")
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        last(both),
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unassalpha"],
    )
    check(path, [both[0]])


def test_columns_before_rows_are_put_in_order(tmp_path):
    image = noise(3)
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path, image.swapaxes(-1, -2), metadata={"axes": "ZXY"}, photometric="minisblack"
    )
    check(path, list(image))


def test_axes_with_names_of_their_own(tmp_path):
    image = noise(3)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, metadata={"axes": "ABG"}, photometric="minisblack")
    check(path, list(image))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("planar", [False, True])
def test_orientation(tmp_path, orientation, planar):
    image = noise(3, dtype="u1")
    path = tmp_path / "image.tif"
    tifffile.imwrite(
        path,
        image if planar else last(image),
        photometric="rgb",
        planarconfig="separate" if planar else "contig",
        extratags=[(274, "H", 1, orientation, True)],
    )
    expected = upright(image, orientation, row_axis=1)
    np.testing.assert_array_equal(read_image(path), expected if planar else last(expected))
    if not planar:
        # Pillow turns the pages of TIFF files while it decodes them.
        np.testing.assert_array_equal(read_image(path), np.asarray(Image.open(path)))


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_white_is_zero(tmp_path, dtype):
    image = noise(dtype=dtype)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, photometric="miniswhite")
    check(path, [~image])


def test_bool_arrays_of_tifffile_keep_their_values_and_faxes_look_as_they_should(tmp_path):
    image = noise(dtype="?")
    path = tmp_path / "image.tif"
    for options in ({}, {"metadata": None}, {"software": False}):
        tifffile.imwrite(path, image, **options)
        check(path, [image])
    tifffile.imwrite(path, image, software="another", metadata=None, photometric="miniswhite")
    check(path, [np.asarray(Image.open(path))])
    assert not np.array_equal(read_image(path), image)


def test_palettes_are_colours_but_not_imagej_s(tmp_path):
    image = noise(dtype="u1")
    palette = np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, photometric="palette", colormap=palette)
    check(path, [np.asarray(Image.open(path).convert("RGB"))])
    tifffile.imwrite(path, image, imagej=True, colormap=palette.astype(np.uint16))
    check(path, [image])


def test_previews_and_pyramids_are_no_pages(tmp_path):
    image = noise()
    path = tmp_path / "image.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(image, metadata=None)
        tiff.write(image[::2, ::2], metadata=None, subfiletype=1)
        tiff.write(image[::-1], metadata=None)
    check(path, [image, image[::-1].copy()])
    pyramid = tmp_path / "image.ome.tif"
    with tifffile.TiffWriter(pyramid, ome=True) as tiff:
        tiff.write(noise(2), subifds=1, metadata={"axes": "TYX"}, tile=(16, 16))
        tiff.write(noise(2)[:, ::2, ::2], subfiletype=1, tile=(16, 16))
    check(pyramid, list(noise(2)))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_only_the_page_that_is_asked_for_is_read(tmp_path, compression, monkeypatch):
    stack = np.zeros((40, 500, 600), dtype=np.uint16)
    stack[31] = noise(dtype="u2")[0, 0] + 1
    path = tmp_path / "image.tif"
    metadata = {"axes": "TZCYX"}
    tifffile.imwrite(
        path,
        stack.reshape(4, 5, 2, 500, 600),
        ome=True,
        metadata=metadata,
        compression=compression,
        photometric="minisblack",
    )
    decoded = []
    decode = tifffile.TiffPage.asarray
    monkeypatch.setattr(
        tifffile.TiffPage,
        "asarray",
        lambda page, **options: decoded.append(page.index) or decode(page, **options),
    )
    frame = tifffile.TiffFrame.asarray
    monkeypatch.setattr(
        tifffile.TiffFrame,
        "asarray",
        lambda page, **options: decoded.append(page.index) or frame(page, **options),
    )
    image = read_image(path, page=15)
    np.testing.assert_array_equal(image, stack[30:32])
    assert set(decoded) <= {30, 31}
    assert image.base is None or image.base.nbytes == image.nbytes


def pillow_pages(path, *images, compression):
    first, *others = [Image.fromarray(image) for image in images]
    first.save(path, save_all=True, append_images=others, compression=compression)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "?"])
def test_compressions_of_other_programs(tmp_path, compression, dtype):
    stack = noise(3, dtype=dtype)
    path = tmp_path / "image.tif"
    pillow_pages(path, *stack, compression=compression)
    check(path, list(stack))


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg"])
def test_compressed_colours(tmp_path, compression):
    y, x = np.mgrid[:30, :44]
    image = np.stack([x * 5, y * 8, 255 - x * 3], axis=-1).astype(np.uint8)
    path = tmp_path / "image.tif"
    pillow_pages(path, image, compression=compression)
    with Image.open(path) as opened:
        expected = np.asarray(opened)
    check(path, [expected])
    assert np.abs(expected.astype(int) - image).mean() < 6


def retagged(path, compression):
    """The file with another number as its compression, which nothing can decode then."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.tags["Compression"].valueoffset for page in tiff.pages]
    for offset in offsets:
        content[offset : offset + 2] = compression.to_bytes(2, "little")
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("axes", ["YX", "YXS"])
def test_what_needs_a_package_names_it(tmp_path, axes):
    image = noise() if axes == "YX" else last(noise(3))
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, image, compression="zlib", byteorder="<", metadata=None)
    retagged(path, 50002)  # JPEG XL
    with pytest.raises(InvalidImageError) as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    assert "image.tif" in str(caught.value)


def test_16_bit_colour_that_only_pillow_could_read_is_not_cut_to_8_bits(tmp_path, monkeypatch):
    """As without imagecodecs: LZW is left to Pillow, which has no mode for 16-bit colour."""
    gray, colour = tmp_path / "gray.tif", tmp_path / "colour.tif"
    tifffile.imwrite(gray, noise(), compression="zlib", metadata=None)
    tifffile.imwrite(colour, last(noise(3)), compression="zlib", metadata=None, photometric="rgb")

    def refuse(*_, **__):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", refuse)
    np.testing.assert_array_equal(read_image(gray), noise())
    with pytest.raises(InvalidImageError, match="pip install imagecodecs"):
        read_image(colour)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", ["plain", "imagej", "tiled"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_stacks(tmp_path, compression, kind, share, caplog):
    caplog.set_level(logging.CRITICAL)
    stack = noise(6)
    path = tmp_path / "image.tif"
    options = {
        "plain": {"metadata": None},
        "imagej": {"imagej": True},
        "tiled": {"tile": (16, 16)},
    }[kind]
    tifffile.imwrite(path, stack, compression=compression, photometric="minisblack", **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InvalidImageError) as caught:
        read_image(path, page=5)
    assert "\n" not in str(caught.value)
    # Where the beginning is whole, it may be read; nothing is made up.
    try:
        first = read_image(path)
    except InvalidImageError:
        return
    np.testing.assert_array_equal(first, stack[0])
