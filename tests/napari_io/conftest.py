"""napari's viewer model, without a display, with this plugin and no other one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from napari.components import ViewerModel


@pytest.fixture
def plugin(npe2pm) -> Iterator[object]:
    """The installed plugin, in npe2's own manager."""
    with npe2pm.tmp_plugin(package="sam-plugins") as registered:
        yield registered


@pytest.fixture
def viewer(plugin) -> ViewerModel:
    """A viewer into which files can be opened."""
    return ViewerModel()
