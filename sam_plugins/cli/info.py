"""``sam-plugins info``: versions, devices, the cache, and what each plugin still needs."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sam_plugins.cli.terminal import folder_size, megabytes, show_table

if TYPE_CHECKING:
    from rich.table import Table

_PACKAGES = ("torch", "numpy", "numba", "scipy", "scikit-image", "Pillow", "tifffile")
# What each plugin imports, and the command that gets it.
_PLUGINS = {
    "napari": (
        ("napari", "magicgui", "qtpy", "superqt"),
        "pip install 'sam-plugins[napari]'",
    ),
    "Label Studio": (
        ("label_studio_ml", "waitress"),
        "pip install 'sam-plugins[label-studio]'",
    ),
}
# napari draws with whichever of these is there and requires none, so that people can choose.
_QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


def info() -> None:
    """Show versions, devices, cache, and what plugins miss.

    \b
    Example, and good to have in a bug report:
      sam-plugins info
    """
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    _add_versions(table)
    _add_devices(table)
    _add_cache(table)
    for name, (modules, command) in _PLUGINS.items():
        table.add_row(f"plugin for {name}", _plugin_state(name, modules, command))
    show_table(table)


def _add_versions(table: Table) -> None:
    from sam_plugins import __version__

    table.add_row("sam-plugins", __version__)
    table.add_row("Python", f"{platform.python_version()} on {platform.platform()}")
    for package in _PACKAGES:
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            table.add_row(package, "missing")


def _add_devices(table: Table) -> None:
    import torch

    from sam_plugins.devices import choose_device, choose_precision
    from sam_plugins.modeling.lite import LiteSam

    table.add_row("CPU", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads used")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = megabytes(properties.total_memory)
        table.add_row(f"cuda:{index}", f"{properties.name}, {memory}")
    if torch.backends.mps.is_available():
        table.add_row("mps", "present")
    chosen = choose_device("auto")
    precision = choose_precision(chosen)
    half = chosen.type == "cpu" and precision != "float32"
    exact = " (lite: float32)" if half and not LiteSam.half_suits_cpu else ""
    table.add_row("used by default", f"{chosen}, {precision}{exact}")


def _add_cache(table: Table) -> None:
    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.checkpoints import cache_directory, translations_directory

    folder = cache_directory()
    table.add_row("cache", f"{folder} (SAM_PLUGINS_CACHE moves it)")
    table.add_row("models", megabytes(folder_size(folder / "models")))
    table.add_row("translated models", megabytes(folder_size(translations_directory())))
    table.add_row("embeddings", megabytes(EmbeddingCache().disk_usage()))


def _plugin_state(name: str, modules: tuple[str, ...], command: str) -> str:
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        return f"missing {', '.join(missing)}: {command}"
    if name == "napari" and not any(find_spec(binding) for binding in _QT_BINDINGS):
        return "missing a Qt binding: pip install 'napari[all]'"
    return "ready"
