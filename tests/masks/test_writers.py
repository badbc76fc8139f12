"""Files of masks: read by their own tools, whole or not there."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from pycocotools.coco import COCO

from sam_plugins.errors import InvalidMaskError
from sam_plugins.masks import rle
from sam_plugins.masks.boxes import mask_to_box, xyxy_to_xywh
from sam_plugins.masks.records import MaskRecord
from sam_plugins.masks.writers import (
    ImageRecords,
    read_coco,
    read_sa1b,
    write_coco,
    write_labels,
    write_sa1b,
)


def an_image(seed, size, count):
    rng = np.random.default_rng(seed)
    records = []
    for _ in range(count):
        mask = rng.random(size) < 0.4
        records.append(
            MaskRecord(
                segmentation=rle.encode(mask),
                area=int(mask.sum()),
                bbox=tuple(int(x) for x in xyxy_to_xywh(mask_to_box(mask))),
                predicted_iou=float(rng.random()),
                point_coords=((1.5, 2.0),),
                stability_score=0.9,
                crop_box=(0, 0, size[1], size[0]),
            )
        )
    return ImageRecords(f"bild {seed} ü.png", size, tuple(records))


@pytest.fixture
def images():
    return [an_image(0, (12, 9), 3), an_image(1, (5, 30), 0), an_image(2, (7, 7), 2)]


def test_pycocotools_reads_what_was_written(images, tmp_path):
    write_coco(tmp_path / "c.json", images, category="cell")
    data = COCO(tmp_path / "c.json")
    assert [image["file_name"] for image in data.dataset["images"]] == [
        image.file_name for image in images
    ]
    assert len(data.getAnnIds()) == 5
    for image_id, image in enumerate(images, start=1):
        found = data.loadAnns(data.getAnnIds(imgIds=image_id))
        for annotation, record in zip(found, image.records, strict=True):
            mask = data.annToMask(annotation).astype(bool)
            np.testing.assert_array_equal(mask, record.mask())
            x, y, width, height = annotation["bbox"]
            assert mask[y : y + height, x : x + width].sum() == mask.sum() == annotation["area"]


def test_coco_comes_back(images, tmp_path):
    write_coco(tmp_path / "c.json", images)
    assert read_coco(tmp_path / "c.json") == images


def test_sa1b_comes_back_and_has_its_layout(images, tmp_path):
    write_sa1b(tmp_path / "s.json", images[0], image_id=77)
    assert read_sa1b(tmp_path / "s.json") == images[0]
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["image"] == {
        "image_id": 77,
        "width": 9,
        "height": 12,
        "file_name": "bild 0 ü.png",
    }
    assert set(content["annotations"][0]) == {
        "id",
        "segmentation",
        "area",
        "bbox",
        "predicted_iou",
        "point_coords",
        "stability_score",
        "crop_box",
    }


@pytest.mark.parametrize("read", [read_coco, read_sa1b])
@pytest.mark.parametrize("text", ["", '{"image": {"wid', "[1, 2]", "{}", "\x00\x01"])
def test_damaged_files_are_named(read, text, tmp_path):
    path = tmp_path / "damaged.json"
    path.write_text(text)
    with pytest.raises(InvalidMaskError, match=r"damaged\.json") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_a_mask_of_another_size_is_noticed(images, tmp_path):
    wrong = ImageRecords("x.png", (99, 9), images[0].records)
    write_sa1b(tmp_path / "s.json", wrong)
    with pytest.raises(InvalidMaskError, match="99"):
        read_sa1b(tmp_path / "s.json")


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".png", ".PNG"])
def test_label_images_come_back(suffix, tmp_path):
    labels = np.random.default_rng(0).integers(0, 65_536, (20, 31)).astype(np.uint16)
    path = tmp_path / f"labels{suffix}"
    write_labels(path, labels)
    png = suffix.lower() == ".png"
    found = np.asarray(Image.open(path)) if png else tifffile.imread(path)
    np.testing.assert_array_equal(found, labels)


def test_labels_that_do_not_fit_are_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "labels.png"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="65535"):
        write_labels(path, np.array([[70_000]], np.int32))
    with pytest.raises(ValueError, match="tif"):
        write_labels(tmp_path / "labels.bmp", np.zeros((2, 2), np.uint16))
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["labels.png"]


def test_a_write_that_fails_leaves_the_old_file(images, tmp_path):
    path = tmp_path / "c.json"
    write_coco(path, images)
    before = path.read_bytes()
    broken = ImageRecords(object(), (3, 3), ())
    with pytest.raises(TypeError):
        write_coco(path, [broken])
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["c.json"]
