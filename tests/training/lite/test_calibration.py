"""The IoU head learns on alone, and that background is no object."""

from dataclasses import replace

import torch

from sam_plugins.modeling.lite import build_lite
from sam_plugins.training.lite.calibration import CalibrationObjective, iou_error
from sam_plugins.training.lite.recipe import Part
from sam_plugins.training.loop import Run
from tests.training.lite.easy import TINY, a_batch, batches


def test_only_the_head_learns_and_background_becomes_unlikely(tmp_path):
    torch.manual_seed(0)
    model = build_lite(TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = iou_error(model.eval(), a_batch())[1]
    part = Part("calibration", 120, kind="calibration", warm_up=20, learning_rate=1e-3)
    settings = replace(part.loop_settings(), ema=None)
    run = Run(CalibrationObjective(model), part.optimizer_settings(), settings, tmp_path)
    run.go(batches)
    last = iou_error(model.eval(), a_batch())[1]
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
