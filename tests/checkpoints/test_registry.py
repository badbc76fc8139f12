"""The registry, the folders, and what importing costs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sam_plugins import checkpoints
from sam_plugins.checkpoints import REGISTRY, cache_directory, list_models
from sam_plugins.errors import CheckpointNotFoundError


def test_lite_is_the_default_and_the_only_one_without_a_download() -> None:
    assert list_models()[0].name == "lite"
    assert [entry.name for entry in list_models() if entry.url is None] == ["lite"]


@pytest.mark.parametrize("entry", [entry for entry in list_models() if entry.url])
def test_downloads_are_verifiable(entry: checkpoints.ModelEntry) -> None:
    assert entry.url is not None
    assert entry.url.startswith("https://")
    assert re.fullmatch("[0-9a-f]{64}", entry.sha256 or "")
    assert entry.bytes is not None
    assert entry.bytes > 1e7
    assert entry.licence == "Apache-2.0"


def test_configurations_exist() -> None:
    from sam_plugins.modeling import CONFIGS

    assert {entry.config for entry in REGISTRY.values()} == set(CONFIGS)


def test_cache_directory_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAM_PLUGINS_CACHE", str(tmp_path / "elsewhere"))
    assert cache_directory() == tmp_path / "elsewhere"
    assert not cache_directory().exists()
    monkeypatch.setenv("SAM_PLUGINS_CACHE", "~/models")
    assert cache_directory() == Path.home() / "models"
    monkeypatch.setenv("SAM_PLUGINS_CACHE", "")
    assert "sam-plugins" in cache_directory().parts


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the convention of Linux")
def test_cache_directory_follows_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAM_PLUGINS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/somewhere")
    assert cache_directory() == Path("/var/somewhere/sam-plugins")


def test_presence_means_complete(tmp_path: Path) -> None:
    entry = REGISTRY["vit_t"]
    path = entry.path(tmp_path)
    assert path == tmp_path / "models" / "mobile_sam.pt"
    assert not entry.is_present(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"incomplete")
    assert not entry.is_present(tmp_path)
    assert entry.bytes is not None
    with open(path, "wb") as file:
        file.truncate(entry.bytes)  # sparse
    assert entry.is_present(tmp_path)


def test_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(CheckpointNotFoundError, match=r"'vit_x'.*lite, vit_b.*path or URL"):
        checkpoints.download("vit_x")


def test_entries_are_frozen() -> None:
    with pytest.raises(AttributeError):
        REGISTRY["lite"].name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        REGISTRY["other"] = REGISTRY["lite"]  # type: ignore[index]


def test_importing_the_names_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from sam_plugins import checkpoints\n"
        "for name in checkpoints.__all__: getattr(checkpoints, name)\n"
        "checkpoints.cache_directory(), [e.present for e in checkpoints.list_models()]\n"
        "print(sorted({'torch', 'pooch', 'requests', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = checkpoints.nothing
    assert set(checkpoints.__all__) <= set(dir(checkpoints))
