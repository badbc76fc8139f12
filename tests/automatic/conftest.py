"""A small model whose masks are few pixels each, and the settings with which all are found."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from sam_plugins import Predictor
from sam_plugins.automatic import AutomaticSettings


@pytest.fixture(scope="session")
def blob_sam(tiny_sam):
    """`tiny_sam`, with the threshold raised and its upscaling smooth, so that masks are blobs.

    Masks of the random model are noise over half of the image: their boxes are all the same, so
    that nearly all would be dropped as duplicates. Logits lie within 0.5 of 0, predicted IoUs
    between -0.3 and 0.5.
    """
    model = copy.deepcopy(tiny_sam)
    with torch.no_grad():
        for index in (0, 3):
            kernel = model.mask_decoder.output_upscaling[index].weight
            kernel.copy_(2 * kernel.mean((2, 3), keepdim=True).expand_as(kernel))
        for head in model.mask_decoder.output_hypernetworks_mlps:
            head.layers[-1].weight *= 3
        model.mask_decoder.iou_prediction_head.layers[-1].weight *= 5
    model.mask_threshold = 0.1
    return model


@pytest.fixture(scope="session")
def predictor(blob_sam):
    return Predictor(blob_sam, device="cpu", precision="float32")


@pytest.fixture(scope="session")
def image():
    """Random colours that change slowly: (90, 120, 3), uint8."""
    coarse = torch.from_numpy(np.random.default_rng(0).random((1, 3, 5, 6)))
    smooth = functional.interpolate(coarse, (90, 120), mode="bilinear")[0]
    return (smooth.permute(1, 2, 0).numpy() * 255).astype(np.uint8)


@pytest.fixture(scope="session")
def everything():
    """Settings that keep every candidate that is not a duplicate."""
    return AutomaticSettings(
        points_per_side=4,
        pred_iou_thresh=-10,
        stability_score_thresh=0,
        stability_score_offset=0.02,
        crop_n_points_downscale_factor=2,
    )
