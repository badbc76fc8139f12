"""``embed``, ``models``, ``info`` and ``cache``."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sam_plugins.checkpoints import save_model, translations_directory

Command = Callable[..., Any]


def embeddings(cache: Path) -> list[Path]:
    return [path for path in (cache / "embeddings").rglob("*.safetensors") if path.is_file()]


def test_embed_warms_the_cache_that_predict_uses(
    command: Command, folder: Path, model_path: Path, own_cache: Path, tmp_path: Path
) -> None:
    outcome = command("embed", folder, "--model", model_path)
    assert (outcome.code, outcome.out) == (0, "")
    assert "3 images embedded" in outcome.err
    kept = sorted(embeddings(own_cache))
    assert len(kept) == 3
    common = ("--out", tmp_path / "mask.png", "--model", model_path)
    assert command("predict", folder / "a.tif", "--point", "9,9", *common).code == 0
    assert sorted(embeddings(own_cache)) == kept


def test_embed_reports_what_cannot_be_read(
    command: Command, folder: Path, model_path: Path
) -> None:
    (folder / "bad.png").write_text("not an image")
    outcome = command("embed", folder, "--model", model_path)
    assert outcome.code == 1
    assert "Error: bad.png: " in outcome.err
    assert "3 images embedded" in outcome.err


def test_embed_without_images_is_wrong_use(command: Command, tmp_path: Path) -> None:
    assert command("embed", tmp_path).code == 2


def test_models_lists_all(command: Command) -> None:
    outcome = command("models")
    assert (outcome.code, outcome.err) == (0, "")
    for name in ("lite", "vit_t", "vit_b", "vit_l", "vit_h"):
        assert name in outcome.out
    assert "Apache-2.0" in outcome.out


def test_cache_clear_removes_embeddings_only(
    command: Command, picture: Path, model_path: Path, own_cache: Path
) -> None:
    (own_cache / "models").mkdir()
    model = Path(shutil.copy(model_path, own_cache / "models"))
    command("embed", picture, "--model", model_path)
    assert embeddings(own_cache)
    outcome = command("cache", "clear")
    assert outcome.code == 0
    assert embeddings(own_cache) == []
    assert model.is_file()


def test_translated_models_are_shown_and_removed(command: Command, own_cache: Path) -> None:
    kept = translations_directory() / "weights-2026.1" / "encoder.bin"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(bytes(3_000_000))
    (line,) = [each for each in command("info").out.splitlines() if "translated" in each]
    assert line.split() == ["translated", "models", "3.0", "MB"]
    assert "3.0 MB of translated models" in command("cache", "clear").err
    assert not kept.exists()
    assert "0.0 MB of translated models" in command("cache", "clear").err


def test_a_long_translation_is_announced(
    command: Command, picture: Path, tiny_sam: Any, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    model = save_model(tiny_sam, tmp_path / "tiny.safetensors")
    embed = ("embed", "--model", model, "--precision", "openvino")
    outcome = command(*embed, picture)
    assert outcome.code == 0, outcome.err
    assert "translating the image encoder" in outcome.err
    other = Path(shutil.copy(picture, tmp_path / "other.png"))
    assert "translating" not in command(*embed, other).err


def test_info_says_where_the_cache_is_and_what_is_used(command: Command, own_cache: Path) -> None:
    import torch

    outcome = command("info")
    assert (outcome.code, outcome.err) == (0, "")
    assert str(own_cache) in outcome.out
    assert torch.__version__ in outcome.out


@pytest.mark.parametrize(
    ("absent", "expected"),
    [
        (("napari", "qtpy"), "missing napari, qtpy: pip install 'sam-plugins[napari]'"),
        (("label_studio_ml",), "missing label_studio_ml: pip install 'sam-plugins[label-studio]'"),
        (("PyQt5", "PyQt6", "PySide2", "PySide6"), "missing a Qt binding"),
        ((), "ready"),
    ],
)
def test_info_says_what_a_plugin_misses(
    command: Command, monkeypatch: pytest.MonkeyPatch, absent: tuple[str, ...], expected: str
) -> None:
    monkeypatch.setattr(
        "sam_plugins.cli.info.find_spec", lambda name: None if name in absent else object()
    )
    assert expected in command("info").out
