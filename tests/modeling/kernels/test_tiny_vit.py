"""A TinyViT by compiled kernels, and by PyTorch alone."""

import pytest
import torch

from sam_plugins.modeling.configs import TinyViTConfig
from sam_plugins.modeling.kernels import layers, processor, tiny_vit
from sam_plugins.modeling.tiny_vit import TinyViT

KERNELS = ((tiny_vit, "bottleneck"), (tiny_vit, "with_attention"), (layers, "with_mlp"))


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


def both_ways(encoder, x, monkeypatch):
    calls = []
    for owner, name in KERNELS:
        run = getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *args, run=run, name=name: calls.append(name) or run(*args)
        )
    with torch.inference_mode():
        own = encoder(x)
        made = list(calls)
        monkeypatch.setattr(processor, "suited", lambda: False)
        expected = encoder(x)
    assert calls == made
    return own, expected, made


@pytest.mark.usefixtures("avx2")
@pytest.mark.parametrize(
    ("frame", "batch"), [((256, 256), 1), ((224, 448), 2), ((112, 304), 1), ((96, 96), 3)]
)
def test_embedding_is_that_of_pytorch(encoder, frame, batch, monkeypatch):
    x = torch.randn(batch, 3, *frame, generator=torch.Generator().manual_seed(1))
    own, expected, made = both_ways(encoder, x, monkeypatch)
    assert own.shape == expected.shape
    assert (own - expected).norm() / expected.norm() < 3e-6
    assert {made.count(name) for _, name in KERNELS} == {2, 10}
    assert made.count("with_attention") == made.count("with_mlp") == 10


@pytest.mark.usefixtures("avx2")
def test_what_is_smaller_than_a_tile_is_left_to_pytorch(encoder, monkeypatch):
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    own, expected, made = both_ways(encoder, x, monkeypatch)
    assert torch.equal(own, expected)
    assert not made


@pytest.mark.usefixtures("avx2")
def test_result_does_not_depend_on_the_number_of_threads(encoder):
    block, before = encoder.layers[0].blocks[0], torch.get_num_threads()
    x = torch.randn(1, 64, 56, 56).contiguous(memory_format=torch.channels_last)
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                results.append(block(x))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_only_plain_float32_is_suited(encoder):
    block, rows = encoder.layers[1].blocks[0], torch.randn(1, 28, 28, 128)
    parts = (block.mlp.norm, block.mlp.fc1, block.mlp.fc2)
    weight = encoder.layers[0].blocks[0].conv1.c.weight
    image = torch.randn(1, 64, 20, 20)
    with torch.inference_mode():
        assert layers.suits(rows, *parts)
        assert tiny_vit.suits_bottleneck(image, weight)
        assert not layers.suits(rows.bfloat16(), *parts)
        assert not tiny_vit.suits_bottleneck(image.bfloat16(), weight)
        assert not layers.suits(rows, parts[0], torch.nn.Linear(128, 512), parts[2])
        assert not layers.suits(rows[:, :2, :3], *parts)
        assert not tiny_vit.suits_bottleneck(image[..., :5], weight)
        assert not tiny_vit.suits_bottleneck(image, torch.randn(24, 6, 1, 1))
        with torch.autocast("cpu", torch.bfloat16):
            assert not layers.suits(rows, *parts)
            assert not tiny_vit.suits_bottleneck(image, weight)
    assert not layers.suits(rows, *parts)  # with gradients
    assert not tiny_vit.suits_bottleneck(image, weight)
