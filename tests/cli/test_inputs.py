from pathlib import Path

import pytest

from sam_plugins.cli.inputs import find_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(*paths: Path) -> list[str]:
    return [image.name for image in find_images(paths)]


def test_a_folder_is_searched_recursively_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path / "b.png", tmp_path / "a.TIFF", tmp_path / "below" / "c.jpg")
    touch(tmp_path / "notes.txt", tmp_path / "data.csv")
    assert names(tmp_path) == ["a.TIFF", "b.png", "below/c.jpg"]


def test_hidden_files_and_own_results_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / ".hidden.png", tmp_path / ".folder" / "b.png")
    touch(tmp_path / "a.png.overlay.png", tmp_path / "a.png.labels.tif")
    assert names(tmp_path) == ["a.png"]


def test_a_named_file_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    touch(tmp_path / "image.raw")
    assert names(tmp_path / "image.raw", tmp_path / "missing.png") == ["image.raw", "missing.png"]


def test_one_file_named_twice_is_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "images" / "a.png")
    monkeypatch.chdir(tmp_path)
    assert names(Path("images"), Path("images/a.png"), Path("./images/../images/a.png")) == [
        "a.png"
    ]


def test_files_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "a.png", tmp_path / "y" / "a.png")
    assert names(tmp_path / "x", tmp_path / "y") == ["x/a.png", "y/a.png"]
    assert names(tmp_path / "x" / "a.png", tmp_path / "y" / "a.png") == ["x/a.png", "y/a.png"]
    assert names(tmp_path / "x", tmp_path / "y" / "a.png") == ["x/a.png", "y/a.png"]


def test_a_folder_without_images_gives_none(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    assert names(tmp_path) == []
