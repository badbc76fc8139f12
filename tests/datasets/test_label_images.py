"""Label images: the labels, the size of a pixel, files of other programs, and bad ones."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from PIL import Image

from sam_plugins.datasets.label_images import read_labels, write_labels
from sam_plugins.errors import AnnotationFileError
from tests.datasets.oracles import FLAT_LABELS, LABELS


@given(LABELS)
def test_labels_come_back(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("labels") / "l.tif"
    write_labels(path, labels)
    np.testing.assert_array_equal(tifffile.imread(path).reshape(labels.shape), labels)
    found = read_labels(path)
    np.testing.assert_array_equal(found.labels.reshape(labels.shape), labels)
    assert found.labels.dtype == (np.uint32 if labels.max() > 65_535 else np.uint16)
    assert found.scale is None


@given(FLAT_LABELS)
def test_labels_come_back_as_png(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("labels") / "l.png"
    write_labels(path, labels)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), labels)
    np.testing.assert_array_equal(read_labels(path).labels, labels)


@pytest.mark.parametrize(
    ("shape", "scale"),
    [((4, 5), (0.2, 0.3)), ((3, 4, 5), (2.0, 0.2, 0.3)), ((2, 3, 4, 5), (1.0, 2.0, 0.2, 0.3))],
)
@pytest.mark.parametrize("highest", [200, 60_000, 100_000])
def test_the_size_of_a_pixel_comes_back(shape, scale, highest, tmp_path):
    labels = np.random.default_rng(0).integers(0, highest, shape)
    write_labels(tmp_path / "l.tiff", labels, scale=scale, unit="nm")
    found = read_labels(tmp_path / "l.tiff")
    np.testing.assert_array_equal(found.labels, labels)
    assert found.scale == pytest.approx(scale)
    assert found.unit == "nm"


def test_equal_labels_give_equal_files(tmp_path):
    for name in ("a.tif", "b.tif"):
        write_labels(tmp_path / name, np.eye(4, dtype=int), scale=(1, 2))
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_stacks_of_fiji(tmp_path):
    labels = np.random.default_rng(0).integers(0, 9, (3, 4, 5)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "fiji.tif",
        labels,
        imagej=True,
        resolution=(5.0, 4.0),
        metadata={"axes": "ZYX", "spacing": 2.0, "unit": "micron"},
    )
    found = read_labels(tmp_path / "fiji.tif")
    np.testing.assert_array_equal(found.labels, labels)
    assert found.scale == pytest.approx((2.0, 0.25, 0.2))
    assert found.unit == "µm"


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint32, np.int64, bool])
def test_plain_files_of_all_integers(dtype, tmp_path):
    labels = np.eye(4, 5).astype(dtype)
    tifffile.imwrite(tmp_path / "l.tif", labels)
    found = read_labels(tmp_path / "l.tif")
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype == np.uint16


def coloured(path):
    tifffile.imwrite(path, np.zeros((4, 5, 3), np.uint8), photometric="rgb")


def channels(path):
    tifffile.imwrite(path, np.zeros((2, 4, 5), np.uint8), ome=True, metadata={"axes": "CYX"})


def many_axes(path):
    tifffile.imwrite(path, np.zeros((2, 2, 2, 3, 5), np.uint8), photometric="minisblack")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b""), "empty|not a TIFF"),
        (lambda path: path.write_bytes(b"II*\0 and no more"), "is no label image"),
        (lambda path: tifffile.imwrite(path, np.zeros((4, 5), np.float32)), "float32"),
        (lambda path: tifffile.imwrite(path, -np.ones((4, 5), np.int16)), "got -1"),
        (many_axes, "labels are"),
        (coloured, "colours or channels"),
        (channels, "colours or channels"),
    ],
)
def test_bad_files_are_named(spoil, message, tmp_path):
    path = tmp_path / "bad.tif"
    spoil(path)
    with pytest.raises(AnnotationFileError, match=message) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_truncated_files_are_noticed(tmp_path):
    write_labels(tmp_path / "l.tif", np.random.default_rng(0).integers(0, 9_999, (99, 99)))
    whole = (tmp_path / "l.tif").read_bytes()
    (tmp_path / "l.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AnnotationFileError, match=r"l\.tif"):
        read_labels(tmp_path / "l.tif")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.tif"):
        read_labels(tmp_path / "nothing.tif")


@pytest.mark.parametrize(
    ("name", "labels", "more", "message"),
    [
        ("l.png", np.array([[70_000]]), {}, "65535"),
        ("l.png", np.zeros((2, 2, 2), int), {}, "use TIFF"),
        ("l.bmp", np.zeros((2, 2), int), {}, r"\.tif, \.tiff or \.png"),
        ("l.tif", np.zeros((2, 2)), {}, "float64"),
        ("l.tif", np.array([[-4]]), {}, "got -4"),
        ("l.tif", np.array([[2**40]]), {}, "4294967295"),
        ("l.tif", np.zeros(4, int), {}, r"\(4,\)"),
        ("l.tif", np.zeros((2, 2), int), {"scale": (1,)}, "positive number for each axis"),
        ("l.tif", np.zeros((2, 2), int), {"scale": (0, 1)}, "positive number for each axis"),
    ],
)
def test_what_does_not_fit_is_refused_and_the_old_file_stays(name, labels, more, message, tmp_path):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(ValueError, match=message):
        write_labels(tmp_path / name, labels, **more)
    assert (tmp_path / name).read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == [name]
