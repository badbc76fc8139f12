"""The loop: learns one image by heart, averages, resumes, refuses loss that is not a number."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sam_plugins.modeling.configs import LiteConfig, SamConfig
from sam_plugins.modeling.lite import build_lite
from sam_plugins.training import recipe as recipe_module
from sam_plugins.training.__main__ import load_checkpoint, save_checkpoint
from sam_plugins.training.fit import Trainer, Truths
from sam_plugins.training.recipe import Recipe, read_recipe
from sam_plugins.training.samples import Batch, pick_objects

TINY = SamConfig(
    "tiny",
    LiteConfig(
        channels=(8, 8, 16, 16, 16),
        blocks=(1, 1, 1, 1),
        embed_dim=32,
        fine_channels=(16, 8, 8),
        decoder_heads=2,
        decoder_mlp_dim=32,
    ),
    frame_size=64,
)
QUICK = Recipe(warm_up=5, learning_rate=3e-3, ema=0.9)


def a_batch(images=2, objects=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.zeros((images, 3, 64, 64), dtype=np.int32)
    labels[:, 1, 8:30, 6:28] = 1
    labels[:, 1, 34:60, 30:58] = 2
    labels[:, 2, 12:24, 10:22] = 1
    pixels = 60 + 70 * labels[:, 1] + 40 * labels[:, 2] + rng.integers(0, 9, labels[:, 1].shape)
    table = torch.from_numpy(
        np.stack([pick_objects(rng, each, objects, (0, 0.7, 0.3)) for each in labels])
    )
    return Batch(
        images=torch.from_numpy(pixels.astype(np.uint8))[:, None].repeat(1, 3, 1, 1),
        labels=torch.from_numpy(labels),
        levels=table[..., 0].long(),
        ids=table[..., 1].long(),
        clicks=table[..., 2:4],
        boxes=table[..., 4:],
    )


def a_trainer(recipe=QUICK):
    torch.manual_seed(0)
    return Trainer(build_lite(TINY), recipe)


def test_one_image_is_learned_by_heart():
    trainer = a_trainer()
    for step in range(220):
        scores = trainer.step(a_batch(seed=step), rounds=1 + step % 3, progress=step / 300)
    assert scores.box > 0.95
    assert scores.click_best > 0.95
    # The averaged weights know it too, through the public interface.
    model = trainer.averaged
    batch = a_batch(seed=999)
    with torch.no_grad():
        image = model.preprocess(batch.images[:1].float())
        logits, iou = model.decode(
            model.encode(image), boxes=torch.tensor([[[30.0, 34, 58, 60]]]), multimask=False
        )
    found = torch.nn.functional.interpolate(logits, scale_factor=2, mode="bilinear")[0, 0] > 0
    truth = batch.labels[0, 1] == 2
    assert (found & truth).sum() / (found | truth).sum() > 0.85
    assert iou.item() > 0.7


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


def test_resuming_gives_the_weights_of_a_run_without_a_break(tmp_path):
    def go(trainer, steps):
        for step in steps:
            torch.manual_seed(step)
            trainer.step(a_batch(seed=step), rounds=2, progress=step / 10)

    whole = a_trainer()
    go(whole, range(6))
    first = a_trainer()
    go(first, range(3))
    save_checkpoint(tmp_path / "checkpoint.pt", first, 12.5)
    second = Trainer(build_lite(TINY), QUICK)
    assert load_checkpoint(tmp_path / "checkpoint.pt", second) == 12.5
    assert (second.steps, second.images) == (3, 6)
    go(second, range(3, 6))
    for expected, got in ((whole.model, second.model), (whole.averaged, second.averaged)):
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(got.state_dict()[name], value, rtol=0, atol=0)


def test_the_averaged_weights_follow_the_formula():
    trainer = a_trainer()
    name = "mask_decoder.mask_bias"
    average = trainer.model.state_dict()[name].clone()
    for step in range(1, 4):
        trainer.step(a_batch(), rounds=1, progress=0)
        decay = min(QUICK.ema, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * trainer.model.state_dict()[name]
    torch.testing.assert_close(trainer.averaged.state_dict()[name], average)


def test_the_learning_rate_rises_and_falls():
    trainer = a_trainer(replace(QUICK, warm_up=10, learning_rate=1.0))
    trainer.steps = 4
    assert trainer.learning_rate(0.0) == pytest.approx(0.5)
    trainer.steps = 100
    for progress in (0, 0.25, 0.5, 1.0):
        expected = 0.03 + 0.97 * (1 + math.cos(math.pi * progress)) / 2
        assert trainer.learning_rate(progress) == pytest.approx(expected)


def test_a_loss_that_is_not_a_number_stops_and_leaves_the_weights():
    trainer = a_trainer()
    trainer.step(a_batch(), rounds=1, progress=0)
    good = {name: value.clone() for name, value in trainer.averaged.state_dict().items()}
    with torch.no_grad():
        trainer.model.mask_decoder.mask_bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="nan at step 1"):
        trainer.step(a_batch(), rounds=1, progress=0)
    for name, value in trainer.averaged.state_dict().items():
        torch.testing.assert_close(value, good[name], rtol=0, atol=0)


def test_the_recipe_in_the_package_is_read_and_its_stages_follow_the_progress(tmp_path):
    path = Path(recipe_module.__file__).parent / "recipes" / "lite.toml"
    recipe = read_recipe(path)
    assert recipe.stage_at(0.0)[1] == 128
    assert recipe.stage_at(0.99)[1] == 256
    assert recipe.stage_at(5.0)[1] == 256
    assert sum(recipe.real_weights.values()) == pytest.approx(1)
    (tmp_path / "wrong.toml").write_text("learning_rat = 1\n")
    with pytest.raises(ValueError, match="learning_rat"):
        read_recipe(tmp_path / "wrong.toml")
