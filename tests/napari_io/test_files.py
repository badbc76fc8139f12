"""Layers to files and back, through napari's viewer and npe2's plugin manager."""

import json

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from napari.components import ViewerModel
from napari.layers import Labels

from napari_sam import _readers
from napari_sam._writers import CannotSaveError
from sam_plugins.datasets.coco import read_coco
from sam_plugins.errors import AnnotationFileError
from tests.datasets.oracles import LABELS

PLUGIN = "sam-plugins"
STACK = np.kron(np.arange(12).reshape(3, 2, 2), np.ones((1, 4, 5), int))
NAMES = ("a.coco.json", "a.json", "a.geojson", "a.labels.tif", "a.labels.tiff", "a.sa1b.json")


def save(layer, path):
    assert layer.save(str(path), plugin=PLUGIN) == [str(path)]
    return path


def reopen(viewer, path):
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert isinstance(layer, Labels)
    return layer


@given(LABELS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_come_back(plugin, tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("files")
    for name in NAMES:
        if name == "a.sa1b.json" and labels.ndim > 2:
            continue
        found = reopen(ViewerModel(), save(Labels(labels, name="cells"), folder / name))
        np.testing.assert_array_equal(found.data.reshape(labels.shape), labels)


@pytest.mark.parametrize("name", NAMES[:-2])
def test_scaled_and_moved_stacks(viewer, tmp_path, name):
    layer = Labels(STACK, scale=(2, 0.2, 0.2), translate=(1, 2, 3), rotate=30)
    np.testing.assert_array_equal(reopen(viewer, save(layer, tmp_path / name)).data, STACK)


def test_the_size_of_a_pixel(viewer, tmp_path):
    layer = Labels(STACK, scale=(2, 0.2, 0.3), units=("µm", "µm", "µm"))
    found = reopen(viewer, save(layer, tmp_path / "a.labels.tif"))
    np.testing.assert_allclose(found.scale, (2, 0.2, 0.3))
    assert {str(unit) for unit in found.units} == {"micrometer"}
    with tifffile.TiffFile(tmp_path / "a.labels.tif") as tiff:
        assert 'PhysicalSizeZ="2.0"' in tiff.ome_metadata
        assert 'PhysicalSizeXUnit="µm"' in tiff.ome_metadata


def test_pixels_without_a_size_stay_so(viewer, tmp_path):
    found = reopen(viewer, save(Labels(STACK), tmp_path / "a.labels.tif"))
    np.testing.assert_array_equal(found.scale, (1, 1, 1))
    with tifffile.TiffFile(tmp_path / "a.labels.tif") as tiff:
        assert "PhysicalSize" not in tiff.ome_metadata


FEATURES = {
    "index": [5, 3],
    "class": ["cell", "debris"],
    "predicted_iou": [0.5, np.nan],
    "stability_score": [None, 0.25],
}
CLASSES = [
    {"name": "cell", "color": [255, 0, 9], "id": 4},
    {"name": "debris", "color": None, "id": 9},
]


@pytest.mark.parametrize("name", ["a.coco.json", "a.geojson", "a.sa1b.json"])
def test_classes_and_scores(viewer, tmp_path, name):
    labels = np.array([[0, 3, 3], [5, 5, 0]])
    metadata = {"sam_plugins": {"file_name": "x y.png", "classes": CLASSES}}
    layer = Labels(labels, features=FEATURES, metadata=metadata)
    found = reopen(viewer, save(layer, tmp_path / name))
    assert found.name == "x y objects"
    table = found.features.set_index("index")
    assert table["class"].to_dict() == {3: "debris", 5: "cell"}
    assert table["predicted_iou"][5] == 0.5
    assert np.isnan(table["predicted_iou"][3])
    assert table["stability_score"][3] == 0.25
    kept = found.metadata["sam_plugins"]
    assert kept["file_name"] == "x y.png"
    assert {each["name"] for each in kept["classes"]} == {"cell", "debris"}
    if name == "a.coco.json":
        assert [each["id"] for each in kept["classes"]] == [4, 9]
    if name != "a.sa1b.json":
        assert next(each["color"] for each in kept["classes"] if each["name"] == "cell") == (
            255,
            0,
            9,
        )
    # What was read is saved as the same file.
    save(found, tmp_path / f"again.{name}")
    assert (tmp_path / f"again.{name}").read_text() == (tmp_path / name).read_text()


def test_features_without_an_index_go_by_rows(tmp_path, plugin):
    layer = Labels(np.array([[1, 2]]), features={"class": ["background", "cell", "debris"]})
    (image,) = read_coco(save(layer, tmp_path / "a.json"))
    assert [each.class_name for each in image.objects] == ["cell", "debris"]


def test_a_new_object_that_the_table_does_not_know(tmp_path, plugin):
    layer = Labels(np.array([[3, 5]]), features=FEATURES)
    layer.data = np.array([[3, 7]])
    (image,) = read_coco(save(layer, tmp_path / "a.json"))
    assert [(each.label, each.class_name) for each in image.objects] == [
        (3, "debris"),
        (7, "object"),
    ]


def test_objects_on_several_slices_keep_their_class_only(viewer, tmp_path):
    features = {"index": [1, 2], "class": ["cell", "debris"], "predicted_iou": [0.5, 0.75]}
    layer = Labels(np.array([[[1, 2]], [[1, 0]]]), features=features)
    table = reopen(viewer, save(layer, tmp_path / "a.json")).features.set_index("index")
    assert table["class"].to_dict() == {1: "cell", 2: "debris"}
    assert np.isnan(table["predicted_iou"][1])
    assert table["predicted_iou"][2] == 0.75


def test_many_layers_become_one_file(viewer, tmp_path):
    first = viewer.add_labels(STACK[0], name="a objects")
    second = viewer.add_labels(STACK, name="b objects")
    path = str(tmp_path / "all.coco.json")
    assert viewer.layers.save(path, plugin=PLUGIN) == [path]
    viewer.layers.clear()
    found = viewer.open(path, plugin=PLUGIN)
    assert [layer.name for layer in found] == ["a objects", "b objects"]
    for layer, before in zip(found, (first, second), strict=True):
        np.testing.assert_array_equal(layer.data, before.data)


def test_multiscale_layers_are_written_at_their_finest_level(viewer, tmp_path):
    layer = Labels([STACK[0], STACK[0][::2, ::2]], multiscale=True)
    found = reopen(viewer, save(layer, tmp_path / "a.json"))
    np.testing.assert_array_equal(found.data, STACK[0])


def test_several_files_at_once(viewer, tmp_path):
    for name in "ab":
        save(Labels(STACK, name=name), tmp_path / f"{name}.json")
    found = viewer.open([tmp_path / "a.json", tmp_path / "b.json"], plugin=PLUGIN)
    assert [layer.name for layer in found] == ["a objects", "b objects"]


@pytest.mark.parametrize("name", ["a.json", "a.geojson", "a.labels.tif"])
def test_bad_files_are_named_and_nothing_is_lost(viewer, tmp_path, name):
    viewer.add_labels(STACK)
    (tmp_path / name).write_text("{}")
    with pytest.raises(AnnotationFileError, match=name):
        viewer.open(tmp_path / name, plugin=PLUGIN)
    assert len(viewer.layers) == 1


def test_a_stack_is_no_sa1b_file(tmp_path, plugin):
    (tmp_path / "a.sa1b.json").write_text("old")
    with pytest.raises(CannotSaveError, match="'cells' is a stack"):
        Labels(STACK, name="cells").save(str(tmp_path / "a.sa1b.json"), plugin=PLUGIN)
    assert (tmp_path / "a.sa1b.json").read_text() == "old"


@pytest.mark.parametrize("name", ["a.geojson", "a.labels.tif"])
def test_what_does_not_fit_is_said_and_the_old_file_stays(tmp_path, plugin, name):
    (tmp_path / name).write_text("old")
    with pytest.raises(CannotSaveError):
        Labels(np.ones((1, 1, 1, 2, 2), int)).save(str(tmp_path / name), plugin=PLUGIN)
    assert (tmp_path / name).read_text() == "old"


def many_images(path, count):
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": 4, "width": 5} for n in range(1, count + 1)
        ],
        "annotations": [],
    }
    path.write_text(json.dumps(content))
    return path


