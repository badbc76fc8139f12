"""The kernels by vectors of pairs, on a processor that would rather use its tiles."""

from pathlib import Path

import pytest
from llvmlite import binding

from sam_plugins.modeling.kernels import processor
from tests.own_process import assert_tests_pass

HERE = Path(__file__).parent

# In a process of its own: what the kernels are made of is decided when they are loaded.
RUN = """
import sys
import pytest
from sam_plugins.modeling.kernels import processor
processor.has_tiles, processor.has_pairs = (lambda: False), (lambda: True)
raise SystemExit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.skipif(
    processor.has_pairs() or not binding.get_host_cpu_features().get("avx512bf16"),
    reason="a processor without AVX512-BF16, or one where the other tests run so by themselves",
)
def test_the_other_tests_pass_by_vectors_of_pairs(tmp_path):
    files = [str(each) for each in sorted(HERE.glob("test_*.py")) if each != Path(__file__)]
    arguments = ["-c", RUN, "-q", "-p", "no:cacheprovider", *files]
    # What was compiled with tiles is not to be found again.
    printed = assert_tests_pass(*arguments, NUMBA_CACHE_DIR=str(tmp_path))
    assert "skipped" not in printed
