"""The mask decoder's last steps in bfloat16 by compiled kernels, and by PyTorch alone."""

import pytest
import torch

from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels.bfloat16 import upscaling
from sam_plugins.modeling.mask_decoder import MaskDecoder
from sam_plugins.modeling.two_way_transformer import TwoWayTransformer

DIM = 256


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def decoder():
    torch.manual_seed(0)
    transformer = TwoWayTransformer(2, DIM, 8, 128)
    decoder = MaskDecoder(transformer_dim=DIM, transformer=transformer).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return decoder


@pytest.mark.parametrize("grid", [(16, 16), (5, 13), (64, 33), (1, 2)])
@pytest.mark.parametrize("multimask", [True, False])
def test_masks_are_as_exact_as_those_of_pytorch(grid, multimask, decoder, monkeypatch):
    given = [draw(1, DIM, *grid), draw(1, DIM, *grid), draw(2, 3, DIM), draw(2, DIM, *grid)]
    calls = []
    run = upscaling.upscale
    monkeypatch.setattr(upscaling, "upscale", lambda *args: calls.append(1) or run(*args))
    monkeypatch.setattr(processor, "suited", lambda: False)
    with torch.inference_mode():
        own, iou = decoder(*given, multimask, torch.bfloat16)
        monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: False)
        torchs, _ = decoder(*given, multimask, torch.bfloat16)
        expected, expected_iou = decoder(*given, multimask)
    assert calls
    assert own.dtype == torch.float32
    assert own.shape == (2, 3 if multimask else 1, 4 * grid[0], 4 * grid[1])
    own_error, error = (each.sub(expected).norm() / expected.norm() for each in (own, torchs))
    assert own_error < 1.1 * error < 0.02
    torch.testing.assert_close(iou, expected_iou, rtol=1e-2, atol=1e-2)


def test_only_float32_is_suited(monkeypatch):
    keys, weights = draw(1, 100, DIM), draw(1, 3, DIM // 8)
    with torch.inference_mode():
        assert upscaling.suits(keys, weights)
        assert not upscaling.suits(keys.bfloat16(), weights.bfloat16())
        assert not upscaling.suits(keys[..., :128], weights)
        assert not upscaling.suits(keys, draw(1, 33, DIM // 8))
        monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: False)
        assert not upscaling.suits(keys, weights)
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: True)
    assert not upscaling.suits(keys, weights)  # with gradients