def test_files_of_very_many_images(viewer, tmp_path, monkeypatch):
    path = many_images(tmp_path / "many.json", _readers.MOST_LAYERS + 1)
    with pytest.raises(ValueError, match=r"holds 65 images.*open the image"):
        viewer.open(path, plugin=PLUGIN)
    other = ViewerModel()
    image = other.add_image(np.zeros((4, 5)), name="7")
    monkeypatch.setattr("napari.current_viewer", lambda: other)
    (layer,) = viewer.open(path, plugin=PLUGIN)
    assert layer.name == f"{image.name} objects"


@pytest.mark.parametrize("rgb", [False, True])
def test_annotations_lie_on_their_image(viewer, tmp_path, monkeypatch, rgb):
    path = many_images(tmp_path / "few.json", 2)
    data = np.zeros((4, 5, 3) if rgb else (4, 5))
    image = viewer.add_image(
        data, name="2", rgb=rgb, scale=(0.2, 0.3), translate=(4, 5), rotate=30, units=("um", "um")
    )
    viewer.add_image(np.zeros((9, 9)), name="1", scale=(5, 5))
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    first, second = viewer.open(path, plugin=PLUGIN)
    np.testing.assert_array_equal(first.scale, (1, 1))  # an image of another size
    for point in ((0, 0), (3, 2)):
        np.testing.assert_allclose(second.data_to_world(point), image.data_to_world(point))
    assert second.units == image.units


def test_files_that_are_left_to_others():
    assert _readers.get_annotation_reader("a.tif") is None
    assert _readers.get_annotation_reader(["a.json", "b.tif"]) is None
    assert _readers.get_annotation_reader([]) is None
    assert _readers.get_label_reader("a.json") is None
    assert _readers.get_label_reader("A.LABELS.TIF") is not None
