"""Importing the package and asking for help must not load what only the work itself needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import sam_plugins

HEAVY = {
    "torch",
    "torchvision",
    "numba",
    "scipy",
    "skimage",
    "pycocotools",
    "matplotlib",
    "pandas",
    "dask",
    "zarr",
}

PROGRAM = """
import sys
{statement}
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def modules_after(statement: str) -> set[str]:
    """Names of the packages that a new interpreter has loaded after a statement."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", sam_plugins.__all__)
def test_a_public_name(name):
    loaded = modules_after(f"from sam_plugins import {name}")
    assert "sam_plugins" in loaded
    assert not loaded & HEAVY


def test_all_public_names_together():
    assert not modules_after(f"from sam_plugins import {', '.join(sam_plugins.__all__)}") & HEAVY


@pytest.mark.parametrize("package", ["napari_sam", "labelstudio_backend"])
def test_the_plugins(package):
    assert not modules_after(f"import {package}") & HEAVY


def test_every_public_name_is_there():
    for name in sam_plugins.__all__:
        assert getattr(sam_plugins, name) is not None
    assert set(sam_plugins.__all__) <= set(dir(sam_plugins))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sam_plugins.nothing  # noqa: B018
