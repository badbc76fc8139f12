"""What a model is made of, as data: one frozen configuration a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar


@dataclass(frozen=True)
class ViTConfig:
    """SAM's image encoder: a plain vision transformer with windowed and global attention.

    Parameters
    ----------
    embed_dim : int
        Width of the tokens.
    depth : int
        Number of blocks.
    num_heads : int
        Attention heads a block.
    global_attention : tuple of int
        Blocks with global attention; all others attend in windows.
    patch_size : int
        Frame pixels to a token along each axis.
    window_size : int
        Tokens to a window along each axis.
    mlp_ratio : float
        Hidden width of a block's MLP, in multiples of ``embed_dim``.
    out_channels : int
        Channels of the image embedding.
    """

    kind: ClassVar[str] = "vit"

    embed_dim: int
    depth: int
    num_heads: int
    global_attention: tuple[int, ...]
    patch_size: int = 16
    window_size: int = 14
    mlp_ratio: float = 4.0
    out_channels: int = 256


@dataclass(frozen=True)
class TinyViTConfig:
    """MobileSAM's image encoder: a TinyViT with four stages.

    Parameters
    ----------
    embed_dims : tuple of int
        Width of each stage.
    depths : tuple of int
        Blocks of each stage.
    num_heads : tuple of int
        Attention heads of each stage; the first stage is convolutional.
    window_sizes : tuple of int
        Tokens to a window along each axis, for each stage.
    num_classes : int
        Outputs of the classification head, which is never run but is in the official file.
    out_channels : int
        Channels of the image embedding.
    """

    kind: ClassVar[str] = "tiny_vit"

    embed_dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    num_classes: int = 1000
    out_channels: int = 256

    @property
    def patch_size(self) -> int:
        """Frame pixels to a token of the image embedding along each axis."""
        return 16


@dataclass(frozen=True)
class LiteConfig:
    """The small model trained by this project: convolutions, attention at the coarsest stride.

    Parameters
    ----------
    channels : tuple of int
        Channels at the strides 2, 4, 8, 16 and 32.
    blocks : tuple of int
        Blocks at the strides 4, 8, 16 (convolutional) and 32 (attention).
    embed_dim : int
        Channels of the image embedding, at stride 16, and width of the decoder's tokens.
    fine_channels : tuple of int
        Channels of the maps at the strides 8, 4 and 2 that the mask decoder adds.
    decoder_depth : int
        Layers of the two-way transformer.
    decoder_heads : int
        Attention heads of the two-way transformer.
    decoder_mlp_dim : int
        Hidden width of its MLPs.
    levels : int
        Sizes at which a frame is encoded, each half of the one before: the coarser ones are for
        objects that are large in the frame.
    """

    kind: ClassVar[str] = "lite"

    channels: tuple[int, ...] = (16, 32, 64, 128, 192)
    blocks: tuple[int, ...] = (1, 1, 2, 2)
    embed_dim: int = 128
    fine_channels: tuple[int, ...] = (64, 32, 8)
    decoder_depth: int = 2
    decoder_heads: int = 4
    decoder_mlp_dim: int = 256
    levels: int = 2

    @property
    def patch_size(self) -> int:
        """The frame's sides must be multiples of it: the coarsest stride of the coarsest level."""
        return 32 * 2 ** (self.levels - 1)


@dataclass(frozen=True)
class SamConfig:
    """A whole model.

    Parameters
    ----------
    name : str
        What it is called.
    encoder : ViTConfig, TinyViTConfig or LiteConfig
        The image encoder; a LiteConfig brings its own small decoder.
    frame_size : int
        Side of the square input frame, in pixels; a multiple of the encoder's patch.
    pred_iou_thresh : float
        Predicted IoU above which automatic masks are kept by default.
    stability_score_thresh : float
        Stability score that automatic masks must reach by default.

    Raises
    ------
    ValueError
        If the frame is not a multiple of the patch.
    """

    name: str
    encoder: ViTConfig | TinyViTConfig | LiteConfig
    frame_size: int = 1024
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95

    @property
    def kind(self) -> str:
        """Family of the image encoder: ``"vit"``, ``"tiny_vit"`` or ``"lite"``."""
        return self.encoder.kind

    def __post_init__(self) -> None:
        patch = self.encoder.patch_size
        if self.frame_size < patch or self.frame_size % patch:
            raise ValueError(f"frame_size must be a multiple of {patch}, got {self.frame_size}")


# Widths, depths and global blocks: paper, §A, and the released weights.
CONFIGS: Mapping[str, SamConfig] = MappingProxyType(
    {
        config.name: config
        for config in (
            SamConfig("vit_b", ViTConfig(768, 12, 12, (2, 5, 8, 11))),
            SamConfig("vit_l", ViTConfig(1024, 24, 16, (5, 11, 17, 23))),
            SamConfig("vit_h", ViTConfig(1280, 32, 16, (7, 15, 23, 31))),
            SamConfig("vit_t", TinyViTConfig()),
            # Thresholds: measured with sam_plugins.evaluation.thresholds, see the model card.
            SamConfig(
                "lite",
                LiteConfig(),
                frame_size=512,
                pred_iou_thresh=0.5,
                stability_score_thresh=0.8,
            ),
        )
    }
)
