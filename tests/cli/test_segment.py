import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]

# A coarse grid, and all that a random model gives: its scores mean nothing.
QUICK = ("--points-per-side", 4, "--pred-iou-thresh", 0, "--stability-score-thresh", 0)
ALL_FORMATS = tuple(
    word for name in ("coco", "sa1b", "labels", "overlay") for word in ("--format", name)
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def segment(command: Command, model_path: Path, out: Path) -> Command:
    """Run ``segment`` quickly, with the random model, into ``out``."""

    def run(*arguments: object) -> Any:
        return command("segment", "--out", out, "--model", model_path, *QUICK, *arguments)

    return run


def visible(folder: Path) -> list[str]:
    """All files but the hidden ones, as paths below the folder."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in paths if not path.as_posix().startswith("."))


def test_default_is_coco_and_overlays_in_the_folders_of_the_images(
    segment: Command, folder: Path, out: Path
) -> None:
    outcome = segment(folder)
    assert (outcome.code, outcome.out) == (0, "")
    assert visible(out) == [
        "a.png.overlay.png",
        "a.tif.overlay.png",
        "below/b.png.overlay.png",
        "instances.json",
    ]
    assert Image.open(out / "a.png.overlay.png").size == (64, 48)


def test_coco_is_what_pycocotools_reads(segment: Command, folder: Path, out: Path) -> None:
    from pycocotools.coco import COCO

    assert segment(folder, "--format", "coco").code == 0
    coco = COCO(str(out / "instances.json"))
    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [
        "a.png",
        "a.tif",
        "below/b.png",
    ]
    annotations = coco.loadAnns(coco.getAnnIds())
    assert annotations
    for annotation in annotations:
        mask = coco.annToMask(annotation)
        assert mask.shape == (48, 64)
        assert mask.sum() == annotation["area"]


def test_all_formats_agree(segment: Command, picture: Path, out: Path) -> None:
    from pycocotools import mask as peer
    from tifffile import imread

    assert segment(picture, *ALL_FORMATS).code == 0
    assert visible(out) == [
        "instances.json",
        "picture.png.json",
        "picture.png.labels.tif",
        "picture.png.overlay.png",
    ]
    coco = json.loads((out / "instances.json").read_text())["annotations"]
    sa1b = json.loads((out / "picture.png.json").read_text())["annotations"]
    assert [each["area"] for each in coco] == [each["area"] for each in sa1b]
    union = np.any([peer.decode(each["segmentation"]) for each in sa1b], axis=0)
    np.testing.assert_array_equal(imread(out / "picture.png.labels.tif") > 0, union)


def test_the_same_as_the_library(
    segment: Command, picture: Path, model_path: Path, out: Path
) -> None:
    from sam_plugins import AutomaticSettings, Predictor, generate

    settings = AutomaticSettings(points_per_side=4, pred_iou_thresh=0, stability_score_thresh=0)
    expected = generate(Predictor(model_path), picture, settings=settings)
    assert segment(picture).code == 0
    found = json.loads((out / "instances.json").read_text())["annotations"]
    assert [each["area"] for each in found] == [record.area for record in expected]


def test_pages_of_a_stack_are_images(segment: Command, tmp_path: Path, out: Path) -> None:
    from tifffile import imwrite

    pages = np.random.default_rng(0).integers(0, 4096, (3, 40, 50)).astype(np.uint16)
    imwrite(tmp_path / "stack.tif", pages, photometric="minisblack")
    assert segment(tmp_path / "stack.tif", "--format", "overlay").code == 0
    assert visible(out) == [f"stack.tif.p000{page}.overlay.png" for page in range(3)]


def test_what_cannot_be_read_is_reported_and_the_rest_is_done(
    segment: Command, folder: Path, out: Path
) -> None:
    (folder / "bad.png").write_text("not an image")
    (folder / "empty.tif").touch()
    Image.fromarray(np.zeros((1, 1), dtype=np.uint8)).save(folder / "tiny.png")
    outcome = segment(folder, folder / "missing.png")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    errors = [line for line in outcome.err.splitlines() if line.startswith("Error: ")]
    assert [line.split(": ")[1] for line in errors] == [
        "bad.png",
        "empty.tif",
        "tiny.png",
        "missing.png",
    ]
    assert "3 images segmented" in outcome.err
    assert "4 failed" in outcome.err
    images = json.loads((out / "instances.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["a.png", "a.tif", "below/b.png"]


def test_no_image_is_wrong_use_and_makes_nothing(
    segment: Command, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "nothing").mkdir()
    outcome = segment(tmp_path / "nothing")
    assert outcome.code == 2
    assert "no image in" in outcome.err
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--points-per-side", "0"),
        ("--pred-iou-thresh", "nan"),
        ("--stability-score-thresh", "1.5"),
        ("--crop-layers", "-1"),
        ("--crop-layers", "9"),
    ],
)
def test_wrong_settings_are_wrong_use(
    segment: Command, picture: Path, out: Path, option: str, value: str
) -> None:
    outcome = segment(picture, option, value)
    assert outcome.code == 2
    assert not out.exists()


def test_no_masks_are_fine(command: Command, model_path: Path, picture: Path, out: Path) -> None:
    none = ("--points-per-side", 2, "--pred-iou-thresh", 1e9)
    outcome = command("segment", picture, "--out", out, "--model", model_path, *none, *ALL_FORMATS)
    assert outcome.code == 0
    assert json.loads((out / "instances.json").read_text())["annotations"] == []


def test_options_become_settings(
    command: Command, picture: Path, model_path: Path, out: Path
) -> None:
    options = {
        "--points-per-side": ("points_per_side", 3),
        "--pred-iou-thresh": ("pred_iou_thresh", 0.25),
        "--stability-score-thresh": ("stability_score_thresh", 0.5),
        "--crop-layers": ("crop_n_layers", 1),
    }
    words = [word for option, (_, value) in options.items() for word in (option, value)]
    assert command("segment", picture, "--out", out, "--model", model_path, *words).code == 0
    record = json.loads((out / ".sam-plugins" / "picture.png.json").read_text())
    for name, value in options.values():
        assert record["made_with"]["settings"][name] == value


def test_results_that_cannot_be_written_stop_the_run(
    segment: Command, folder: Path, out: Path
) -> None:
    out.write_text("a file, where a folder is to be")
    outcome = segment(folder)
    assert outcome.code == 1
    assert outcome.err.count("Error: ") == 1
    assert out.read_text() == "a file, where a folder is to be"


def test_a_full_disk_stops_the_run_at_the_first_image(
    segment: Command, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("sam_plugins.cli.results._write_json", full)
    outcome = segment(folder)
    assert outcome.code == 1
    assert outcome.err.count("No space left on device") == 1
    assert not (out / "instances.json").exists()


@pytest.mark.skipif(os.name == "nt", reason="such names are not allowed there")
def test_unusual_names(segment: Command, folder: Path, out: Path) -> None:
    names = ["[bold]x[red].png", "with space.png", "grüße.png", "-o.png", "line\nbreak.png"]
    for name in names:
        (folder / name).write_bytes((folder / "a.png").read_bytes())
    outcome = segment(folder, "--format", "labels", "--format", "coco")
    assert outcome.code == 0
    assert len(outcome.err.splitlines()) == 3 + len(names) + 1
    assert all((out / f"{name}.labels.tif").is_file() for name in names)
    images = json.loads((out / "instances.json").read_text())["images"]
    assert {image["file_name"] for image in images} >= set(names)


def test_results_among_the_images_are_no_images(segment: Command, folder: Path) -> None:
    for _ in range(2):
        outcome = segment(folder, *ALL_FORMATS, "--out", folder)
        assert outcome.code == 0
        assert "3 images segmented" in outcome.err


def test_a_zarr_folder_and_an_array_file_are_images(
    segment: Command, tmp_path: Path, out: Path
) -> None:
    zarr = pytest.importorskip("zarr")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    images = tmp_path / "arrays"
    images.mkdir()
    np.save(images / "a.npy", pixels)
    zarr.save_array(str(images / "b.zarr"), pixels)
    assert segment(images, "--format", "overlay").code == 0
    assert visible(out) == ["a.npy.overlay.png", "b.zarr.overlay.png"]
    assert "2 complete before" in segment(images, "--format", "overlay", "--resume").err
