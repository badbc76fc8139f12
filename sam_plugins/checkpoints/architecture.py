"""Recognising a model's architecture from the names and shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from sam_plugins.errors import CheckpointError
from sam_plugins.modeling.configs import CONFIGS, SamConfig, ViTConfig

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = re.compile(r"image_encoder\.blocks\.(\d+)\.")
# A weight that only one of the architectures has.
_TINY_VIT_WEIGHT = "image_encoder.patch_embed.seq.0.c.weight"
_LITE_WEIGHT = "mask_decoder.mask_bias"
_VIT_WEIGHT = "image_encoder.patch_embed.proj.weight"


def recognise(state: Mapping[str, Tensor]) -> SamConfig:
    """Find the configuration that a state dict with the official names was made for.

    Parameters
    ----------
    state : mapping of str to Tensor
        The complete model's weights; only their shapes are looked at.

    Returns
    -------
    SamConfig
        One of `CONFIGS` where it fits, with the stored frame size; else a configuration of its
        own, for instance for a ViT with fewer blocks.

    Raises
    ------
    CheckpointError
        If it is none of the architectures of this project.

    Notes
    -----
    TinyViT and ``lite`` keep no trace of their frame's size in the weights; theirs is the usual.
    """
    if _TINY_VIT_WEIGHT in state:
        return CONFIGS["vit_t"]
    if _LITE_WEIGHT in state:
        return CONFIGS["lite"]
    if _VIT_WEIGHT in state:
        return _recognise_vit(state)
    raise CheckpointError(
        "its image encoder is of an unknown architecture: this project knows "
        f"{', '.join(CONFIGS)} and their variants"
    )


def _recognise_vit(state: Mapping[str, Tensor]) -> SamConfig:
    try:
        encoder, frame_size = _vit_from_shapes(state)
        for config in CONFIGS.values():
            if config.encoder == encoder:
                return replace(config, frame_size=frame_size)
        name = f"vit_{encoder.embed_dim}x{encoder.depth}"
        return SamConfig(name, encoder, frame_size=frame_size)
    except KeyError as error:
        raise CheckpointError(f"its image encoder lacks {error.args[0]}") from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"its image encoder's shapes make no ViT: {error}") from error


def _vit_from_shapes(state: Mapping[str, Tensor]) -> tuple[ViTConfig, int]:
    embed_dim, _, patch_size, _ = state[_VIT_WEIGHT].shape
    _, grid, columns, _ = state["image_encoder.pos_embed"].shape
    if grid != columns:
        raise ValueError(f"positions for {grid} x {columns} patches, which is no square")
    depth = 1 + max(int(match[1]) for name in state if (match := _BLOCK.match(name)))
    # Relative positions: 2 n - 1 of them for n tokens along an axis, of one head's width.
    tables = [state[f"image_encoder.blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    sides = [(length + 1) // 2 for length, _ in tables]
    windows = [side for side in sides if side != grid]
    encoder = ViTConfig(
        embed_dim=embed_dim,
        depth=depth,
        num_heads=embed_dim // tables[0][1],
        global_attention=tuple(i for i, side in enumerate(sides) if side == grid),
        patch_size=patch_size,
        window_size=windows[0] if windows else ViTConfig.window_size,
        mlp_ratio=state["image_encoder.blocks.0.mlp.lin1.weight"].shape[0] / embed_dim,
        out_channels=state["image_encoder.neck.0.weight"].shape[0],
    )
    return encoder, grid * patch_size
