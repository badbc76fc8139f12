"""Files of all kinds and modes, written by Pillow, OpenCV and numpy, read back without loss."""

import contextlib
import os
import pickle
import struct
import warnings
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from sam_plugins.errors import InvalidImageError
from sam_plugins.images import count_pages, read_image
from sam_plugins.images.pillow_files import upright


@pytest.fixture
def rgb():
    """Smooth, so that lossy formats come close; no side is symmetric."""
    y, x = np.mgrid[:30, :44]
    return np.stack([x * 5, y * 8, 255 - x * 3 - y * 4], axis=-1).astype(np.uint8)


def save(image, path, **options):
    Image.fromarray(image).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tga", "tif", "webp", "jp2"])
def test_lossless_formats(tmp_path, rgb, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(rgb, tmp_path / f"image.{suffix}", **options)
    np.testing.assert_array_equal(read_image(path), rgb)
    np.testing.assert_array_equal(read_image(str(path)), rgb)
    assert count_pages(path) == 1


def test_jpeg_and_what_a_file_is_called(tmp_path, rgb):
    path = save(rgb, tmp_path / "image.jpg", quality=95)
    expected = np.asarray(Image.open(path))
    np.testing.assert_array_equal(read_image(path), expected)
    wrong = path.rename(tmp_path / "image.tif")
    np.testing.assert_array_equal(read_image(wrong), expected)
    png = save(rgb, tmp_path / "image.png").rename(tmp_path / "no suffix")
    np.testing.assert_array_equal(read_image(png), rgb)


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "PA", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"]
)
def test_modes_of_pillow(tmp_path, rgb, mode):
    gray = np.arange(30 * 44).reshape(30, 44)
    source = {
        "I;16": gray.astype(np.uint16) * 45,
        "I": gray.astype(np.int32) * 100_000 - 7,
        "F": gray.astype(np.float32) / 7 - 3,
    }
    if mode in source:
        image = Image.fromarray(source[mode])
        expected = source[mode]
    else:
        image = Image.fromarray(rgb).convert(mode)
        expected = {
            "1": lambda: np.asarray(image),
            "L": lambda: np.asarray(image),
            "LA": lambda: np.asarray(image.convert("L")),
        }.get(mode, lambda: np.asarray(image.convert("RGB")))()
        if "A" in mode:
            image.putalpha(Image.fromarray(rgb[..., 0]))
    suffix = "tif" if mode in ("CMYK", "I", "F") else "png"
    if mode == "PA":
        image = image.convert("P")
        image.info["transparency"] = 0
    image.save(tmp_path / f"image.{suffix}")
    actual = read_image(tmp_path / f"image.{suffix}")
    assert actual.dtype == expected.dtype
    assert actual.flags.c_contiguous
    if mode == "CMYK":  # tifffile and our arithmetic instead of Pillow's
        assert np.abs(actual.astype(int) - expected).max() <= 1
    else:
        np.testing.assert_array_equal(actual, expected)


def test_cmyk_jpeg(tmp_path, rgb):
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "image.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "image.jpg").astype(int) - rgb).mean() < 4


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("interlaced", [False, True])
def test_16_bit_png_keeps_all_bits(tmp_path, channels, interlaced):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2**16, (30, 44, channels)).astype(np.uint16)
    path = tmp_path / "image.png"
    if interlaced:
        path.write_bytes(interlaced_png(image))
    else:
        assert cv2.imwrite(str(path), image[..., ::-1] if channels == 3 else swap_bgra(image))
    actual = read_image(path)
    assert actual.dtype == np.uint16
    np.testing.assert_array_equal(actual, image[..., 0] if channels == 1 else image[..., :3])


def swap_bgra(image):
    return image[..., [2, 1, 0, 3]] if image.shape[2] == 4 else image


def test_16_bit_gray_png_with_alpha_keeps_all_bits(tmp_path):
    image = np.random.default_rng(0).integers(0, 2**16, (30, 44, 2)).astype(np.uint16)
    (tmp_path / "image.png").write_bytes(png(image, colour_type=4))
    actual = read_image(tmp_path / "image.png")
    assert actual.dtype == np.uint16
    np.testing.assert_array_equal(actual, image[..., 0])


