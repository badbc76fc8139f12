"""Kernels run in these tests on any processor that has their instructions."""

import pytest
from llvmlite import binding

from sam_plugins.modeling.kernels import processor


@pytest.fixture(autouse=True)
def any_processor(monkeypatch):
    monkeypatch.setattr(processor, "suited", lambda: True)


@pytest.fixture(scope="session")
def avx2():
    features = binding.get_host_cpu_features()
    if not (features.get("avx2") and features.get("fma")):
        pytest.skip("a processor without AVX2")
