"""A TinyViT in bfloat16 by compiled kernels, and by PyTorch alone."""

import pytest
import torch
from torch import nn

from sam_plugins.modeling.configs import TinyViTConfig
from sam_plugins.modeling.cpu import Linear
from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels.bfloat16 import layers, tiny_vit
from sam_plugins.modeling.tiny_vit import TinyViT, WindowAttention

KERNELS = ((tiny_vit, "with_attention"), (layers, "with_mlp"))


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    encoder = TinyViT(TinyViTConfig()).eval()
    for name, value in encoder.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.is_floating_point():
            value.add_(torch.randn_like(value) * 0.05)
    return encoder


def in_bfloat16(module, *given):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return module(*given).float()


@pytest.mark.parametrize(
    ("frame", "batch"), [((256, 256), 1), ((224, 448), 2), ((112, 304), 1), ((16, 16), 3)]
)
def test_embedding_is_as_exact_as_that_of_pytorch(encoder, frame, batch, monkeypatch):
    x = torch.randn(batch, 3, *frame, generator=torch.Generator().manual_seed(1))
    calls = []
    for owner, name in KERNELS:
        run = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *args, run=run, name=name: calls.append(name) or run(*args)
        )
    own = in_bfloat16(encoder, x)
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: False)
    torchs = in_bfloat16(encoder, x)
    monkeypatch.setattr(processor, "suited", lambda: False)
    with torch.inference_mode():
        expected = encoder(x)
    assert calls.count("with_attention") == calls.count("with_mlp") == 10
    own_error, error = (each.sub(expected).norm() / expected.norm() for each in (own, torchs))
    assert own_error < 1.1 * error < 0.05


@pytest.mark.parametrize("side", [7, 14])
@pytest.mark.parametrize("grid", [(14, 28), (9, 17)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_is_that_of_the_module(side, grid, dtype):
    torch.manual_seed(0)
    attention = WindowAttention(64, 3, side).eval()
    nn.init.normal_(attention.attention_biases)
    x = torch.randn(2, *grid, 64, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.inference_mode():
        expected = x.float() + attention(x.float(), attention.bias())
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = tiny_vit.with_attention(attention, x, attention.bias())
    assert found.dtype == torch.float32
    assert (found - expected).norm() / (expected - x).norm() < 0.01


@pytest.mark.parametrize("shape", [(1, 32), (100, 32), (2, 3, 300, 32)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mlp_is_that_of_the_layers(shape, dtype):
    torch.manual_seed(0)
    norm, first, second = nn.LayerNorm(32), Linear(32, 96), Linear(96, 32)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    kept = x.clone()
    with torch.inference_mode():
        expected = second(nn.functional.gelu(first(norm(x.float()))))
        found = layers.with_mlp(x, norm, first, second)
    assert (found - x - expected).norm() / expected.norm() < 0.01
    assert torch.equal(x, kept)


def test_only_float32_layers_of_whole_steps_are_suited(monkeypatch):
    x, norm = torch.randn(40, 64), nn.LayerNorm(64)
    given = (norm, Linear(64, 96), Linear(96, 64))
    with torch.inference_mode():
        assert not layers.suits(x, *given)
        with torch.autocast("cpu", torch.bfloat16):
            assert layers.suits(x, *given)
            assert layers.suits(x.bfloat16(), *given)
            assert not layers.suits(x.half(), *given)
            assert not layers.suits(x, nn.LayerNorm(64).bfloat16(), *given[1:])
            assert not layers.suits(x, norm, nn.Linear(64, 96), given[2])
            assert not layers.suits(x, norm, Linear(64, 80), Linear(80, 64))
            monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: False)
            assert not layers.suits(x, *given)
