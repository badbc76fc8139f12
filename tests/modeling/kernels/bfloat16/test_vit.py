"""An image encoder in bfloat16 by compiled kernels, and by PyTorch in float32."""

import pytest
import torch

from sam_plugins.modeling.configs import ViTConfig
from sam_plugins.modeling.image_encoder import ImageEncoderViT
from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels.bfloat16 import vit


def make_encoder(dim=96, heads=2, window=14, frame=256):
    torch.manual_seed(0)
    config = ViTConfig(dim, 3, heads, (1,), window_size=window)
    encoder = ImageEncoderViT(config, img_size=frame).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return encoder


def in_bfloat16(encoder, x):
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        return encoder(x).float()


def errors(encoder, x, monkeypatch):
    """Relative errors of the kernels and of PyTorch in bfloat16, against float32."""
    calls = []
    run = vit.run_blocks
    monkeypatch.setattr(vit, "run_blocks", lambda *args: calls.append(1) or run(*args))
    own = in_bfloat16(encoder, x)
    monkeypatch.setattr(vit, "suits", lambda *_: False)
    torchs = in_bfloat16(encoder, x)
    with torch.inference_mode():
        expected = encoder(x)
    assert calls == [1]
    return [float((each - expected).norm() / expected.norm()) for each in (own, torchs)]


@pytest.mark.parametrize(
    ("frame", "batch"), [((256, 256), 1), ((256, 256), 3), ((96, 400), 1), ((368, 224), 2)]
)
def test_embedding_is_as_exact_as_that_of_pytorch(frame, batch, monkeypatch):
    x = torch.randn(batch, 3, *frame, generator=torch.Generator().manual_seed(1))
    own, torchs = errors(make_encoder(), x, monkeypatch)
    assert own < 1.1 * torchs < 0.02


@pytest.mark.parametrize(
    ("dim", "heads", "window"), [(160, 2, 14), (64, 4, 6), (64, 1, 7), (32, 2, 3)]
)
def test_embedding_is_as_exact_for_other_widths(dim, heads, window, monkeypatch):
    x = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    own, torchs = errors(make_encoder(dim, heads, window), x, monkeypatch)
    assert own < 1.1 * torchs < 0.02


def test_smallest_frame(monkeypatch):
    own, torchs = errors(make_encoder(), torch.randn(1, 3, 16, 32), monkeypatch)
    assert own < 1.5 * torchs < 0.03


def test_result_does_not_depend_on_the_number_of_threads():
    encoder, x = make_encoder(), torch.randn(1, 3, 256, 256)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(in_bfloat16(encoder, x))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_changed_weights_are_used():
    encoder, x = make_encoder(), torch.randn(1, 3, 256, 256)
    before = in_bfloat16(encoder, x)
    with torch.no_grad():
        encoder.blocks[0].mlp.lin1.weight.mul_(2)
    assert not torch.allclose(before, in_bfloat16(encoder, x))


def test_input_is_left_as_it_is():
    blocks, x = list(make_encoder().blocks), torch.randn(1, 16, 16, 96)
    kept = x.clone()
    with torch.inference_mode():
        assert not torch.equal(vit.run_blocks(blocks, x), kept)
    assert torch.equal(x, kept)


def test_only_float32_under_autocast_to_bfloat16_is_suited(monkeypatch):
    x = torch.randn(1, 16, 16, 96)

    def suited(encoder, x=x):
        return vit.suits(x, list(encoder.blocks))

    with torch.inference_mode():
        assert not suited(make_encoder())
        with torch.autocast("cpu", torch.float16):
            assert not suited(make_encoder())
        with torch.autocast("cpu", torch.bfloat16):
            assert suited(make_encoder())
            assert not suited(make_encoder().bfloat16())
            assert not suited(make_encoder(dim=96, heads=4))
            assert not suited(make_encoder(dim=80), torch.randn(1, 16, 16, 80))
            replaced = make_encoder()
            replaced.blocks[2].mlp.lin2 = torch.nn.Linear(384, 96)
            assert not suited(replaced)
            monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: False)
            assert not suited(make_encoder())
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: True)
    with torch.autocast("cpu", torch.bfloat16):
        assert not suited(make_encoder())  # with gradients
