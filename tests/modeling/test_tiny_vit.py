"""TinyViT against a slow implementation that was written by itself: loops, double precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from sam_plugins.modeling import build_sam
from sam_plugins.modeling.tiny_vit_convolutions import MBConv

DEPTHS, HEADS, WINDOWS, HEAD_DIM = (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7), 32


def conv_norm(state, name, x, *, stride=1, depthwise=False):
    """Convolution, then batch normalisation with stored statistics."""
    weight = state[f"{name}.c.weight"]
    groups = x.shape[1] if depthwise else 1
    x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)
    mean, variance, scale, shift = (
        state[f"{name}.bn.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(variance + 1e-5) * scale + shift


def layer_norm(state, name, x, eps=1e-5):
    """Over the last axis."""
    centred = x - x.mean(-1, keepdim=True)
    spread = torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + eps)
    return centred / spread * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(state, name, x):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def bias_of(biases, size):
    """(heads, N, N): biases are numbered in the order in which distances are first seen."""
    tokens = [(y, x) for y in range(size) for x in range(size)]
    numbers, table = {}, torch.empty(len(tokens), len(tokens), dtype=torch.long)
    for i, (y0, x0) in enumerate(tokens):
        for j, (y1, x1) in enumerate(tokens):
            distance = abs(y0 - y1), abs(x0 - x1)
            table[i, j] = numbers.setdefault(distance, len(numbers))
    return biases[:, table]


def attend(state, name, window, heads, bias):
    """Attention in one window of tokens (N, C), head by head."""
    qkv = linear(state, f"{name}.qkv", layer_norm(state, f"{name}.norm", window))
    outs = []
    for head in range(heads):
        start = head * 3 * HEAD_DIM
        q, k, v = qkv[:, start : start + 3 * HEAD_DIM].split(HEAD_DIM, dim=1)
        scores = q @ k.T * HEAD_DIM**-0.5 + bias[head]
        outs.append(torch.softmax(scores, dim=1) @ v)
    return linear(state, f"{name}.proj", torch.cat(outs, dim=1))


def block(state, name, x, heads, size):
    """Windows padded with zeros, attention, depthwise convolution, MLP: x is (C, h, w)."""
    channels, height, width = x.shape
    bias = bias_of(state[f"{name}.attn.attention_biases"], size)
    padded = functional.pad(x, (0, -width % size, 0, -height % size))
    out = torch.empty_like(padded)
    for top in range(0, padded.shape[1], size):
        for left in range(0, padded.shape[2], size):
            window = padded[:, top : top + size, left : left + size].reshape(channels, -1).T
            answer = attend(state, f"{name}.attn", window, heads, bias)
            out[:, top : top + size, left : left + size] = answer.T.reshape(channels, size, size)
    x = x + out[:, :height, :width]
    x = conv_norm(state, f"{name}.local_conv", x[None], depthwise=True)[0]
    tokens = x.permute(1, 2, 0)
    hidden = linear(state, f"{name}.mlp.fc1", layer_norm(state, f"{name}.mlp.norm", tokens))
    return x + linear(state, f"{name}.mlp.fc2", functional.gelu(hidden)).permute(2, 0, 1)


def three_convolutions(state, name, x, stride):
    x = functional.gelu(conv_norm(state, f"{name}.conv1", x))
    x = functional.gelu(conv_norm(state, f"{name}.conv2", x, stride=stride, depthwise=True))
    return conv_norm(state, f"{name}.conv3", x)


def slow_encoder(state, image):
    """The image embedding (256, h, w) of a frame (3, H, W)."""
    x = functional.gelu(conv_norm(state, "patch_embed.seq.0", image[None], stride=2))
    x = conv_norm(state, "patch_embed.seq.2", x, stride=2)
    for stage in range(4):
        for index in range(DEPTHS[stage]):
            name = f"layers.{stage}.blocks.{index}"
            if stage == 0:
                x = functional.gelu(x + three_convolutions(state, name, x, 1))
            else:
                x = block(state, name, x[0], HEADS[stage], WINDOWS[stage])[None]
        if stage < 3:
            # The last step does not shrink the map.
            stride = 2 if stage < 2 else 1
            x = three_convolutions(state, f"layers.{stage}.downsample", x, stride)
    x = functional.conv2d(x, state["neck.0.weight"])
    x = layer_norm(state, "neck.1", x.permute(0, 2, 3, 1), eps=1e-6).permute(0, 3, 1, 2)
    x = functional.conv2d(x, state["neck.2.weight"], padding=1)
    return layer_norm(state, "neck.3", x[0].permute(1, 2, 0), eps=1e-6).permute(2, 0, 1)


@pytest.fixture(scope="module")
def encoder(randomize):
    return randomize(build_sam("vit_t"), seed=7).image_encoder


@pytest.fixture(scope="module")
def doubles(encoder):
    return {name: value.double() for name, value in encoder.state_dict().items()}


def frames(count, height, width):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(1024, 1024), (256, 320), (224, 224)])
def test_the_embedding_is_that_of_the_slow_implementation(encoder, doubles, size, relative_error):
    image = frames(1, *size)
    with torch.no_grad():
        found = encoder(image)[0]
        expected = slow_encoder(doubles, image[0].double())
    assert found.shape == (256, size[0] // 16, size[1] // 16)
    assert relative_error(found, expected) <= 1e-4


def test_the_way_with_gradients_is_the_same(encoder, doubles, relative_error):
    image = frames(1, 96, 160)
    assert (
        relative_error(encoder(image)[0].detach(), slow_encoder(doubles, image[0].double())) < 1e-4
    )


def test_a_batch_equals_its_images_one_by_one(encoder, relative_error):
    images = frames(3, 128, 128)
    with torch.no_grad():
        together = encoder(images)
        for image, found in zip(images, together, strict=True):
            assert relative_error(found, encoder(image[None])[0]) <= 1e-5


@pytest.mark.parametrize("height", [1, 15, 16, 17, 33, 48])
def test_a_bottleneck_by_rows_is_that_of_the_whole_map(height, randomize, relative_error):
    block = randomize(MBConv(8)).eval()
    x = torch.randn(2, 8, height, 11).to(memory_format=torch.channels_last)
    whole = block(x)  # with gradients
    kept = x.clone()
    with torch.inference_mode():
        assert relative_error(block(x), whole) < 1e-6
    assert torch.equal(x, kept)


@pytest.mark.parametrize("how", ["in place", "load_state_dict", "train and eval"])
def test_attention_biases_are_never_stale(encoder, how, relative_error):
    other, image = copy.deepcopy(encoder).eval(), frames(1, 128, 128)
    name = "layers.2.blocks.3.attn.attention_biases"
    with torch.no_grad():
        before = other(image)
        if how == "load_state_dict":
            other.load_state_dict({**other.state_dict(), name: other.state_dict()[name] + 3})
            other.load_state_dict({**other.state_dict(), name: -other.state_dict()[name]})
        else:
            if how == "train and eval":
                other.train()
            other.get_parameter(name).add_(3).neg_()
            other.eval()
        state = {key: value.double() for key, value in other.state_dict().items()}
        after = other(image)
    assert (before - after).abs().max() > 1e-3
    assert relative_error(after[0], slow_encoder(state, image[0].double())) <= 1e-4


def test_bfloat16_is_close(encoder, relative_error):
    image = frames(1, 256, 256)
    with torch.no_grad():
        exact = encoder(image)
        with torch.autocast("cpu", torch.bfloat16):
            rough = encoder(image)
    assert relative_error(rough, exact) < 0.1


@pytest.mark.parametrize("shape", [(1, 3, 250, 256), (1, 1, 256, 256), (3, 256, 256)])
def test_a_frame_that_does_not_fit_is_refused(encoder, shape):
    with pytest.raises(ValueError, match="multiples of 16"):
        encoder(torch.zeros(shape))
