"""The manifest: valid for all versions of npe2, complete, and its parts are there and light."""

import subprocess
import sys
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from npe2 import PluginManifest

import napari_sam
from napari_sam.settings import PLUGIN, Preferences, read_preferences

PATH = Path(napari_sam.__file__).with_name("napari.yaml")
MANIFEST = yaml.safe_load(PATH.read_text(encoding="utf-8"))
CONTRIBUTIONS = MANIFEST["contributions"]
COMMANDS = {each["id"]: each for each in CONTRIBUTIONS["commands"]}
MODULES = sorted({each["python_name"].partition(":")[0] for each in COMMANDS.values()})
WINDOW = {"napari_sam.widget", "napari_sam.commands"}


def test_npe2_accepts_it():
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", str(PATH)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid" in done.stdout


def test_the_package_announces_it():
    (entry,) = distribution("sam-plugins").entry_points.select(group="napari.manifest")
    assert (entry.name, entry.value) == (PLUGIN, "napari_sam:napari.yaml")
    found = PluginManifest.from_distribution("sam-plugins")
    assert (found.name, found.display_name) == (PLUGIN, "Segment Anything")


def test_nothing_that_older_versions_of_npe2_refuse():
    assert MANIFEST.get("schema_version", "0.2.1") == "0.2.1"
    fields = {name for widget in CONTRIBUTIONS["widgets"] for name in widget}
    assert fields == {"command", "display_name"}


def test_the_widget_and_the_commands_of_the_palette():
    (widget,) = CONTRIBUTIONS["widgets"]
    assert widget["display_name"] == "Segment Anything"
    names = {each["python_name"] for each in COMMANDS.values()}
    assert COMMANDS[widget["command"]]["python_name"] == "napari_sam.widget:SegmentAnythingWidget"
    assert {
        "napari_sam.commands:segment_everything",
        "napari_sam.commands:commit_object",
        "napari_sam.commands:clear_embedding_cache",
        "napari_sam.commands:restore_session",
    } <= names


def test_every_command_that_is_used_is_there():
    used = {
        each["command"]
        for part in ("widgets", "readers", "writers", "sample_data")
        for each in CONTRIBUTIONS[part]
    }
    used |= {each["command"] for menu in CONTRIBUTIONS["menus"].values() for each in menu}
    assert used <= COMMANDS.keys()
    assert all(name.startswith(f"{PLUGIN}.") for name in COMMANDS)
    assert {"napari/layers/segment", "napari/layers/annotate"} <= CONTRIBUTIONS["menus"].keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_leads_to_something(command):
    module, _, name = COMMANDS[command]["python_name"].partition(":")
    if find_spec(module) is None:
        pytest.skip(f"{module} is not written yet")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("module", [*MODULES, "napari_sam.settings"])
def test_no_part_imports_torch_until_it_is_needed(module):
    if find_spec(module) is None:
        pytest.skip(f"{module} is not written yet")
    # napari itself is there, with what it loads, before anything of ours but the readers runs.
    first = "napari.layers, napari.utils" if module in WINDOW else "sys"
    program = f"""
import sys, {first}
before = set(sys.modules)
import {module}
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert module in done.stdout.split()
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not {"torch", "numba", "scipy", "skimage"} & loaded


def test_preferences_have_the_same_defaults_everywhere():
    defaults = {
        group: {name: each["default"] for name, each in content["properties"].items()}
        for group, content in CONTRIBUTIONS["configurations"].items()
    }
    assert asdict(Preferences()) == defaults
    for content in CONTRIBUTIONS["configurations"].values():
        for each in content["properties"].values():
            assert {"title", "type", "default", "description"} <= each.keys()


def test_the_models_are_those_that_there_are():
    from sam_plugins.checkpoints import REGISTRY

    names = CONTRIBUTIONS["configurations"]["model"]["properties"]["name"]["enum"]
    assert set(names) == set(REGISTRY)
    assert names[0] == "lite"


def test_preferences_that_were_changed(request, npe2pm):
    settings = pytest.importorskip("napari.settings")
    if not hasattr(settings, "get_plugin_settings"):
        pytest.skip("this napari has no preferences of plugins")
    request.getfixturevalue("plugin_settings")
    assert read_preferences() == Preferences()
    with npe2pm.tmp_plugin(package="sam-plugins"):
        assert read_preferences() == Preferences()
        chosen = settings.get_plugin_settings(PLUGIN)
        chosen.model.name = "vit_b"
        chosen.cache.max_gb = 2.5
        chosen.annotation.overlap = "overwrite"
        found = read_preferences()
        assert (found.model.name, found.model.device) == ("vit_b", "auto")
        assert found.cache.disk_bytes == 2_500_000_000
        assert found.annotation.overlap == "overwrite"
        chosen.cache.enabled = False
        assert read_preferences().cache.disk_bytes == 0


def test_a_napari_without_preferences_of_plugins(monkeypatch):
    import napari.settings

    monkeypatch.delattr(napari.settings, "get_plugin_settings", raising=False)
    assert read_preferences() == Preferences()