def png(image, *, colour_type, interlaced=False, passes=None):
    """A PNG of 16 bits without filters, byte by byte (PNG specification, sections 5 and 11)."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    height, width = image.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, int(interlaced))
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes() for part in passes or [image] for row in part
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    )


def interlaced_png(image):
    """Adam7 (PNG specification, section 8.2)."""
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    passes = [image[y::dy, x::dx] for y, x, dy, dx in [*starts, (1, 0, 2, 1)]]
    colour_type = {1: 0, 3: 2, 4: 6}[image.shape[2]]
    return png(image, colour_type=colour_type, interlaced=True, passes=passes)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_orientation(tmp_path, rgb, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(rgb, tmp_path / f"image.{suffix}", exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(path), expected)
    assert read_image(path).flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_png_is_turned_too(tmp_path, orientation):
    gray = np.arange(30 * 44, dtype=np.uint16).reshape(30, 44)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(gray, tmp_path / "image.png", exif=exif)
    np.testing.assert_array_equal(read_image(path), upright(gray, orientation))
    stack = np.stack([gray, gray + 1])
    turned = upright(stack, orientation, row_axis=1)
    np.testing.assert_array_equal(turned[1], upright(gray, orientation) + 1)


@pytest.mark.parametrize("value", [0, 9, 250])
def test_orientations_that_do_not_exist_turn_nothing(tmp_path, rgb, value):
    exif = Image.Exif()
    exif[0x0112] = value
    np.testing.assert_array_equal(read_image(save(rgb, tmp_path / "a.png", exif=exif)), rgb)


def test_a_damaged_exif_block_does_not_hide_the_picture(tmp_path, rgb):
    path = save(rgb, tmp_path / "image.png", exif=b"Exif\0\0this is no TIFF header")
    np.testing.assert_array_equal(read_image(path), rgb)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_frames_are_pages(tmp_path, rgb, suffix):
    frames = [Image.fromarray(np.roll(rgb, 7 * i, axis=1)) for i in range(3)]
    path = tmp_path / f"image.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert count_pages(path) == 3
    for index, frame in enumerate(frames):
        actual = read_image(path, page=index).astype(int)
        assert np.abs(actual - np.asarray(frame)).mean() < (10 if suffix == "gif" else 1e-9)
    for page in (3, -1):
        with pytest.raises(InvalidImageError, match=f"3 pages.* no page {page}"):
            read_image(path, page=page)


def test_further_pictures_of_a_photograph_are_no_pages(tmp_path, rgb):
    first = Image.fromarray(rgb)
    path = tmp_path / "image.jpg"
    first.save(path, format="MPO", save_all=True, append_images=[first.rotate(90)])
    with Image.open(path) as image:
        assert image.n_frames == 2
    assert count_pages(path) == 1
    assert read_image(path).shape == rgb.shape


@pytest.mark.parametrize("dtype", ["?", "u1", ">u2", "i8", "f4", "f8"])
@pytest.mark.parametrize("shape", [(30, 44), (30, 44, 3), (7, 30, 44)])
def test_npy(tmp_path, dtype, shape):
    image = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    np.save(tmp_path / "image.npy", image)
    actual = read_image(tmp_path / "image.npy")
    np.testing.assert_array_equal(actual, image)
    assert actual.dtype == image.dtype.newbyteorder("=")
    assert type(actual) is np.ndarray
    assert actual.flags.writeable
    assert count_pages(tmp_path / "image.npy") == 1


def test_npy_with_objects_is_not_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    path = tmp_path / "image.npy"
    np.save(path, np.array([[Trap(), Trap()]], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidImageError, match=r"image\.npy cannot be read"):
        read_image(path)
    assert not (tmp_path / "executed").exists()
    (tmp_path / "image.pkl").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InvalidImageError, match="not an image"):
        read_image(tmp_path / "image.pkl")
    assert not (tmp_path / "executed").exists()


def one_line(caught):
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


def test_missing_empty_and_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.png") as caught:
        read_image(tmp_path / "missing.png")
    one_line(caught)
    cases = {"empty.png": b"", "text.jpg": b"hello, I am no image", "short.tif": b"II"}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        for function in (read_image, count_pages):
            with pytest.raises(InvalidImageError, match=name) as caught:
                function(tmp_path / name)
            one_line(caught)
    with pytest.raises(InvalidImageError, match="folder"):
        read_image(tmp_path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_files_that_must_not_be_read(tmp_path, rgb):
    path = save(rgb, tmp_path / "image.png")
    path.chmod(0)
    with pytest.raises(PermissionError, match=r"image\.png"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp", "tif", "npy", "lzw.tif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_truncated_files(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    path = tmp_path / f"image.{suffix}"
    if suffix == "npy":
        np.save(path, noise)
    else:
        Image.fromarray(noise).save(
            path, **({"compression": "tiff_lzw"} if "lzw" in suffix else {})
        )
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InvalidImageError, match=r"image\.") as caught:
        read_image(path)
    one_line(caught)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "gif"])
def test_damaged_files_give_an_image_or_a_clear_error(tmp_path, rgb, suffix):
    path = save(rgb, tmp_path / f"image.{suffix}")
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = np.frombuffer(content, dtype=np.uint8).copy()
        places = rng.integers(0, min(len(content), 300), 3)
        damaged[places] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        with warnings.catch_warnings(), contextlib.suppress(InvalidImageError):
            warnings.simplefilter("ignore")  # of odd metadata
            assert read_image(path).ndim in (2, 3)


@pytest.mark.filterwarnings("error")
def test_large_photographs_are_read_and_bombs_are_not(tmp_path):
    large = tmp_path / "large.png"
    Image.new("1", (10_000, 10_000)).save(large)
    image = read_image(large)
    assert image.shape == (10_000, 10_000)
    assert image.dtype == bool
    bomb = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)
    content = large.read_bytes()
    check = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bomb.write_bytes(content[:16] + header + check + content[33:])
    with pytest.raises(InvalidImageError, match="178956970 pixels") as caught:
        read_image(bomb)
    one_line(caught)
