"""8-bit weights: products against integers multiplied by numpy, the encoder against float32."""

import copy

import numpy as np
import pytest
import torch

from sam_plugins import Predictor, Prompt, load_model
from sam_plugins.modeling import int8

pytestmark = pytest.mark.skipif(not int8.has_int8(), reason="needs a processor with VNNI")


def by_hand(x, weight, bias):
    """The layer computed with whole numbers by numpy: (N, out), float64."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    scales = np.abs(weight).max(1) / 127
    quantised = np.rint(weight / scales[:, None]).astype(np.int64)
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = (high - low) / 254
    zero = np.rint(-low / scale)
    levels = np.rint(x / scale + zero).astype(np.int64)
    assert levels.min() >= 0
    assert levels.max() <= 255
    return (levels - int(zero)) @ quantised.T * (scale * scales) + bias


@pytest.mark.parametrize("shift", [-40.0, -1.0, 0.0, 1.0, 40.0])
@pytest.mark.parametrize("gelu", [False, True])
def test_products_are_those_of_whole_numbers(shift, gelu):
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(48, 40)
    for each in layer.parameters():
        torch.nn.init.normal_(each, std=0.1, generator=generator)
    x = torch.randn(70, 48, generator=generator) * 3 + shift
    expected = by_hand(x.numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy())
    with torch.inference_mode():
        got = int8.Int8Linear(layer, gelu=gelu)(x)
    if gelu:
        expected = torch.nn.functional.gelu(torch.from_numpy(expected)).numpy()
    # A value halfway between two levels may be rounded to either: that is one level of one input.
    level = (x.max().clamp(min=0) - x.min().clamp(max=0)).item() / 254
    one = level * layer.weight.abs().max().item()
    assert np.abs(got.numpy() - expected).max() <= 1.01 * one
    assert np.median(np.abs(got.numpy() - expected)) < 1e-4


def test_values_that_are_all_zero_give_the_bias():
    layer = torch.nn.Linear(8, 5)
    with torch.inference_mode():
        got = int8.Int8Linear(layer)(torch.zeros(3, 8))
    torch.testing.assert_close(got, layer.bias.detach().expand(3, 5))


def test_an_output_channel_without_weights_gives_its_bias():
    layer = torch.nn.Linear(8, 5)
    with torch.no_grad():
        layer.weight[2] = 0
    with torch.inference_mode():
        got = int8.Int8Linear(layer)(torch.randn(3, 8))
    torch.testing.assert_close(got[:, 2], layer.bias.detach()[2].expand(3))


def test_gradients_are_refused():
    with pytest.raises(RuntimeError, match="without gradients"):
        int8.Int8Linear(torch.nn.Linear(8, 5))(torch.randn(3, 8))


@pytest.fixture
def frames():
    return torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))


def test_the_encoder_changes_little_and_the_original_not_at_all(tiny_sam, frames):
    encoder = tiny_sam.image_encoder
    before = copy.deepcopy(encoder.state_dict())
    with torch.inference_mode():
        exact, coarse = encoder(frames), int8.quantized(encoder)(frames)
    error = torch.linalg.norm(coarse - exact) / torch.linalg.norm(exact)
    assert 1e-4 < error < 0.05
    after = encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_only_the_matrices_of_the_blocks_take_memory_again(tiny_sam):
    encoder = tiny_sam.image_encoder
    twin = int8.quantized(encoder)
    assert twin.pos_embed is encoder.pos_embed
    assert all(any(own is each for each in encoder.parameters()) for own in twin.parameters())
    assert len(list(twin.parameters())) < len(list(encoder.parameters()))


def test_an_image_does_not_depend_on_its_batch(tiny_sam, frames):
    encoder = int8.quantized(tiny_sam.image_encoder)
    frames = frames * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1, 1)
    with torch.inference_mode():
        together, alone = encoder(frames), torch.cat([encoder(frame[None]) for frame in frames])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_a_predictor_answers_as_in_float32(tiny_sam):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    prompt = Prompt(points=[[40, 50]])
    exact, coarse = (Predictor(tiny_sam, precision=each) for each in ("float32", "int8"))
    first, second = exact.embed(image), coarse.embed(image)
    assert (first.precision, second.precision) == ("float32", "int8")
    assert not torch.equal(first.features[0], second.features[0])
    a, b = exact.predict(first, prompt), coarse.predict(second, prompt)
    assert (a.masks == b.masks).mean() > 0.95


def test_a_processor_that_could_overflow_is_refused(tiny_sam, monkeypatch):
    monkeypatch.setattr(int8, "has_int8", lambda: False)
    with pytest.raises(ValueError, match="VNNI"):
        Predictor(tiny_sam, precision="int8")


def test_small_models_are_refused():
    with pytest.raises(ValueError, match="vit_b, vit_l and vit_h"):
        Predictor(load_model("lite"), precision="int8")
