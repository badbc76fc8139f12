"""Stochastic depth: the expected output stays, whole images skip, hooks are removed."""

import pytest
import torch

from sam_plugins.training.drop_path import drop_path
from tests.training.tiny import tiny_model


def test_nothing_happens_outside_of_training_and_after():
    encoder = tiny_model().image_encoder.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        plain = encoder(images)
        with drop_path(encoder, 0.9):
            assert torch.equal(encoder(images), plain)
        encoder.train()
        assert torch.equal(encoder(images), plain)


def test_the_last_block_is_skipped_at_the_rate_and_the_first_never():
    encoder = tiny_model().image_encoder.train()
    images = torch.randn(400, 3, 64, 64)
    seen = {}
    with drop_path(encoder, 0.5):
        for index, block in enumerate(encoder.blocks):
            block.mlp.register_forward_hook(
                lambda m, i, output, index=index: seen.__setitem__(index, output)
            )
        torch.manual_seed(0)
        encoder(images)
    skipped = [(seen[i].flatten(1) == 0).all(1).float().mean().item() for i in (0, 1)]
    assert skipped[0] == 0
    assert abs(skipped[1] - 0.5) < 0.13  # five standard deviations of 400 throws


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rates_that_make_no_sense(rate):
    with pytest.raises(ValueError, match="drop path"), drop_path(tiny_model().image_encoder, rate):
        pass
