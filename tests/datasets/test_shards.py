"""SA-1B with images: written whole, shortened, resumed; and what is damaged is named."""

import json
import tarfile
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from sam_plugins.cli.main import run as command
from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject
from sam_plugins.datasets.sa1b_check import check_sa1b, read_shards
from sam_plugins.datasets.shards import Entry, shortened, write_shards
from sam_plugins.errors import AnnotationFileError
from sam_plugins.masks import rle

SIZE = (40, 64)


def entry(number, reads=None, size=SIZE):
    rng = np.random.default_rng(number)
    image = np.repeat(rng.integers(0, 255, (*size, 1), dtype=np.uint8), 3, axis=2)
    mask = np.zeros(size, bool)
    mask[4 : 20 + number, 8:40] = True
    objects = (
        AnnotatedObject(1, rle.encode(mask), predicted_iou=0.9, point_coords=((20.0, 10.0),)),
        AnnotatedObject(2, rle.encode(~mask), crop_box=(8, 4, 16, 20)),
    )
    annotated = AnnotatedImage(f"photo {number}.png", size, objects, id=number)

    def read():
        if reads is not None:
            reads.append(number)
        return image

    return Entry(annotated, read, "1")


def write(folder, numbers=range(1, 6), reads=None, **more):
    more = {"per_shard": 2, "short_side": None, **more}
    return list(write_shards(folder, [entry(n, reads) for n in numbers], **more))


@pytest.mark.parametrize("tar", [False, True])
def test_what_is_written_is_read(tmp_path, tar):
    assert write(tmp_path, tar=tar) == [(f"sa_{n}", True) for n in range(1, 6)]
    suffix = ".tar" if tar else ""
    shards = sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))
    assert shards == [f"sa_{n:06d}{suffix}" for n in range(3)]
    pairs = list(read_shards(tmp_path))
    assert [pair.annotated.id for pair in pairs] == [1, 2, 3, 4, 5]
    for pair in pairs:
        told = entry(pair.annotated.id)
        assert [x.segmentation for x in pair.annotated.objects] == [
            x.segmentation for x in told.annotated.objects
        ]
        assert np.abs(pair.image.astype(int) - told.read()).mean() < 12  # JPEG of noise
    found = check_sa1b(tmp_path)
    assert (found.images, found.masks, found.problems) == (5, 10, [])


def test_pycocotools_alone_reads_the_masks(tmp_path):
    write(tmp_path)
    for path in tmp_path.rglob("sa_*/*.json"):
        content = json.loads(path.read_text())
        with Image.open(path.with_name(content["image"]["file_name"])) as image:
            assert image.size == (content["image"]["width"], content["image"]["height"])
        for annotation in content["annotations"]:
            mask = coco.decode(annotation["segmentation"])
            assert mask.shape == (content["image"]["height"], content["image"]["width"])
            assert int(mask.sum()) == annotation["area"]
            x, y, width, height = coco.toBbox(annotation["segmentation"])
            # SA-1B's boxes are a pixel less wide than COCO's.
            assert annotation["bbox"] == [x, y, width - 1, height - 1]
            assert len(annotation["crop_box"]) == 4


@pytest.mark.parametrize("tar", [False, True])
def test_a_second_call_writes_what_is_missing(tmp_path, tar):
    write(tmp_path, tar=tar)
    reads = []
    assert not any(fresh for _, fresh in write(tmp_path, reads=reads, tar=tar))
    assert reads == []
    if tar:
        (tmp_path / "sa_000001.tar").unlink()
    else:
        (tmp_path / "sa_000001" / "sa_3.json").unlink()
    write(tmp_path, reads=reads, tar=tar)
    assert reads == ([3, 4] if tar else [3])
    # More images go into the last shard, other ones in place of those that were there.
    reads.clear()
    write(tmp_path, [1, 2, 3, 4, 5, 6], reads, tar=tar)
    assert reads == [5, 6]
    write(tmp_path, [1, 2, 7, 8], tar=tar)
    assert [pair.annotated.id for pair in read_shards(tmp_path)][:4] == [1, 2, 7, 8]


def test_an_interrupted_call_goes_on(tmp_path):
    stopped = write_shards(tmp_path, map(entry, range(1, 6)), per_shard=4)
    assert list(islice(stopped, 2)) == [("sa_1", True), ("sa_2", True)]
    reads = []
    write(tmp_path, reads=reads, per_shard=4, short_side=1500)
    assert reads == [3, 4, 5]
    assert check_sa1b(tmp_path).images == 5


def test_large_images_are_shortened():
    big = entry(3, size=(60, 90))
    image, annotated = shortened(big.read(), big.annotated, 20)
    assert image.shape == (20, 30, 3)
    assert annotated.image_size == (20, 30)
    for small, large in zip(annotated.objects, big.annotated.objects, strict=True):
        # The pixel in the middle of each 3 x 3 block.
        expected = rle.decode(large.segmentation)[1::3, 1::3]
        assert (rle.decode(small.segmentation) == expected).all()
    assert annotated.objects[0].point_coords[0] == pytest.approx((20 / 3, 10 / 3))
    assert annotated.objects[1].crop_box == (3, 1, 5, 7)
    assert shortened(big.read(), big.annotated, 60)[0].shape == (60, 90, 3)


