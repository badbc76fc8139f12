"""Formats are told by names when writing and by contents when reading."""

import json

import numpy as np
import pytest
from hypothesis import given

from sam_plugins.datasets.formats import (
    Format,
    format_of,
    format_to_write,
    read_annotations,
    write_annotations,
)
from sam_plugins.errors import AnnotationFileError
from tests.datasets.oracles import FLAT_LABELS, same, stack_of

NAMES = {
    "a.json": Format.COCO,
    "a.coco.json": Format.COCO,
    "a.SA1B.json": Format.SA1B,
    "folder": Format.SA1B,
    "a.geojson": Format.GEOJSON,
    "a.labels.tif": Format.LABELS,
    "a.TIFF": Format.LABELS,
    "a.png": Format.LABELS,
}


@given(FLAT_LABELS)
def test_labels_come_back_from_every_format(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("formats")
    for name, chosen in NAMES.items():
        path = folder / name
        assert format_to_write(path) is chosen
        write_annotations(path, stack_of(labels, "image.png"))
        assert format_of(path) is chosen
        same(read_annotations(path), labels)


def test_a_chain_through_all_formats_loses_nothing(tmp_path):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (3, 20, 30)) * rng.integers(0, 2, (3, 20, 30))
    images = stack_of(labels)
    for name in ("a.json", "folder", "a.geojson", "a.tif", "b.geojson", "b.json"):
        write_annotations(tmp_path / name, images)
        images = read_annotations(tmp_path / name)
    same(images, labels)


def test_the_named_format_wins(tmp_path):
    write_annotations(tmp_path / "a.json", stack_of(np.eye(3, dtype=int)), format=Format.GEOJSON)
    assert format_of(tmp_path / "a.json") is Format.GEOJSON


def test_what_is_none_of_them(tmp_path):
    with pytest.raises(FileNotFoundError):
        format_of(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(json.dumps({"shapes": []}))
    with pytest.raises(AnnotationFileError, match=r"a\.json is no COCO instances file"):
        read_annotations(tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"a\.xml must end in"):
        format_to_write(tmp_path / "a.xml")


def test_formats_for_one_image(tmp_path):
    (a,), (b,) = (stack_of(np.ones((2, 2), int), name) for name in "ab")
    for name in ("a.sa1b.json", "a.geojson", "a.tif"):
        with pytest.raises(ValueError, match="one image"):
            write_annotations(tmp_path / name, [a, b])
    assert not list(tmp_path.iterdir())
