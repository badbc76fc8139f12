"""Stochastic depth: the expected output stays, whole images skip, hooks are removed."""

import pytest
import torch
from torch import nn

from sam_plugins.training.drop_path import drop_path
from sam_plugins.training.interactive import Example
from tests.training.tiny import easy_image, objective, tiny_model


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


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_the_objective_skips_by_the_seed_of_the_example(rate):
    task = objective(drop_path=rate, clicks=0, empty_rounds=0)
    task.train()
    skipped = []
    # A block whose two branches are skipped gives what it was given.
    task.model.image_encoder.blocks[1].register_forward_hook(
        lambda block, inputs, output: skipped.append(torch.equal(inputs[0], output))
    )
    for seed in [*range(24), *range(24)]:
        task([Example(*easy_image(), seed=seed)])
    assert skipped[:24] == skipped[24:]
    assert any(skipped) == (rate > 0)
    assert not all(skipped)


def test_an_encoder_without_such_blocks():
    with (
        pytest.raises(ValueError, match="Conv2d has no blocks"),
        drop_path(nn.Conv2d(3, 3, 3), 0.1),
    ):
        pass
    with drop_path(nn.Conv2d(3, 3, 3), 0.0):
        pass


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rates_that_make_no_sense(rate):
    with pytest.raises(ValueError, match="drop path"), drop_path(tiny_model().image_encoder, rate):
        pass
