"""GeoJSON for QuPath: outlines that fill to the same pixels, QuPath's own files, and bad ones."""

import json
import uuid

import numpy as np
import pytest
from hypothesis import given

from sam_plugins.datasets.annotations import (
    AnnotatedImage,
    AnnotatedObject,
    ObjectClass,
)
from sam_plugins.datasets.geojson import read_geojson, write_geojson
from sam_plugins.errors import AnnotationFileError
from sam_plugins.masks import rle
from tests.datasets.oracles import FLAT_LABELS, LABELS, fill, same, stack_of


@given(LABELS)
def test_labels_come_back(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("geojson") / "g.geojson"
    write_geojson(path, stack_of(labels))
    same(read_geojson(path), labels)


@given(FLAT_LABELS)
def test_outlines_fill_to_the_same_pixels(tmp_path_factory, labels):
    path = tmp_path_factory.mktemp("geojson") / "g.geojson"
    write_geojson(path, stack_of(labels))
    for feature in json.loads(path.read_text())["features"]:
        geometry = feature["geometry"]
        many = geometry["type"] == "MultiPolygon"
        polygons = geometry["coordinates"] if many else [geometry["coordinates"]]
        filled = np.zeros(labels.shape, int)
        for rings in polygons:
            for ring in rings:
                assert ring[0] == ring[-1]
                assert len({tuple(corner) for corner in ring}) == len(ring) - 1
            filled += fill(rings, labels.shape)
        label = int(feature["properties"]["metadata"]["label"])
        np.testing.assert_array_equal(filled, labels == label)


def test_what_qupath_needs_is_there(tmp_path):
    labels = np.zeros((5, 6), int)
    labels[1:4, 1:4], labels[2, 2] = 3, 0
    details = {3: {"class_name": "Tumor", "predicted_iou": 0.5}}
    classes = [ObjectClass("Tumor", (200, 0, 0))]
    write_geojson(tmp_path / "g.geojson", stack_of(labels, details=details, classes=classes))
    content = json.loads((tmp_path / "g.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    (feature,) = content["features"]
    assert feature["type"] == "Feature"
    assert str(uuid.UUID(feature["id"])) == feature["id"]
    assert feature["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "measurements": {"Predicted IoU": 0.5},
        "metadata": {"label": "3"},
    }
    exterior, hole = feature["geometry"]["coordinates"]
    assert feature["geometry"].keys() == {"type", "coordinates"}
    assert {tuple(corner) for corner in exterior} == {(1, 1), (4, 1), (4, 4), (1, 4)}
    assert {tuple(corner) for corner in hole} == {(2, 2), (2, 3), (3, 3), (3, 2)}


def test_equal_work_gives_equal_files(tmp_path):
    for name in "ab":
        write_geojson(tmp_path / f"{name}.geojson", stack_of(np.eye(4, dtype=int)))
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_all_that_is_known_comes_back(tmp_path):
    mask = rle.encode(np.eye(3, 4))
    key = str(uuid.uuid4())
    told = AnnotatedObject(70_000, mask, "Stroma", 0.5, 0.25, id=key)
    other = AnnotatedObject(2, mask, "Tumor: Positive", id=str(uuid.uuid4()))
    classes = (ObjectClass("Stroma", (1, 2, 3)), ObjectClass("Tumor: Positive"))
    image = AnnotatedImage("a.ndpi", (3, 4), (told, other), classes)
    write_geojson(tmp_path / "g.geojson", [image])
    assert read_geojson(tmp_path / "g.geojson") == [image]


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5)])
def test_slices_are_planes(shape, tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, shape)
    labels[-1] = 0
    write_geojson(tmp_path / "g.geojson", stack_of(labels))
    same(read_geojson(tmp_path / "g.geojson"), labels)
    planes = [
        each["geometry"]["plane"]
        for each in json.loads((tmp_path / "g.geojson").read_text())["features"]
    ]
    assert {plane["z"] for plane in planes} <= set(range(shape[-3]))
    assert {plane["c"] for plane in planes} == {-1}


def square(x, y, side):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(geometry=None, **properties):
    return {
        "type": "Feature",
        "geometry": geometry or {"type": "Polygon", "coordinates": [square(1, 1, 2)]},
        "properties": properties,
    }


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def read(tmp_path, *features, **more):
    content = {"type": "FeatureCollection", "features": features}
    return read_geojson(write(tmp_path / "g.geojson", content), **more)


