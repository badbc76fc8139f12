"""An image encoder by compiled kernels, and by PyTorch alone."""

import pytest
import torch

from sam_plugins.modeling.configs import ViTConfig
from sam_plugins.modeling.image_encoder import ImageEncoderViT
from sam_plugins.modeling.kernels import processor, vit


def make_encoder(dim=96, heads=2, window=14, frame=256):
    torch.manual_seed(0)
    config = ViTConfig(dim, 3, heads, (1,), window_size=window)
    encoder = ImageEncoderViT(config, img_size=frame).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return encoder


def both_ways(encoder, x, monkeypatch):
    calls = []
    run = vit.run_blocks
    monkeypatch.setattr(vit, "run_blocks", lambda *args: calls.append(1) or run(*args))
    with torch.inference_mode():
        own = encoder(x)
        monkeypatch.setattr(vit, "suits", lambda *_: False)
        expected = encoder(x)
    assert calls == [1]
    return own, expected


@pytest.mark.usefixtures("avx2")
@pytest.mark.parametrize(
    ("frame", "batch"), [((256, 256), 1), ((256, 256), 3), ((96, 400), 1), ((368, 224), 2)]
)
def test_embedding_is_that_of_pytorch(frame, batch, monkeypatch):
    x = torch.randn(batch, 3, *frame, generator=torch.Generator().manual_seed(1))
    own, expected = both_ways(make_encoder(), x, monkeypatch)
    assert own.shape == expected.shape
    assert (own - expected).norm() / expected.norm() < 2e-6


@pytest.mark.usefixtures("avx2")
@pytest.mark.parametrize(
    ("dim", "heads", "window"), [(160, 2, 14), (64, 4, 6), (96, 4, 7), (64, 1, 5)]
)
def test_embedding_is_that_of_pytorch_for_other_widths(dim, heads, window, monkeypatch):
    x = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    own, expected = both_ways(make_encoder(dim, heads, window), x, monkeypatch)
    assert (own - expected).norm() / expected.norm() < 2e-6


@pytest.mark.usefixtures("avx2")
def test_result_does_not_depend_on_the_number_of_threads():
    encoder, x = make_encoder(), torch.randn(1, 3, 256, 256)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                results.append(encoder(x))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.usefixtures("avx2")
def test_changed_weights_are_used():
    encoder, x = make_encoder(), torch.randn(1, 3, 256, 256)
    with torch.inference_mode():
        before = encoder(x)
    with torch.no_grad():
        encoder.blocks[0].mlp.lin1.weight.mul_(2)
    with torch.inference_mode():
        assert not torch.allclose(before, encoder(x))


@pytest.mark.usefixtures("avx2")
def test_input_is_left_as_it_is():
    blocks, x = list(make_encoder().blocks), torch.randn(1, 16, 16, 96)
    kept = x.clone()
    with torch.inference_mode():
        assert not torch.equal(vit.run_blocks(blocks, x), kept)
    assert torch.equal(x, kept)


def test_only_plain_float32_of_fitting_sizes_is_suited(monkeypatch):
    x = torch.randn(1, 16, 16, 96)

    def suited(encoder, x=x):
        return vit.suits(x, list(encoder.blocks))

    with torch.inference_mode():
        assert suited(make_encoder())
        assert not suited(make_encoder(), x.bfloat16())
        assert not suited(make_encoder().bfloat16())
        assert not suited(make_encoder(), x[:, :1, :5])
        assert not suited(make_encoder(dim=72), torch.randn(1, 16, 16, 72))
        replaced = make_encoder()
        replaced.blocks[2].mlp.lin2 = torch.nn.Linear(384, 96)
        assert not suited(replaced)
        with torch.autocast("cpu", torch.bfloat16):
            assert not suited(make_encoder())
        monkeypatch.setattr(processor, "suited", lambda: False)
        assert not suited(make_encoder())
    monkeypatch.setattr(processor, "suited", lambda: True)
    assert not suited(make_encoder())  # with gradients
