"""Kernels for bfloat16 run in these tests on any processor that has their instructions."""

import pytest

from sam_plugins.modeling.kernels import processor

CAN = processor.multiplies_bfloat16()


@pytest.fixture(autouse=True)
def instructions():
    if not CAN:
        pytest.skip("a processor without AMX or AMD's AVX512-BF16")