def test_a_file_of_qupath_tells_no_size(tmp_path):
    shifted = {"type": "Polygon", "coordinates": [square(3.75, 0.25, 2.25)]}
    (image,) = read(tmp_path, feature(), feature(shifted))
    assert image.image_size == (3, 6)
    assert image.labels().tolist() == [[0, 0, 0, 0, 2, 2], [0, 1, 1, 0, 2, 2], [0, 1, 1, 0, 0, 0]]
    (image,) = read(tmp_path, feature(), image_size=(2, 2))
    assert image.labels().tolist() == [[0, 0], [0, 1]]
    (image,) = read(tmp_path)
    assert image.image_size == (0, 0)


def test_what_lies_outside_of_the_image_is_cut_off(tmp_path):
    around = {"type": "Polygon", "coordinates": [square(-10, -10, 40), square(0, 0, 1)]}
    beside = {"type": "Polygon", "coordinates": [square(50, 50, 4)]}
    (image,) = read(tmp_path, feature(around), feature(beside), image_size=(2, 3))
    assert image.labels().tolist() == [[0, 1, 1], [1, 1, 1]]
    assert [each.area for each in image.objects] == [5, 0]


def test_older_and_newer_versions_of_qupath(tmp_path):
    old = feature(
        object_type="annotation",
        classification={"name": "Tumor", "colorRGB": -3_670_016},
        measurements=[{"name": "Predicted IoU", "value": 0.5}],
    )
    (image,) = read_geojson(write(tmp_path / "g.json", [old]))
    assert image.classes == (ObjectClass("Tumor", (200, 0, 0)),)
    assert image.objects[0].predicted_iou == 0.5
    (image,) = read_geojson(write(tmp_path / "g.json", feature()))
    assert len(image.objects) == 1


def test_objects_that_were_split_or_added_get_labels_of_their_own(tmp_path):
    first = feature(metadata={"label": "7"})
    (image,) = read(tmp_path, first, first, feature())
    assert [each.label for each in image.objects] == [7, 8, 9]


def test_several_polygons_of_one_object(tmp_path):
    parts = [[square(0, 0, 2)], [square(1, 1, 2)]]
    collection = {
        "type": "GeometryCollection",
        "geometries": [{"type": "Polygon", "coordinates": part} for part in parts],
    }
    for geometry in ({"type": "MultiPolygon", "coordinates": parts}, collection):
        (image,) = read(tmp_path, feature(geometry))
        assert image.labels().tolist() == [[1, 1, 0], [1, 1, 1], [0, 1, 1]]


def test_points_and_lines_are_left_out_with_a_warning(tmp_path):
    point = {"type": "Point", "coordinates": [1, 2]}
    with pytest.warns(UserWarning, match="1 of its features"):
        (image,) = read(tmp_path, feature(point), feature())
    assert len(image.objects) == 1


def ring(*corners):
    return {"type": "Polygon", "coordinates": [list(corners)]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no JSON"),
        ('{"type": "Feat', "no JSON"),
        ("3", "must hold a JSON object"),
        ({}, "'features' is missing"),
        ({"features": {}}, "must be a list"),
        ([3], "feature 0"),
        ([feature(), {"type": "Feature"}], "feature 1.*'geometry' is missing"),
        ([feature({"type": "Circle"})], "'Circle' is no geometry"),
        ([feature(ring([0, 0], [1, 1]))], "four or more corners"),
        ([feature(ring([0, 0], [1, 0], [1], [0, 0]))], "feature 0"),
        ([feature(ring([0, 0], [1, 0], [float("nan"), 1], [0, 0]))], "finite"),
        ([feature(ring([0, 0], [1e9, 0], [1e9, 1e9], [0, 0]))], "is refused"),
        ([feature(classification={"name": "a", "color": [300, 0, 0]})], "a colour is"),
        ([feature(classification={"name": "a", "color": "red"})], "a colour is"),
        ([feature(measurements={"Predicted IoU": "high"})], "feature 0.*high"),
        ({"features": [], "image": {"shape": ["a", 1]}}, "a shape is"),
        ({"features": [], "image": {"shape": [-1, 1]}}, "a shape is"),
        (
            {
                "features": [feature({**feature()["geometry"], "plane": {"z": 4}})],
                "image": {"shape": [2, 5, 5]},
            },
            r"plane \(4,\), outside of \(2,\)",
        ),
    ],
)
def test_bad_files_are_named(content, message, tmp_path):
    path = write(tmp_path / "damaged.geojson", content)
    with pytest.raises(AnnotationFileError, match=message) as caught:
        read_geojson(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_file_holds_one_image(tmp_path):
    (a,), (b,) = (stack_of(np.ones((2, 2), int), name) for name in "ab")
    for images in ([a, b], []):
        with pytest.raises(ValueError, match="one image's objects"):
            write_geojson(tmp_path / "g.geojson", images)
    with pytest.raises(ValueError, match="3 axes"):
        write_geojson(tmp_path / "g.geojson", stack_of(np.ones((1, 1, 1, 2, 2), int)))