def test_masks_that_vanish_are_left_out():
    mask = np.zeros((60, 90), bool)
    mask[0, 0] = True
    tiny = replace(
        entry(1, size=(60, 90)).annotated, objects=(AnnotatedObject(1, rle.encode(mask)),)
    )
    assert shortened(entry(1, size=(60, 90)).read(), tiny, 20)[1].objects == ()


def damage(folder):
    """A damage of each kind, to all images but the last."""
    (folder / "sa_000000" / "sa_1.json").write_bytes(
        (folder / "sa_000000" / "sa_1.json").read_bytes()[:200]
    )
    (folder / "sa_000000" / "sa_2.jpg").unlink()
    path = folder / "sa_000001" / "sa_3.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["segmentation"] = rle.encode(np.ones((7, 9)))
    path.write_text(json.dumps(content))
    path = folder / "sa_000001" / "sa_4.json"
    content = json.loads(path.read_text())
    content["annotations"][1]["area"] += 1
    path.write_text(json.dumps(content))
    (folder / "sa_000002" / "sa_5.jpg").write_bytes(b"\xff\xd8\xff no picture")
    Image.new("RGB", (9, 9)).save(folder / "sa_000002" / "sa_6.jpg")
    Image.new("RGB", (9, 9)).save(folder / "sa_000003" / "sa_99.jpg")


def test_what_is_damaged_is_named_skipped_and_counted(tmp_path, capsys):
    write(tmp_path, range(1, 8))
    assert command(["validate", str(tmp_path)]) == 0
    damage(tmp_path)
    assert command(["validate", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    for name, why in {
        "sa_1.json": "damaged",
        "sa_2.json": "sa_2.jpg is missing",
        "sa_3.json": "(7, 9)",
        "sa_4.json": "area",
        "sa_5.json": "cannot be read",
        "sa_6.json": "9 x 9",
        "sa_99.jpg": "no JSON",
    }.items():
        line = next(line for line in errors.splitlines() if name in line)
        assert why in line
    assert "1 image with 2 masks whole, 7 damaged" in errors
    with pytest.raises(AnnotationFileError, match="sa_1"):
        list(read_shards(tmp_path))


def test_a_torn_tar_file_is_named(tmp_path, capsys):
    write(tmp_path, tar=True)
    path = tmp_path / "sa_000000.tar"
    path.write_bytes(path.read_bytes()[:3000])
    (tmp_path / "sa_000001.tar").write_bytes(b"nothing")
    assert command(["validate", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "sa_000000.tar" in errors
    assert "sa_000001.tar" in errors
    assert "1 image with 2 masks whole" in errors


def test_what_stands_before_a_tear_is_read(tmp_path, capsys):
    write(tmp_path, tar=True)
    path = tmp_path / "sa_000000.tar"
    with tarfile.open(path) as archive:
        end = archive.getmember("sa_2.jpg").offset_data + 100
    path.write_bytes(path.read_bytes()[:end])
    assert command(["validate", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "sa_000000.tar is damaged" in errors
    assert "4 images with 8 masks whole, 1 damaged" in errors


def test_an_image_in_a_tar_file_without_json_is_named(tmp_path, capsys):
    write(tmp_path, [1, 2])
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        for name in ("sa_1.jpg", "sa_2.jpg", "sa_2.json"):
            archive.add(tmp_path / "sa_000000" / name, arcname=name)
    assert command(["validate", str(tmp_path / "other.tar")]) == 1
    errors = capsys.readouterr().err
    assert "other.tar/sa_1.json is missing" in errors
    assert "1 image with 2 masks whole, 1 damaged" in errors


def test_json_nested_too_deeply_is_named_and_the_rest_is_read(tmp_path, capsys):
    write(tmp_path, [1, 2])
    (tmp_path / "sa_000000" / "sa_1.json").write_text("[" * 200_000)
    assert command(["validate", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert "sa_1.json is damaged" in errors
    assert "1 image with 2 masks whole, 1 damaged" in errors


def test_a_tar_file_of_others_is_read(tmp_path):
    """Members in any order within a stem, in a folder, as tar programs write them."""
    write(tmp_path, [1, 2])
    with tarfile.open(tmp_path / "other.tar", "w") as archive:
        for name in ("sa_2.json", "sa_2.jpg", "sa_1.jpg", "sa_1.json"):
            archive.add(tmp_path / "sa_000000" / name, arcname=f"train/{name}")
    assert [pair.annotated.id for pair in read_shards(tmp_path / "other.tar")] == [2, 1]


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(AnnotationFileError, match="no JSON"):
        check_sa1b(tmp_path)
    assert command(["validate", str(tmp_path / "missing")]) == 2
    with pytest.raises(ValueError, match="1 image or more"):
        write(tmp_path, per_shard=0)
