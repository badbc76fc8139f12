"""The IoU head learns on alone, and that background is no object."""

import itertools

import numpy as np
import pytest
import torch

from sam_plugins.modeling.configs import LiteConfig, SamConfig
from sam_plugins.modeling.lite import build_lite
from sam_plugins.training.calibration import MARGIN, background_clicks, calibrate, iou_error
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


def a_batch():
    rng = np.random.default_rng(0)
    labels = np.zeros((2, 3, 64, 64), dtype=np.int32)
    labels[:, 1, 8:30, 6:28] = 1
    labels[:, 2, 12:24, 10:22] = 1
    table = torch.from_numpy(np.stack([pick_objects(rng, each, 3, (0, 1, 1)) for each in labels]))
    return Batch(
        images=torch.from_numpy((60 + 90 * labels[:, 1:2]).astype(np.uint8)).repeat(1, 3, 1, 1),
        labels=torch.from_numpy(labels),
        levels=table[..., 0].long(),
        ids=table[..., 1].long(),
        clicks=table[..., 2:4],
        boxes=table[..., 4:],
    )


def test_background_clicks_keep_their_distance():
    torch.manual_seed(0)
    labels = a_batch().labels
    points, valid = background_clicks(labels, 300)
    assert points.shape == (600, 1, 2)
    assert valid.all()
    x, y = points[:, 0].unbind(-1)
    inside = (x > 5 - MARGIN) & (x < 28 + MARGIN) & (y > 7 - MARGIN) & (y < 30 + MARGIN)
    assert not inside.any()
    assert (x.max(), y.max()) > (55, 55)


def test_an_image_without_background_does_not_count():
    labels = a_batch().labels
    labels[1, 0] = 1
    points, valid = background_clicks(labels, 4)
    assert valid.tolist() == [True] * 4 + [False] * 4
    assert points.shape == (8, 1, 2)


def test_only_the_head_learns_and_background_becomes_unlikely():
    torch.manual_seed(0)
    model = build_lite(TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    stream = itertools.repeat(a_batch())
    first = iou_error(model.eval(), a_batch())[1]
    calibrate(model, stream, most_steps=120)
    last = iou_error(model, a_batch())[1]
    assert last[1] < 0.5 * first[1]
    assert last.sum() < first.sum()
    changed = {
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed
    assert all(
        name.startswith(("mask_decoder.iou_prediction_head.", "mask_decoder.iou_from_mask."))
        for name in changed
    )
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_error_that_is_not_a_number_stops():
    model = build_lite(TINY)
    with torch.no_grad():
        model.mask_decoder.iou_from_mask.layers[0].weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="step 0"):
        calibrate(model, itertools.repeat(a_batch()), most_steps=5)
