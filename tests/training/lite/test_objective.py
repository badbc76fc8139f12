"""The objective learns one image by heart, resumes, and refuses a loss that is not a number."""

from dataclasses import replace

import pytest
import torch

from sam_plugins.modeling.lite import build_lite
from sam_plugins.training.lite.objective import LiteObjective, Truths
from sam_plugins.training.lite.recipe import Part
from sam_plugins.training.loop import Run, TrainingDivergedError
from tests.training.lite.easy import TINY, a_batch, batches

QUICK = Part("quick", 220, warm_up=5, learning_rate=3e-3, ema=0.9)


def a_run(folder, part=QUICK, seed=0):
    torch.manual_seed(seed)
    objective = LiteObjective(build_lite(TINY), part)
    settings = replace(part.loop_settings(), report_every=10, checkpoint_every=5)
    return Run(objective, part.optimizer_settings(), settings, folder)


def test_one_image_is_learned_by_heart(tmp_path):
    rows = []
    run = a_run(tmp_path)
    run.go(batches, on_report=rows.append)
    assert rows[-1]["box"] > 0.95
    assert rows[-1]["click_best"] > 0.95
    # The averaged weights know it too, through the public interface.
    model, batch = run.model, a_batch(seed=999)
    with torch.no_grad():
        image = model.preprocess(batch.images[:1].float())
        logits, iou = model.decode(
            model.encode(image), boxes=torch.tensor([[[30.0, 34, 58, 60]]]), multimask=False
        )
    found = torch.nn.functional.interpolate(logits, scale_factor=2, mode="bilinear")[0, 0] > 0
    truth = batch.labels[0, 1] == 2
    assert (found & truth).sum() / (found | truth).sum() > 0.85
    assert iou.item() > 0.7


def test_clicks_on_the_background_are_believed_less_with_their_weight(tmp_path):
    believed = []
    for weight in (0.0, 1.0):
        part = replace(QUICK, steps=60, background_weight=weight)
        run = a_run(tmp_path / str(weight), part)
        run.go(batches)
        model, batch = run.model, a_batch(seed=5)
        with torch.no_grad():
            features = model.encode_level(
                (batch.images[:1].float() - model.pixel_mean) / model.pixel_std
            )
            _, iou = model.decode_all(
                features,
                points=torch.tensor([[[50.0, 15]]]),
                labels=torch.ones(1, 1, dtype=torch.long),
            )
        believed.append(iou.sigmoid().mean().item())
    assert believed[1] < 0.8 * believed[0]


def test_truths_are_what_lies_under_the_click():
    batch = a_batch()
    truths = Truths.under_clicks(batch, stride=2)
    assert truths.masks.shape == (8, 3, 32, 32)
    for index in range(8):
        image, k = divmod(index, 4)
        x, y = batch.clicks[image, k].long().tolist()
        for level in range(3):
            label = batch.labels[image, level, y, x]
            if level == batch.levels[image, k]:
                label = batch.ids[image, k]
            full = (batch.labels[image, level] == label) & (label > 0)
            means = full.float().view(32, 2, 32, 2).mean((1, 3))
            torch.testing.assert_close(truths.masks[index, level], means)
            assert truths.valid[index, level] == bool(label)
    assert (truths.target == batch.levels.flatten()).all()


def test_a_run_that_was_killed_goes_on_to_the_same_weights(tmp_path):
    part = replace(QUICK, steps=8, background_weight=0.5)
    whole = a_run(tmp_path / "whole", part)
    whole.go(batches)
    a_run(tmp_path / "killed", part).go(batches, stop=lambda run: run.step == 3)
    again = a_run(tmp_path / "killed", part, seed=9)
    again.go(batches)
    for expected, got in (
        (whole.objective.model, again.objective.model),
        (whole.averaged, again.averaged),
    ):
        for name, value in expected.state_dict().items():
            assert torch.equal(got.state_dict()[name], value), name


def test_a_loss_that_is_not_a_number_stops_and_leaves_the_weights(tmp_path):
    run = a_run(tmp_path, replace(QUICK, steps=5))
    with torch.no_grad():
        run.objective.model.mask_decoder.mask_bias.fill_(torch.nan)
    with pytest.raises(TrainingDivergedError, match=r"nan at step 0.*bad-batch\.pt"):
        run.go(batches)
    assert not run.checkpoint.exists()


def test_a_batch_of_one_crop_is_an_error():
    with pytest.raises(ValueError, match="two crops"):
        LiteObjective(build_lite(TINY), QUICK)(a_batch(images=1))
