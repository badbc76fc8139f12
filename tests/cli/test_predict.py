import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Command = Callable[..., Any]


@pytest.fixture
def predict(command: Command, picture: Path, model_path: Path, tmp_path: Path) -> Command:
    """Run ``predict`` on the picture, writing to out.png."""

    def run(*arguments: object) -> Any:
        common = ("--out", tmp_path / "out.png", "--model", model_path)
        return command("predict", picture, *arguments, *common)

    return run


def read_mask(path: str | Path) -> np.ndarray:
    pixels = np.asarray(Image.open(path))
    assert pixels.dtype == np.uint8
    assert set(np.unique(pixels)) <= {0, 255}
    return pixels > 0


def test_prints_one_json_object_that_describes_the_files(
    predict: Command, picture: Path, tmp_path: Path
) -> None:
    outcome = predict("--point", "30,20")
    assert outcome.code == 0
    answer = json.loads(outcome.out)
    assert set(answer) == {"model", "image", "masks"}
    assert answer["image"] == str(picture)
    assert [mask["file"] for mask in answer["masks"]] == [
        str(tmp_path / name) for name in ("out.png", "out_2.png", "out_3.png")
    ]
    scores = [mask["predicted_iou"] for mask in answer["masks"]]
    assert scores == sorted(scores, reverse=True)
    for described in answer["masks"]:
        assert set(described) == {"file", "predicted_iou", "area", "bbox"}
        mask = read_mask(described["file"])
        assert mask.shape == (48, 64)
        assert mask.sum() == described["area"]
        rows, columns = np.nonzero(mask)
        if len(rows):
            left, top = columns.min(), rows.min()
            size = columns.max() - left + 1, rows.max() - top + 1
            assert described["bbox"] == [left, top, *size]
        else:
            assert described["bbox"] == [0, 0, 0, 0]


