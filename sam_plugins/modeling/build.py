"""From a configuration to a model with random weights."""

from __future__ import annotations

from torch import nn

from sam_plugins.modeling.configs import CONFIGS, LiteConfig, SamConfig, TinyViTConfig
from sam_plugins.modeling.image_encoder import ImageEncoderViT
from sam_plugins.modeling.mask_decoder import MaskDecoder
from sam_plugins.modeling.prompt_encoder import PromptEncoder
from sam_plugins.modeling.sam import Sam
from sam_plugins.modeling.two_way_transformer import TwoWayTransformer

# Paper, §A: two layers, 8 heads, MLPs of 2048.
DECODER_DEPTH = 2
DECODER_HEADS = 8
DECODER_MLP_DIM = 2048


def build_sam(config: str | SamConfig) -> Sam:
    """Build a model with random weights, in evaluation mode.

    Parameters
    ----------
    config : str or SamConfig
        A name in `CONFIGS`, or a configuration of your own.

    Returns
    -------
    Sam

    Raises
    ------
    ValueError
        If there is no configuration of that name.
    """
    if isinstance(config, str):
        if config not in CONFIGS:
            raise ValueError(f"unknown model {config!r}: use one of {', '.join(CONFIGS)}")
        config = CONFIGS[config]
    if isinstance(config.encoder, LiteConfig):
        from sam_plugins.modeling.lite import build_lite

        return build_lite(config).eval()
    image_encoder: nn.Module
    if isinstance(config.encoder, TinyViTConfig):
        from sam_plugins.modeling.tiny_vit import TinyViT

        image_encoder = TinyViT(config.encoder, img_size=config.frame_size)
    else:
        image_encoder = ImageEncoderViT(config.encoder, img_size=config.frame_size)
    width = config.encoder.out_channels
    grid = config.frame_size // config.encoder.patch_size
    frame = (config.frame_size, config.frame_size)
    transformer = TwoWayTransformer(DECODER_DEPTH, width, DECODER_HEADS, DECODER_MLP_DIM)
    model = Sam(
        config,
        image_encoder,
        PromptEncoder(width, (grid, grid), frame),
        MaskDecoder(transformer_dim=width, transformer=transformer),
    )
    return model.eval()
