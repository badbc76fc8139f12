"""Proposals, instances and the report from end to end."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.coco_files import (
    Detection,
    find_images,
    read_annotations,
    read_detections,
)
from sam_plugins.evaluation.instances import masks_of_boxes
from sam_plugins.evaluation.rendering import Table
from sam_plugins.masks import rle


@pytest.fixture
def coco(make_set):
    """An LVIS file of the drawn discs, and boxes around them."""
    folder = make_set()
    images, annotations, boxes = [], [], []
    for number in (0, 1):
        labels = np.asarray(Image.open(folder / f"{number}_mask.png"))
        images.append(
            {
                "id": number,
                "file_name": f"{number}.png",
                "height": 80,
                "width": 100,
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
            }
        )
        for category in (1, 2):
            mask = labels == category
            y, x = np.nonzero(mask)
            box = [int(v) for v in (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)]
            ids = {"image_id": number, "category_id": category}
            row = {"segmentation": rle.encode(mask), "area": int(mask.sum()), "bbox": box}
            annotations.append({"id": len(annotations) + 1, **ids, **row})
            boxes.append({**ids, "bbox": box, "score": 0.9})
    categories = [
        {"id": 1, "name": "a", "frequency": "f"},
        {"id": 2, "name": "b", "frequency": "r"},
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "lvis.json").write_text(json.dumps(content))
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder


def test_boxes_become_masks(command, coco, lite, tmp_path):
    told = tmp_path / "instances.json"
    code, _, err = command(
        "instances", "--annotations", coco / "lvis.json", "--images", coco,
        "--boxes", coco / "boxes.json", "--json", told,
    )  # fmt: skip
    assert (code, err) == (0, "")
    row = json.loads(told.read_text())["tables"][0]["rows"][0]
    assert row["all"] > 0.5  # bright discs in tight boxes
    assert row["all"] == pytest.approx((row["frequent"] + row["rare"]) / 2)
    assert row["common"] is None
    image = np.asarray(Image.open(coco / "0.png"))
    outside = Detection(0, 1, (200.0, 10.0, 240.0, 30.0), 0.5)
    over = Detection(0, 1, (60.0, 30.0, 240.0, 300.0), 0.5)
    for refine in (True, False):
        found = masks_of_boxes(lite, image, [outside, over], refine=refine)
        assert [each.rle["size"] for each in found] == [[80, 100]]
    assert masks_of_boxes(lite, image, []) == []


def test_proposals_of_a_file(command, coco, tmp_path):
    told = tmp_path / "proposals.json"
    code, _, err = command(
        "proposals", "--annotations", coco / "lvis.json", "--images", coco,
        "--points-per-side", 4, "--limit", 1, "--json", told,
    )  # fmt: skip
    assert (code, err) == (0, "")
    content = json.loads(told.read_text())
    assert content["settings"]["images"] == 1
    row = content["tables"][0]["rows"][0]
    assert row["all"] == pytest.approx((row["frequent"] + row["rare"]) / 2)


def test_images_that_do_not_fit_are_named_before_anything_is_measured(command, coco):
    known = read_annotations(coco / "lvis.json")
    assert find_images(known, coco, [0, 1]) == {0: coco / "0.png", 1: coco / "1.png"}
    (coco / "1.png").unlink()
    Image.new("RGB", (50, 80)).save(coco / "0.png")
    arguments = ("--annotations", coco / "lvis.json", "--images", coco)
    for name, more in (("proposals", ()), ("instances", ("--boxes", coco / "boxes.json"))):
        code, out, err = command(name, *arguments, *more)
        assert (code, out) == (1, "")
        assert "2 of 2 images" in err
        assert "0.png has 50 x 80 pixels in place of 100 x 80; 1.png is missing" in " ".join(
            err.split()
        )
    (coco / "0.png").write_bytes(b"GIF89a")
    with pytest.raises(SamPluginsError, match=r"1 of 1 images .*: 0\.png is no image"):
        find_images(known, coco, [0])


def test_images_of_lvis_lie_in_the_folders_of_coco_or_side_by_side(coco):
    content = json.loads((coco / "lvis.json").read_text())
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{image.pop('file_name')}"
    (coco / "lvis.json").write_text(json.dumps(content))
    known = read_annotations(coco / "lvis.json")
    (coco / "val2017").mkdir()
    (coco / "1.png").rename(coco / "val2017" / "1.png")
    assert find_images(known, coco, [0, 1]) == {0: coco / "0.png", 1: coco / "val2017" / "1.png"}


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "a.json"
    for text in ("[{", "{}", '{"images": [], "annotations": [{"image_id": 3}]}'):
        path.write_text(text)
        with pytest.raises(SamPluginsError, match=r"a\.json"):
            read_annotations(path)
    path.write_text('[{"image_id": 1}]')
    with pytest.raises(SamPluginsError, match="results"):
        read_detections(path)


def test_the_report(command, make_set, tmp_path):
    root = tmp_path / "sets"
    root.mkdir()
    make_set("sets/discs")
    (root / "other").mkdir()
    page = tmp_path / "page.html"
    arguments = ("--objects", 1, "--proposal-images", 1, "--points-per-side", 2)
    code, out, err = command("report", "--data", root, "--out", page, *arguments)
    assert (code, out) == (0, "")
    assert "Edges: not measured" in err
    text = page.read_text()
    assert "<td>discs</td>" in text
    assert "SAM ViT-H (paper)" in text
    assert text.count("Not measured.") == 5
    pictures = re.findall(r"src='data:image/png;base64,([^']+)'", text)
    assert len(pictures) == 3
    for each in pictures:
        assert Image.open(io.BytesIO(base64.b64decode(each))).format == "PNG"
    # Nothing is fetched from elsewhere.
    assert "http" not in text
    assert command("report", "--data", root / "other")[0] == 2


def test_tables_are_escaped_and_whole():
    table = Table("A", ("a|b", "<c>"), (("<x>", 0.5),), "n & m")
    assert "a\\|b" in table.markdown()
    assert "<td>&lt;x&gt;</td><td class='number'>0.500</td>" in table.html()
    assert table.as_dict()["rows"] == [{"a|b": "<x>", "<c>": 0.5}]
    with pytest.raises(ValueError, match="2 cells"):
        Table("A", ("a", "b"), (("x",),))
