"""The mask decoder's last steps by compiled kernels, and by PyTorch alone."""

import pytest
import torch

from sam_plugins.modeling.kernels import processor, upscaling
from sam_plugins.modeling.mask_decoder import MaskDecoder
from sam_plugins.modeling.two_way_transformer import TwoWayTransformer


def make_decoder(dim=64):
    torch.manual_seed(0)
    transformer = TwoWayTransformer(2, dim, 8, 128)
    decoder = MaskDecoder(transformer_dim=dim, transformer=transformer).eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return decoder


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.usefixtures("avx2")
@pytest.mark.parametrize("grid", [(16, 16), (5, 13), (64, 33), (3, 4)])
@pytest.mark.parametrize("dim", [64, 128, 256])
@pytest.mark.parametrize("multimask", [True, False])
def test_masks_are_those_of_pytorch(grid, dim, multimask, monkeypatch):
    decoder, dim = make_decoder(dim), (dim,)
    given = [draw(1, *dim, *grid), draw(1, *dim, *grid), draw(2, 3, *dim), draw(2, *dim, *grid)]
    calls = []
    run = upscaling.upscale
    monkeypatch.setattr(upscaling, "upscale", lambda *args: calls.append(1) or run(*args))
    with torch.inference_mode():
        masks, iou = decoder(*given, multimask)
        monkeypatch.setattr(processor, "suited", lambda: False)
        expected, expected_iou = decoder(*given, multimask)
    assert calls
    assert masks.shape == expected.shape == (2, 3 if multimask else 1, 4 * grid[0], 4 * grid[1])
    assert (masks - expected).norm() / expected.norm() < 5e-6
    torch.testing.assert_close(iou, expected_iou, rtol=1e-4, atol=1e-4)


def test_only_plain_float32_is_suited():
    keys, weights = draw(1, 100, 64), draw(1, 3, 8)
    with torch.inference_mode():
        assert upscaling.suits(keys, weights)
        assert not upscaling.suits(keys.bfloat16(), weights.bfloat16())
        assert not upscaling.suits(keys[:, :5], weights)
        assert not upscaling.suits(keys[..., :48], weights)
        assert not upscaling.suits(keys, draw(1, 33, 8))
        with torch.autocast("cpu", torch.bfloat16):
            assert not upscaling.suits(keys, weights)
    assert not upscaling.suits(keys, weights)  # with gradients
