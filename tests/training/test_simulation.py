"""Simulated annotators: where they click and how shaky their boxes are."""

import pytest
import torch

from sam_plugins.training.simulation import (
    BACKGROUND_MARGIN,
    MOST_BOX_NOISE,
    background_clicks,
    corrective_clicks,
    noisy_boxes,
)


def test_boxes_shake_by_a_tenth_of_their_sides_and_20_pixels_at_most():
    torch.manual_seed(0)
    boxes = torch.tensor([[100.0, 100, 150, 300], [0.0, 0, 1000, 1000]]).repeat(4000, 1)
    moved = noisy_boxes(boxes) - boxes
    spread = moved[::2].std(dim=0)
    torch.testing.assert_close(spread[[0, 2]], torch.full((2,), 5.0), rtol=0.1, atol=0)
    assert moved.abs().max() <= MOST_BOX_NOISE
    # 10 % of 200 pixels is the limit itself, so that a third of the moves are cut.
    at_limit = (moved[::2, [1, 3]].abs() == MOST_BOX_NOISE).float().mean()
    assert at_limit == pytest.approx(0.317, abs=0.03)
    assert moved.mean(dim=0).abs().max() < 1


def test_boxes_stay_boxes_and_no_noise_moves_nothing():
    torch.manual_seed(0)
    boxes = torch.tensor([[10.0, 10, 11, 11]]).repeat(1000, 1)
    moved = noisy_boxes(boxes, noise=3.0)
    assert (moved[:, 2:] >= moved[:, :2]).all()
    torch.testing.assert_close(noisy_boxes(boxes, noise=0.0), boxes)


def test_clicks_lie_in_errors_and_say_which_kind():
    torch.manual_seed(0)
    truth, logits = torch.zeros(2, 32, 40), torch.full((2, 32, 40), -4.0)
    truth[:, 5:15, 5:20] = 1
    logits[0, 5:15, 5:20] = 4  # All found,
    logits[0, 20:30, 25:35] = 4  # and something that is not there.
    logits[1, 5:15, 5:10] = 4  # The right part is missed.
    for _ in range(50):
        points, labels = corrective_clicks(logits, truth, stride=2)
        assert points.shape == (2, 1, 2)
        assert labels.tolist() == [[0], [1]]
        x, y = points[:, 0].unbind(-1)
        assert 50 <= x[0] < 70
        assert 40 <= y[0] < 60
        assert 20 <= x[1] < 40
        assert 10 <= y[1] < 30


def test_the_inside_of_an_error_is_preferred_to_its_rim():
    torch.manual_seed(0)
    truth = torch.zeros(1, 32, 32)
    truth[:, 8:24, 8:24] = 1
    empty = torch.full((1, 32, 32), -4.0)
    points = torch.cat([corrective_clicks(empty, truth, stride=1)[0] for _ in range(400)])
    rim = ((points < 9) | (points >= 23)).any(dim=-1).float().mean()
    # The rim is 60 of 256 pixels.
    assert rim < 0.15


def test_a_perfect_mask_is_clicked_inside():
    torch.manual_seed(0)
    truth = torch.zeros(1, 16, 16)
    truth[:, 4:8, 6:10] = 1
    points, labels = corrective_clicks(20 * truth - 10, truth, stride=4)
    assert labels.item() == 1
    x, y = points[0, 0].tolist()
    assert 24 <= x < 40
    assert 16 <= y < 32
    # The middle of a cell of 4 pixels is 1.5 after its first pixel's centre.
    assert (x - 1.5) % 4 == 0


def test_background_clicks_keep_their_distance():
    torch.manual_seed(0)
    labels = torch.zeros(2, 3, 64, 64, dtype=torch.int32)
    labels[:, 1, 8:30, 6:28] = 1
    points, valid = background_clicks(labels, 300)
    assert points.shape == (600, 1, 2)
    assert valid.all()
    x, y = points[:, 0].unbind(-1)
    margin = BACKGROUND_MARGIN
    inside = (x > 5 - margin) & (x < 28 + margin) & (y > 7 - margin) & (y < 30 + margin)
    assert not inside.any()
    assert (x.max(), y.max()) > (55, 55)


def test_an_image_without_background_does_not_count():
    labels = torch.zeros(2, 3, 16, 16, dtype=torch.int32)
    labels[1, 0] = 1
    points, valid = background_clicks(labels, 4)
    assert valid.tolist() == [True] * 4 + [False] * 4
    assert points.shape == (8, 1, 2)
