"""A ViT-B of three blocks against Hugging Face's implementation, on the same weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import SamConfig, SamModel

from sam_plugins.checkpoints.renaming import to_hugging_face
from sam_plugins.modeling import CONFIGS, build_sam


@pytest.fixture(scope="module")
def models(randomize):
    config = CONFIGS["vit_b"]
    encoder = replace(config.encoder, depth=3, global_attention=(2,))
    ours = randomize(build_sam(replace(config, encoder=encoder)), seed=4)
    shallow = {"num_hidden_layers": 3, "global_attn_indexes": [2]}
    theirs = SamModel(SamConfig(vision_config=shallow)).eval()
    theirs.load_state_dict(to_hugging_face(ours.state_dict()))
    return ours, theirs


@pytest.mark.slow
def test_masks_and_ious_from_pixels(models, relative_error):
    ours, theirs = models
    pixels = torch.randn(1, 3, 1024, 1024, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[[300.0, 400.0], [900.0, 100.0]], [[20.0, 30.0], [512.0, 512.0]]])
    labels = torch.tensor([[1, 0], [1, 1]])
    with torch.no_grad():
        features = ours.encode(pixels)
        embedding = theirs.get_image_embeddings(pixels)
        assert relative_error(features[0], embedding) <= 1e-4
        for multimask in (True, False):
            logits, iou = ours.decode(features, points=points, labels=labels, multimask=multimask)
            expected = theirs(
                image_embeddings=embedding,
                input_points=points[None],
                input_labels=labels[None],
                multimask_output=multimask,
            )
            assert relative_error(logits, expected.pred_masks[0]) <= 1e-4
            assert relative_error(iou, expected.iou_scores[0]) <= 1e-4
            assert ((logits > 0) != (expected.pred_masks[0] > 0)).float().mean() < 1e-4