def test_the_same_as_the_library(
    predict: Command, picture: Path, model_path: Path, tmp_path: Path
) -> None:
    from sam_plugins import Predictor, Prompt

    predictor = Predictor(model_path)
    prompt = Prompt(points=[[30, 20], [5, 5]], labels=[1, 0], boxes=[[20, 10, 50, 40]])
    expected = predictor.predict(predictor.embed(picture), prompt)
    outcome = predict("--point", "30,20,1", "--box", "20,10,50,40", "--point", "5,5,0")
    answer = json.loads(outcome.out)
    assert len(answer["masks"]) == 1
    assert answer["masks"][0]["predicted_iou"] == pytest.approx(
        float(expected.predicted_iou[0]), abs=1e-5
    )
    np.testing.assert_array_equal(read_mask(tmp_path / "out.png"), expected.best_mask)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--point", "30,20"), 3),
        (("--point", "30,20", "--single"), 1),
        (("--box", "1,2,30,20"), 3),
        (("--box", "1,2,30,20", "--box", "30,20,60,40"), 1),
        (("--box", "1,2,30,20", "--box", "30,20,60,40", "--multimask"), 3),
    ],
)
def test_how_many_masks(predict: Command, arguments: tuple[str, ...], count: int) -> None:
    assert len(json.loads(predict(*arguments).out)["masks"]) == count


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_a_rough_mask_of_any_kind_of_image(
    predict: Command, picture: Path, model_path: Path, tmp_path: Path, mode: str
) -> None:
    from sam_plugins import Predictor, Prompt

    rough = np.zeros((48, 64), dtype=bool)
    rough[10:30, 20:50] = True
    file = tmp_path / "rough.png"
    Image.fromarray(rough.astype(np.uint8) * 255).convert(mode).save(file)
    predictor = Predictor(model_path)
    expected = predictor.predict(predictor.embed(picture), Prompt(mask=rough))
    outcome = predict("--mask", file)
    assert outcome.code == 0, outcome.err
    np.testing.assert_array_equal(read_mask(tmp_path / "out.png"), expected.best_mask)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "--point"),
        (("--point", "1,2,3,4"), "1,2,3,4"),
        (("--point", "one,2"), "one,2"),
        (("--point", "1"), "X,Y"),
        (("--point", "1,2,7"), "label 7"),
        (("--point", "nan,2"), "finite"),
        (("--point", "64.5,2"), "64 pixels wide"),
        (("--point", "-1,2"), "outside"),
        (("--box", "1,2,3"), "1,2,3"),
        (("--box", "30,2,3,40"), "x0 <= x1"),
        (("--box", "1,2,inf,40"), "finite"),
        (("--box", "1,2,300,40"), "outside"),
        (("--text", "a cat", "--text-encoder", "tower"), "'cat'"),
        (("--text", " "), "empty"),
        (("--point", "1,2", "--device", "abacus"), "abacus"),
        (("--point", "1,2", "--precision", "exact"), "exact"),
        (("--point", "1,2", "--page", "-1"), "--page"),
    ],
)
def test_wrong_use_writes_nothing(
    predict: Command, tmp_path: Path, arguments: tuple[str, ...], named: str
) -> None:
    outcome = predict(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert named in outcome.err
    assert not list(tmp_path.glob("out*"))


def test_a_mask_of_another_size_is_wrong_use(predict: Command, tmp_path: Path) -> None:
    file = tmp_path / "rough.png"
    Image.fromarray(np.ones((4, 5), dtype=np.uint8)).save(file)
    outcome = predict("--mask", file)
    assert outcome.code == 2
    assert "4 x 5" in outcome.err
    assert "48 x 64" in outcome.err


def test_out_must_be_png(command: Command, picture: Path, tmp_path: Path) -> None:
    outcome = command("predict", picture, "--point", "1,2", "--out", tmp_path / "mask.jpg")
    assert outcome.code == 2
    assert "mask.jpg" in outcome.err


def test_an_unknown_model_is_wrong_use(command: Command, picture: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out.png")
    outcome = command("predict", picture, "--point", "1,2", *out, "--model", "vit_z")
    assert outcome.code == 2
    assert "vit_z" in outcome.err


def bad_files(folder: Path) -> dict[str, Path]:
    """Files that are no images that could be segmented."""
    good = folder / "good.png"
    Image.fromarray(np.full((30, 30, 3), 99, dtype=np.uint8)).save(good)
    files = {name: folder / f"{name}.png" for name in ("missing", "empty", "text", "truncated")}
    files["empty"].touch()
    files["text"].write_text("not an image")
    files["truncated"].write_bytes(good.read_bytes()[:60])
    files["tiny"] = folder / "tiny.png"
    Image.fromarray(np.zeros((1, 1), dtype=np.uint8)).save(files["tiny"])
    files["line"] = folder / "line.png"
    Image.fromarray(np.zeros((1, 20000), dtype=np.uint8)).save(files["line"])
    files["folder"] = folder
    return files


@pytest.mark.parametrize(
    "name", ["missing", "empty", "text", "truncated", "tiny", "line", "folder"]
)
def test_an_image_that_cannot_be_segmented_is_failed_work(
    command: Command, model_path: Path, tmp_path: Path, name: str
) -> None:
    path = bad_files(tmp_path)[name]
    prompt = ("--box", "0,0,1,1", "--model", model_path)
    outcome = command("predict", path, *prompt, "--out", tmp_path / "out.png")
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("kind", ["text", "pickle", "truncated", "other"])
def test_a_bad_checkpoint_is_failed_work(
    command: Command, picture: Path, model_path: Path, tmp_path: Path, kind: str
) -> None:
    import pickle

    bad = tmp_path / ("bad.pth" if kind == "pickle" else "bad.safetensors")
    witness = tmp_path / "executed"

    class Exploit:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (witness,)

    if kind == "text":
        bad.write_text("no weights")
    elif kind == "pickle":
        bad.write_bytes(pickle.dumps(Exploit()))
    elif kind == "truncated":
        bad.write_bytes(model_path.read_bytes()[:5000])
    else:
        import torch
        from safetensors.torch import save_file

        save_file({"weight": torch.zeros(3)}, bad)
    out = tmp_path / "out.png"
    outcome = command("predict", picture, "--point", "1,2", "--out", out, "--model", bad)
    assert outcome.code == 1
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert not out.exists()
    assert not witness.exists()


def test_an_unwritable_place_leaves_nothing(
    command: Command, picture: Path, model_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out.png"
    outcome = command("predict", picture, "--point", "1,2", "--out", out, "--model", model_path)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1


def test_the_embedding_is_kept_on_the_disk_unless_told_otherwise(
    predict: Command, own_cache: Path
) -> None:
    def kept() -> list[Path]:
        return [path for path in own_cache.rglob("*.safetensors") if path.is_file()]

    assert predict("--point", "30,20", "--no-cache").code == 0
    assert kept() == []
    assert predict("--point", "30,20").code == 0
    assert len(kept()) == 1
    assert predict("--point", "10,20").code == 0
    assert len(kept()) == 1


def test_a_cache_folder_that_cannot_be_used_costs_a_warning(
    predict: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(tmp_path / "file" / "cache"))
    outcome = predict("--point", "30,20")
    assert outcome.code == 0
    assert len(json.loads(outcome.out)["masks"]) == 3
    assert outcome.err.startswith("Warning: ")
    assert all(line.startswith("Warning: ") for line in outcome.err.splitlines())


def test_streams_and_exit_codes_of_the_real_program(
    program: Command, picture: Path, model_path: Path, tmp_path: Path
) -> None:
    common = ("--out", tmp_path / "out.png", "--model", model_path)
    done = program("predict", picture, "--point", "30,20", *common)
    assert (done.code, done.err) == (0, "")
    assert len(json.loads(done.out)["masks"]) == 3
    wrong = program("predict", picture, "--point", "30,20,7", *common)
    assert (wrong.code, wrong.out) == (2, "")
    failed = program("predict", tmp_path / "none.png", "--point", "30,20", *common)
    assert (failed.code, failed.out) == (1, "")
    assert "none.png" in failed.err
    assert "Traceback" not in wrong.err + failed.err
