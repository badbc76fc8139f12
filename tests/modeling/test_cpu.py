"""What a CPU does in another way, and that it does not matter for the result."""

import pytest
import torch
from torch.nn import functional

from sam_plugins.modeling import cpu


@pytest.mark.parametrize("capability", ["AVX512", "AVX2", "DEFAULT"])
@pytest.mark.parametrize("shape", [(2, 700, 64), (512, 128), (3, 4)])
def test_products_are_the_same_with_every_library(monkeypatch, capability, shape):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(cpu, "_has_onednn", cpu._has_onednn.__wrapped__)
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=drawn)
    weight, bias = torch.randn(96, shape[-1], generator=drawn), torch.randn(96, generator=drawn)
    with torch.inference_mode():
        for added in (bias, None):
            expected = functional.linear(x, weight, added)
            torch.testing.assert_close(cpu.linear(x, weight, added), expected, rtol=1e-4, atol=1e-4)


def test_onednn_multiplies_large_matrices_where_it_is_faster(monkeypatch):
    if not torch.backends.mkldnn.is_available():
        pytest.skip("a PyTorch without oneDNN")
    monkeypatch.setattr(cpu, "_has_onednn", cpu._has_onednn.__wrapped__)
    large, small, weight = torch.ones(512, 128), torch.ones(3, 128), torch.ones(96, 128)
    with torch.inference_mode():
        for capability, expected in (("AVX512", True), ("AVX2", False), ("DEFAULT", False)):
            monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda c=capability: c)
            assert cpu._suits_onednn(large, weight) is expected
            assert not cpu._suits_onednn(small, weight)
            assert not cpu._suits_onednn(large.bfloat16(), weight.bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("gradients", [True, False])
def test_what_is_above_a_threshold_is_1(dtype, gradients):
    x = torch.tensor([[-1.0, 0.5, torch.nan], [0.25, torch.inf, 3.0]], dtype=dtype)
    with torch.set_grad_enabled(gradients):
        found = cpu.above(x.requires_grad_(gradients), 0.25)
    assert found.dtype == dtype
    assert found.tolist() == [[0, 1, 0], [0, 1, 1]]
