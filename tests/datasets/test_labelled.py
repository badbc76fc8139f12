"""Labelled images from folders and COCO files; what is wrong with them is said with the file."""

import json

import numpy as np
import pytest
from PIL import Image

from sam_plugins.datasets.labelled import DataError, read_labelled


def labels_of(height=40, width=60):
    labels = np.zeros((height, width), dtype=np.uint16)
    labels[5:15, 10:30] = 3
    labels[20:35, 40:55] = 700
    return labels


def write(folder, name="a", labels=None, masks="masks"):
    labels = labels_of() if labels is None else labels
    for part in ("images", masks):
        (folder / part).mkdir(parents=True, exist_ok=True)
    gray = (50 + (labels > 0) * 150).astype(np.uint8)
    Image.fromarray(gray).save(folder / "images" / f"{name}.png")
    Image.fromarray(labels).save(folder / masks / f"{name}.png")


@pytest.mark.parametrize("masks", ["masks", "labels"])
def test_a_folder(tmp_path, masks):
    for name in ("b", "a"):
        write(tmp_path, name, masks=masks)
    found = read_labelled(tmp_path)
    assert [each.name for each in found] == ["a.png", "b.png"]
    assert found[0].image.shape == (40, 60, 3)
    expected = [labels_of() == 3, labels_of() == 700]
    assert np.array_equal(found[0].masks(), expected)


def coco(folder, segmentation, **changes):
    write(folder)
    content = {
        "images": [{"id": 7, "file_name": "a.png", "height": 40, "width": 60}],
        "annotations": [{"image_id": 7, "segmentation": segmentation, "iscrowd": 0}],
        **changes,
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def test_a_coco_file_of_polygons_and_runs(tmp_path):
    polygon = [[10, 5, 30, 5, 30, 15, 10, 15]]
    (found,) = read_labelled(coco(tmp_path, polygon))
    assert np.array_equal(found.masks()[0], labels_of() == 3)
    mask = (labels_of() == 700).T.ravel()
    changes = np.flatnonzero(np.diff(mask)) + 1
    runs = np.diff(np.concatenate([[0], changes, [mask.size]])).tolist()
    (found,) = read_labelled(coco(tmp_path, {"size": [40, 60], "counts": runs}))
    assert np.array_equal(found.masks()[0], labels_of() == 700)


@pytest.mark.parametrize("colours", [None, [3, 77, 191] * 256])
def test_the_indices_of_a_palette_are_labels(tmp_path, colours):
    write(tmp_path)
    labels = (labels_of() == 3) + 2 * (labels_of() == 700).astype(np.uint8)
    image = Image.fromarray(labels)
    if colours is not None:
        image.putpalette(colours)  # all of one colour: only the indices tell them apart
    image.save(tmp_path / "masks" / "a.png")
    (found,) = read_labelled(tmp_path)
    assert np.array_equal(found.masks(), [labels == 1, labels == 2])


def test_a_binary_mask_is_one_object(tmp_path):
    write(tmp_path)
    Image.fromarray(labels_of() == 3).save(tmp_path / "masks" / "a.png")
    (found,) = read_labelled(tmp_path)
    assert np.array_equal(found.masks(), [labels_of() == 3])


def test_names_that_begin_alike_are_told_apart(tmp_path):
    write(tmp_path, "cell.1", labels=np.where(labels_of() == 3, 3, 0).astype(np.uint16))
    write(tmp_path, "cell", labels=np.where(labels_of() == 700, 700, 0).astype(np.uint16))
    found = {each.name: each.masks() for each in read_labelled(tmp_path)}
    assert np.array_equal(found["cell.1.png"], [labels_of() == 3])
    assert np.array_equal(found["cell.png"], [labels_of() == 700])


def test_small_specks_are_no_objects(tmp_path):
    labels = labels_of()
    labels[0, 0] = 9
    write(tmp_path, labels=labels)
    assert len(read_labelled(tmp_path)[0].objects) == 2


def one_pixel(folder):
    labels = np.zeros((40, 60), dtype=np.uint16)
    labels[3, 3] = 1
    write(folder, labels=labels)


def no_object(folder):
    write(folder, labels=np.zeros((40, 60), dtype=np.uint16))


def other_size(folder):
    write(folder)
    Image.fromarray(labels_of(40, 61)).save(folder / "masks" / "a.png")


def no_mask(folder):
    write(folder)
    (folder / "masks" / "a.png").unlink()


def damaged_image(folder):
    write(folder)
    (folder / "images" / "a.png").write_bytes(b"no image")


def coloured_mask(folder):
    write(folder)
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "masks" / "a.png")


def damaged_mask(folder):
    write(folder)
    path = folder / "masks" / "a.png"
    path.write_bytes(path.read_bytes()[:60])


def empty(folder):
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (one_pixel, r"a\.png has no object of 9 pixels or more"),
        (no_object, r"a\.png has no object for a\.png"),
        (other_size, r"61 x 40 pixels, but .*a\.png is 60 x 40"),
        (no_mask, r"images.a\.png has no label image"),
        (damaged_image, r"images.a\.png cannot be read"),
        (damaged_mask, r"masks.a\.png cannot be read"),
        (coloured_mask, "no label image: a 2-D image of whole numbers"),
        (empty, "there is no image in"),
        (lambda folder: folder.mkdir(), "must hold a folder 'images'"),
        (lambda folder: None, "neither a folder nor a COCO file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, spoil, message):
    spoil(tmp_path / "data")
    with pytest.raises(DataError, match=message):
        read_labelled(tmp_path / "data")


def test_coco_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"labels\.json names b\.png"):
        read_labelled(
            coco(
                tmp_path,
                [],
                images=[{"id": 1, "file_name": "b.png", "height": 1, "width": 1}],
                annotations=[],
            )
        )
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(DataError, match="no COCO file"):
        read_labelled(tmp_path / "labels.json")
