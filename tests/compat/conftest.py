"""The reference and ours with the same weights, such that automatic masks are many and diverse."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from scipy import ndimage
from segment_anything import SamPredictor as ReferencePredictor
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch.nn import functional

from sam_plugins.modeling import build_sam
from sam_plugins.modeling.configs import CONFIGS

# (width, heads) of two blocks of each encoder, one of them global.
TWO_BLOCKS = {"vit_b": (768, 12), "vit_l": (1024, 16), "vit_h": (1280, 16)}
WITH_AUTOMATIC_MASKS = ("vit_b", "vit_h")


def build_reference(dim: int, heads: int, depth: int, global_attention: tuple[int, ...]) -> Sam:
    """Build the reference as its own builder does, which has no name for other depths."""
    return Sam(
        image_encoder=ImageEncoderViT(
            depth=depth,
            embed_dim=dim,
            img_size=1024,
            mlp_ratio=4,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            num_heads=heads,
            patch_size=16,
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=global_attention,
            window_size=14,
            out_chans=256,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=256,
            image_embedding_size=(64, 64),
            input_image_size=(1024, 1024),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8),
            transformer_dim=256,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )


def smooth_image(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Random colours that change slowly: (H, W, 3), uint8."""
    coarse = np.random.default_rng(seed).random((5, 7, 3))
    zoom = (size[0] / 5, size[1] / 7, 1)
    return (ndimage.zoom(coarse, zoom, order=1) * 255).astype(np.uint8)


@torch.no_grad()
def make_selective(model: Sam, image: np.ndarray) -> None:
    """Shift and scale the outputs, so that default thresholds keep some masks and drop others.

    Masks of a random decoder are noise over half the image, with predicted IoUs of about 0. Here
    positions and upscaling are made smooth, so that masks are blobs; and one channel of the
    upscaled embedding is made constant, which takes a constant from all logits, so that the blobs
    are few and their boxes different.
    """
    positions = model.image_encoder.pos_embed
    coarse = positions[:, ::13, ::13].permute(0, 3, 1, 2)
    positions.copy_(functional.interpolate(coarse, (64, 64), mode="bicubic").permute(0, 2, 3, 1))
    for index in (0, 3):
        kernel = model.mask_decoder.output_upscaling[index].weight
        kernel.copy_(2 * kernel.mean((2, 3), keepdim=True).expand_as(kernel))
    predictor = ReferencePredictor(model)
    predictor.set_image(image)
    ticks = (np.arange(6) + 0.5) / 6 * 1024
    points = torch.as_tensor(np.stack(np.meshgrid(ticks, ticks * 0.8), -1).reshape(-1, 1, 2))
    labels = torch.ones(len(points), 1)
    _, iou, _ = predictor.predict_torch(points, labels)
    decoder = model.mask_decoder
    decoder.iou_prediction_head.layers[-1].bias += 0.88 - iou.flatten().quantile(0.3)
    upscaling = decoder.output_upscaling[3]
    upscaling.weight[:, 0] = 0
    upscaling.bias[0] = 20.0  # GELU leaves it as it is
    last = [mlp.layers[-1] for mlp in decoder.output_hypernetworks_mlps]
    for layer in last:
        layer.weight[0], layer.bias[0] = 0, 0
    inside = slice(0, round(256 * image.shape[0] / max(image.shape[:2])))
    logits = predictor.predict_torch(points, labels)[2][:, :, inside]
    for layer, high in zip(last[1:], logits.transpose(0, 1).flatten(1), strict=True):
        values = high[::17]
        layer.bias[0] = -values.quantile(0.98) / 20
        scale = 400 / values.std()
        layer.weight *= scale
        layer.bias *= scale


@pytest.fixture(scope="session")
def make_pair(randomize):
    """Makes a pair by its name, each once."""

    @cache
    def make(name):
        of_blocks = name.removeprefix("whole ")
        encoder = CONFIGS[of_blocks].encoder
        dim, heads = TWO_BLOCKS[of_blocks]
        depth, blocks = (2, (1,)) if name == of_blocks else (12, (2, 5, 8, 11))
        reference = randomize(build_reference(dim, heads, depth, blocks))
        if name in WITH_AUTOMATIC_MASKS:
            make_selective(reference, smooth_image(0, (240, 300)))
        ours = build_sam(
            replace(
                CONFIGS[of_blocks],
                encoder=replace(encoder, depth=depth, global_attention=blocks),
            )
        )
        ours.load_state_dict(reference.state_dict())
        return reference.eval(), ours.eval()

    return make


@pytest.fixture(params=["whole vit_b", "vit_b", "vit_l", "vit_h"])
def pair(request, make_pair):
    """The reference and ours, with the same weights."""
    return make_pair(request.param)
