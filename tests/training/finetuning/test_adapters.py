"""Low-rank adapters: they begin as nothing, learn alone, and merging changes nothing."""

import pytest
import torch
from torch import nn

from sam_plugins.training.finetuning.adapters import add_adapters, merge_adapters
from tests.training.tiny import tiny_model


def test_adapters_begin_as_nothing_and_merge_into_the_weights():
    model = tiny_model()
    encoder, names = model.image_encoder, set(model.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = encoder(images)
    count = add_adapters(encoder, rank=2)
    assert count == sum(isinstance(m, nn.Linear) for m in encoder.modules())
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), plain)
    learning = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert learning
    assert all(name.endswith((".up", ".down")) for name in learning)
    optimizer = torch.optim.SGD([p for p in encoder.parameters() if p.requires_grad], lr=10.0)
    target = torch.randn_like(plain)
    for _ in range(3):
        optimizer.zero_grad()
        (encoder(images) * target).mean().backward()
        optimizer.step()
    with torch.no_grad():
        adapted = encoder(images)
        assert (adapted - plain).abs().max() > 1e-3
        merge_adapters(encoder)
        torch.testing.assert_close(encoder(images), adapted)
    assert set(model.state_dict()) == names


def test_the_change_of_a_weight_has_the_rank():
    layer = nn.Sequential(nn.Linear(12, 9))
    before = layer[0].weight.detach().clone()
    add_adapters(layer, rank=3)
    for name, parameter in layer.named_parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter)
            assert name
    merge_adapters(layer)
    assert torch.linalg.matrix_rank(layer[0].weight.detach() - before) == 3


def test_nothing_to_adapt():
    with pytest.raises(ValueError, match="linear"):
        add_adapters(nn.Conv2d(3, 3, 3))
