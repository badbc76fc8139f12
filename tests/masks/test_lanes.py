"""Masks line by line on processors with other vectors than this one's, and with none."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import binding
from numba import njit

from sam_plugins.masks import _lanes
from tests.own_process import assert_tests_pass

OTHERS = {
    "none": {"NUMBA_CPU_NAME": "generic"},
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2"},
}


@pytest.mark.parametrize("vectors", OTHERS)
def test_masks_are_right_on_other_processors(vectors, tmp_path):
    if vectors == "AVX2" and not binding.get_host_cpu_features().get("avx2"):
        pytest.skip("needs a processor with AVX2")
    # In a process of its own: what instructions there are is asked when a kernel is compiled.
    file, some = str(Path(__file__).with_name("test_streaming.py")), "upsampling or numbers or crop"
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", some, file]
    assert_tests_pass(*arguments, **OTHERS[vectors], NUMBA_CACHE_DIR=str(tmp_path))


@njit
def bits_of(word):
    """What the functions for bits tell of a word."""
    return _lanes.ones(word), _lanes.lowest(word), _lanes.bits_needed(word)


@given(st.integers(0, 2**64 - 1))
def test_bits(number):
    found = bits_of(np.uint64(number))
    lowest = (number & -number).bit_length() - 1 if number else 64
    assert found == (number.bit_count(), lowest, number.bit_length())
