"""Kernels for bfloat16 run in these tests on any processor that has their instructions."""

import pytest

from sam_plugins.modeling.kernels import processor

CAN = processor.has_tiles()


@pytest.fixture(autouse=True)
def tiles():
    if not CAN:
        pytest.skip("a processor without AMX")
