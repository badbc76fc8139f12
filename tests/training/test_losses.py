"""Losses against plain NumPy, pixel by pixel."""

import numpy as np
import pytest
import torch

from sam_plugins.training.losses import (
    ambiguous_loss,
    dice_loss,
    focal_loss,
    mask_iou,
    mask_loss,
)

rng = np.random.default_rng(0)
LOGITS = rng.normal(0, 3, (2, 4, 6, 7))
TRUTH = rng.random((2, 3, 6, 7))


def each_pair(function, truth=TRUTH):
    return np.array(
        [[[function(p, g) for g in truth[n]] for p in LOGITS[n]] for n in range(len(LOGITS))]
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def focal(x, y):
    """The focal loss's definition (arXiv 1708.02002, equation 4), gamma 2."""
    p = sigmoid(x)
    foreground = -((1 - p) ** 2) * np.log(p)
    background = -(p**2) * np.log(1 - p)
    return (y * foreground + (1 - y) * background).mean()


def dice(x, y):
    p = sigmoid(x)
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


@pytest.mark.parametrize(("ours", "plain"), [(focal_loss, focal), (dice_loss, dice)])
def test_losses_of_all_pairs(ours, plain):
    got = ours(torch.tensor(LOGITS), torch.tensor(TRUTH)).numpy()
    np.testing.assert_allclose(got, each_pair(plain), rtol=1e-6)


def test_focal_and_dice_are_weighted_20_to_1():
    x, y = torch.tensor(LOGITS), torch.tensor(TRUTH)
    np.testing.assert_allclose(mask_loss(x, y), 20 * focal_loss(x, y) + dice_loss(x, y))


def test_iou_of_all_pairs():
    def plain(x, y):
        p, y = x > 0, y >= 0.5
        return (p & y).sum() / (p | y).sum()

    got = mask_iou(torch.tensor(LOGITS), torch.tensor(TRUTH)).numpy()
    np.testing.assert_allclose(got, each_pair(plain), rtol=1e-6)


def test_certain_and_right_costs_nothing_and_extreme_logits_are_finite():
    truth = (torch.tensor(TRUTH[:, :1]) > 0.5).double()
    right, wrong = 200 * (2 * truth - 1), -200 * (2 * truth - 1)
    assert mask_loss(right, truth).abs().max() < 1e-6
    assert torch.isfinite(mask_loss(wrong, truth)).all()
    assert (mask_iou(right, truth) == 1).all()
    assert (mask_iou(torch.full_like(truth, -5), torch.zeros_like(truth)) == 0).all()


def test_each_valid_truth_pulls_its_best_candidate():
    # Candidates down, truths across.
    losses = torch.tensor([[[1.0, 5.0, 9.0], [4.0, 2.0, 9.0], [3.0, 3.0, 6.0]]])
    target = torch.tensor([1])
    valid = torch.tensor([[True, True, False]])
    # Best for truth 0 is 1, for truth 1 (the target, counted twice) 2; truth 2 is not there.
    expected = (1 * 1 + 2 * 2) / 3 + 0.5 * (5 + 2 + 3) / 3
    assert ambiguous_loss(losses, target, valid, all_heads=0.5).item() == pytest.approx(expected)
    alone = ambiguous_loss(losses, target, torch.zeros_like(valid), all_heads=0.0)
    assert alone.item() == pytest.approx(2)


def test_only_the_best_candidate_has_a_gradient_without_the_mean():
    losses = torch.tensor([[[1.0, 5.0], [4.0, 2.0], [3.0, 3.0]]], requires_grad=True)
    valid = torch.zeros(1, 2, dtype=torch.bool)
    ambiguous_loss(losses, torch.tensor([0]), valid, all_heads=0.0).sum().backward()
    assert losses.grad.tolist() == [[[1, 0], [0, 0], [0, 0]]]
