"""The simulated annotator: where it clicks, what counts, what the loss is."""

import numpy as np
import pytest
import torch

from sam_plugins.training.interactive import (
    Example,
    InteractiveSettings,
    candidates_loss,
    round_plan,
    usable_masks,
)
from sam_plugins.training.simulation import error_clicks, noisy_boxes, points_in_masks
from tests.training.tiny import easy_image, objective


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def test_eight_clicks_and_two_rounds_without_one_of_them_last():
    places = set()
    for seed in range(60):
        plan = round_plan(InteractiveSettings(), seeded(seed))
        assert len(plan) == 10  # with the first prompt: 11 rounds
        assert sum(plan) == 8
        assert plan[-1] is False
        places.add(plan.index(False))
    assert places == set(range(9))
    assert round_plan(InteractiveSettings(clicks=3, empty_rounds=0), None) == [True] * 3


def test_first_points_are_uniform_in_the_mask():
    mask = torch.zeros(1, 10, 12)
    mask[0, 2:4, 3:8] = 1
    points = points_in_masks(mask.repeat(4000, 1, 1), generator=seeded())[:, 0]
    counts = np.zeros((10, 12))
    for x, y in points.long().tolist():
        counts[y, x] += 1
    inside = counts[2:4, 3:8]
    assert inside.sum() == 4000
    # Ten cells, 400 each: five standard deviations are about 95.
    assert np.abs(inside - 400).max() < 95


def test_corrections_are_uniform_in_the_error_and_labelled_by_the_truth():
    truth = torch.zeros(1, 8, 8)
    truth[0, 1:4, 1:4] = 1  # nine cells, all missed
    logits = torch.full((1, 8, 8), -3.0)
    logits[0, 6, 2:5] = 2.0  # three cells too many
    points, labels = error_clicks(
        logits.repeat(6000, 1, 1), truth.repeat(6000, 1, 1), stride=4, generator=seeded()
    )
    cells = ((points[:, 0] - 1.5) / 4).long()
    assert torch.equal(cells * 4 + 1.5, points[:, 0])
    missed = truth[0, cells[:, 1], cells[:, 0]] == 1
    assert torch.equal(missed.long(), labels[:, 0])
    assert abs(missed.float().mean().item() - 9 / 12) < 0.03
    assert ((logits[0, cells[:, 1], cells[:, 0]] > 0) | missed).all()


def test_a_perfect_mask_is_clicked_inside():
    truth = torch.zeros(5, 8, 8)
    truth[:, 2:5, 3:6] = 1
    points, labels = error_clicks(truth * 2 - 1, truth, stride=2, generator=seeded())
    cells = ((points[:, 0] - 0.5) / 2).long()
    assert truth[0, cells[:, 1], cells[:, 0]].all()
    assert (labels == 1).all()


@pytest.mark.parametrize(("kind", "spread"), [("normal", 0.1), ("uniform", 0.1 / 3**0.5)])
def test_boxes_have_the_noise_of_their_kind(kind, spread):
    boxes = torch.tensor([[100.0, 50, 200, 130]]).repeat(20000, 1)
    noise = noisy_boxes(boxes, kind=kind, generator=seeded()) - boxes
    assert noise.abs().max() <= 20
    sides = torch.tensor([100.0, 80, 100, 80])
    torch.testing.assert_close(noise.std(0) / sides, torch.full((4,), spread), rtol=0.05, atol=0)
    large = noisy_boxes(boxes * 50, kind=kind, generator=seeded()) - boxes * 50
    assert large.abs().max() <= 20


def test_empty_and_too_large_masks_are_left_out_and_many_are_sampled():
    masks = torch.zeros(100, 10, 10, dtype=torch.bool)
    masks[1:, :2] = True
    masks[1] = True
    settings = InteractiveSettings(most_masks=7)
    kept = usable_masks(masks, settings, seeded())
    assert len(kept) == 7
    assert (kept.flatten(1).sum(1) == 20).all()
    assert len(usable_masks(masks[:2], settings, None)) == 0
    masks[2, :9] = True  # exactly 90 %
    assert len(usable_masks(masks[2:3], settings, None)) == 1


def by_hand(logits, iou, truth, alpha, gamma):
    """The loss of one prompt in double precision, pixel by pixel."""
    found = []
    for mask, predicted in zip(logits, iou, strict=True):
        p = 1 / (1 + np.exp(-mask))
        right = np.where(truth > 0.5, p, 1 - p)
        weight = np.where(truth > 0.5, alpha, 1 - alpha) if alpha is not None else 1.0
        focal = (-weight * (1 - right) ** gamma * np.log(right)).mean()
        dice = 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)
        both = ((mask > 0) & (truth > 0.5)).sum()
        true_iou = both / max(1, ((mask > 0) | (truth > 0.5)).sum())
        found.append((20 * focal + dice, (predicted - true_iou) ** 2))
    return found


@pytest.mark.parametrize(("alpha", "gamma"), [(None, 2.0), (0.25, 2.0), (0.6, 1.0)])
def test_only_the_best_candidate_learns(alpha, gamma):
    rng = np.random.default_rng(0)
    logits, iou = rng.normal(0, 2, (3, 3, 6, 7)), rng.uniform(0, 1, (3, 3))
    truth = (rng.random((3, 6, 7)) > 0.6).astype(float)
    for judged in ("best", "all"):
        expected = []
        for row in range(3):
            found = by_hand(logits[row], iou[row], truth[row], alpha, gamma)
            best = min(range(3), key=lambda i: found[i][0])
            errors = [error for _, error in found]
            expected.append(
                found[best][0] + (errors[best] if judged == "best" else np.mean(errors))
            )
        settings = InteractiveSettings(focal_alpha=alpha, focal_gamma=gamma, judged_ious=judged)
        tensors = [torch.tensor(x, dtype=torch.float32) for x in (logits, iou, truth)]
        assert candidates_loss(*tensors, settings).item() == pytest.approx(
            np.mean(expected), rel=1e-4
        )


def test_the_best_candidate_alone_has_a_gradient():
    logits = torch.randn(1, 3, 8, 8, requires_grad=True)
    candidates_loss(logits, torch.rand(1, 3), torch.ones(1, 8, 8), InteractiveSettings()).backward()
    assert (logits.grad.flatten(2).abs().sum(2) > 0).sum() == 1


@pytest.mark.parametrize("loss_at", ["low_resolution", "frame"])
def test_an_example_gives_the_same_loss_whoever_computes_it(loss_at):
    module = objective(loss_at=loss_at).eval()
    pair = [Example(*easy_image(i), seed=i) for i in range(2)]
    torch.manual_seed(1)
    together, scores = module(pair)
    torch.manual_seed(2)
    alone = [module([each]) for each in pair]
    torch.testing.assert_close(together, (alone[0][0] + alone[1][0]) / 2)
    assert scores["first"] == pytest.approx((alone[0][1]["first"] + alone[1][1]["first"]) / 2)


def test_features_computed_before_give_the_same_loss():
    module = objective().eval()
    image, masks = easy_image()
    model = module.model
    with torch.no_grad():
        features = model.encode(model.preprocess(image[None].float()))
    cached, _ = module([Example(image, masks, 0, features)])
    fresh, _ = module([Example(image, masks, 0)])
    torch.testing.assert_close(cached, fresh)


def test_an_image_without_a_usable_mask_teaches_nothing():
    module = objective()
    image, masks = easy_image()
    loss, scores = module([Example(image, torch.zeros_like(masks), 0)])
    loss.backward()
    assert loss.item() == 0
    assert scores == {}
    assert all(p.grad is None or not p.grad.any() for p in module.parameters())
