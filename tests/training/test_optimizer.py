"""Layer-wise decay, weight decay and schedules against numbers computed by hand."""

import math

import pytest

from sam_plugins.training.optimizer import (
    OptimizerSettings,
    build_optimizer,
    depth_of,
    learning_rate_factor,
    parameter_groups,
    set_learning_rate,
)
from tests.training.tiny import tiny_model


def test_the_papers_schedule():
    settings = OptimizerSettings()
    factor = lambda step: learning_rate_factor(settings, step=step, steps=90_000)  # noqa: E731
    assert factor(0) == pytest.approx(1 / 250)
    assert factor(124) == pytest.approx(0.5)
    assert factor(249) == factor(59_999) == 1
    assert factor(60_000) == factor(86_665) == pytest.approx(0.1)
    assert factor(86_666) == factor(89_999) == pytest.approx(0.01)


@pytest.mark.parametrize("step", [0, 10, 50, 99, 100])
def test_the_cosine(step):
    settings = OptimizerSettings(warm_up=0, decay="cosine", least=0.1)
    expected = 0.1 + 0.9 * (1 + math.cos(math.pi * step / 100)) / 2
    assert learning_rate_factor(settings, step=step, steps=100) == pytest.approx(expected)


def test_deeper_weights_learn_faster():
    settings = OptimizerSettings(layer_decay=0.5, learning_rate=1.0, warm_up=0)
    model = tiny_model()  # two blocks: depths 0 to 3
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {
        names[id(p)]: group["scale"]
        for group in parameter_groups(model, settings)
        for p in group["params"]
    }
    assert rates["image_encoder.patch_embed.proj.weight"] == 0.5**3
    assert rates["image_encoder.pos_embed"] == 0.5**3
    assert rates["image_encoder.blocks.0.attn.qkv.weight"] == 0.5**2
    assert rates["image_encoder.blocks.1.mlp.lin1.weight"] == 0.5
    assert rates["image_encoder.neck.0.weight"] == 1
    assert rates["mask_decoder.iou_token.weight"] == 1
    assert set(rates) == {name for name, _ in model.named_parameters()}
    assert depth_of("model.image_encoder.blocks.11.norm1.weight", 12) == 12


def test_biases_norms_and_positions_have_no_weight_decay():
    model = tiny_model()
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, OptimizerSettings(weight_decay=0.3))
    decays = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    assert decays["image_encoder.blocks.0.attn.qkv.weight"] == 0.3
    for name in ("blocks.0.attn.qkv.bias", "blocks.0.norm1.weight", "pos_embed"):
        assert decays[f"image_encoder.{name}"] == 0
    assert decays["image_encoder.blocks.0.attn.rel_pos_h"] == 0


def test_frozen_weights_are_left_out_and_rates_are_set():
    model = tiny_model()
    model.image_encoder.requires_grad_(False)
    settings = OptimizerSettings(learning_rate=2.0, warm_up=4)
    optimizer = build_optimizer(model, settings)
    held = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    rest = sum(p.numel() for name, p in model.named_parameters() if "image_encoder" not in name)
    assert held == rest
    assert set_learning_rate(optimizer, settings, step=1, steps=100) == pytest.approx(1.0)
    assert {group["lr"] for group in optimizer.param_groups} == {1.0}
