"""From a masked autoencoder (MAE) to SAM's image encoder, as SAM's own training began.

The names are renamed by `sam_plugins.checkpoints.renaming.MAE`; here the shapes are fitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.checkpoints.renaming import MAE
from sam_plugins.errors import CheckpointError

if TYPE_CHECKING:
    from sam_plugins.modeling.configs import ViTConfig

# Parts of an MAE that SAM's encoder does not have: class token, decoder, final norm, classifier.
_LEFT_OUT = re.compile(r"(cls_token|mask_token|decoder_.*|norm\..*|fc_norm\..*|head\..*)")


def mae_to_image_encoder(
    state: Mapping[str, Tensor], encoder: ViTConfig, *, frame_size: int = 1024
) -> dict[str, Tensor]:
    """Turn an MAE's encoder into SAM's, but for the neck, which an MAE does not have.

    Parameters
    ----------
    state : mapping of str to Tensor
        The MAE's state dict, with positions of shape (1, 1 + n * n, D) and a patch kernel of shape
        (D, 3, p, p); a decoder or a classifier in it is left out.
    encoder : ViTConfig
        The image encoder to fill. Width and depth must be the MAE's; the patch may differ
        (the public ViT-H was trained with patches of 14 pixels, SAM has 16).
    frame_size : int
        Side of the frame, in pixels.

    Returns
    -------
    dict of str to Tensor
        Names begin with ``image_encoder.``. The class token's position is dropped and the others
        are resized bicubically to the frame's grid; relative positions are zero, as at the
        beginning of ViTDet's training (arXiv 2203.16527, §3), so that they change nothing yet.

    Raises
    ------
    CheckpointError
        If the width or the depth is another one, or a name is unknown.
    """
    grid = frame_size // encoder.patch_size
    filled: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if _LEFT_OUT.fullmatch(name):
            continue
        official = MAE.to_official(name)
        if official is None:
            raise CheckpointError(f"a masked autoencoder has no weights named {name!r}")
        filled[official] = tensor
    depth = len({name.split(".")[2] for name in filled if ".blocks." in name})
    kernel = filled["image_encoder.patch_embed.proj.weight"]
    if (depth, len(kernel)) != (encoder.depth, encoder.embed_dim):
        raise CheckpointError(
            f"the masked autoencoder has {depth} blocks of width {len(kernel)}, but the image "
            f"encoder {encoder.depth} of width {encoder.embed_dim}"
        )
    filled["image_encoder.patch_embed.proj.weight"] = resize_patch_kernel(
        kernel, encoder.patch_size
    )
    filled["image_encoder.pos_embed"] = resize_positions(filled["image_encoder.pos_embed"], grid)
    head_dim = encoder.embed_dim // encoder.num_heads
    for block in range(depth):
        side = grid if block in encoder.global_attention else encoder.window_size
        for axis in ("rel_pos_h", "rel_pos_w"):
            name = f"image_encoder.blocks.{block}.attn.{axis}"
            filled[name] = torch.zeros(2 * side - 1, head_dim)
    return filled


def resize_positions(positions: Tensor, grid: int) -> Tensor:
    """Drop the class token's position and resize the others to a grid.

    Parameters
    ----------
    positions : Tensor of shape (1, 1 + n * n, D)
        The class token's position first, then those of n rows of n patches.
    grid : int
        Patches along each side.

    Returns
    -------
    Tensor of shape (1, grid, grid, D)

    Raises
    ------
    CheckpointError
        If the positions are not those of a square of patches.
    """
    patches = positions[:, 1:]  # (1, n * n, D)
    side = round(patches.shape[1] ** 0.5)
    if side * side != patches.shape[1]:
        raise CheckpointError(f"{patches.shape[1]} positions are not those of a square of patches")
    maps = patches.float().unflatten(1, (side, side)).permute(0, 3, 1, 2)  # (1, D, n, n)
    if side != grid:
        maps = functional.interpolate(maps, (grid, grid), mode="bicubic", align_corners=False)
    return maps.permute(0, 2, 3, 1).contiguous()  # (1, grid, grid, D)


def resize_patch_kernel(kernel: Tensor, patch_size: int) -> Tensor:
    """Resize the patch embedding's kernel so that it answers to resized patches as before.

    Parameters
    ----------
    kernel : Tensor of shape (D, 3, p, p)
        Of patches of p pixels.
    patch_size : int
        Side of the new patches, in pixels.

    Returns
    -------
    Tensor of shape (D, 3, patch_size, patch_size)

    Notes
    -----
    Resizing the kernel like an image would change the answers' scale. With R the matrix that
    resizes a patch bilinearly, the kernel k' with k' · (R x) = k · x for every patch x is
    pinv(R)^T k (FlexiViT, arXiv 2212.08013, §3.4): exact for larger patches, the least-squares
    fit for smaller ones.
    """
    old = kernel.shape[-1]
    if old == patch_size:
        return kernel
    unit = torch.eye(old * old, dtype=torch.float64).view(-1, 1, old, old)
    resized = functional.interpolate(
        unit, (patch_size, patch_size), mode="bilinear", align_corners=False
    )
    inverse = torch.linalg.pinv(resized.flatten(1).T)  # (p * p, patch_size ** 2)
    flat = kernel.double().flatten(2) @ inverse  # (D, 3, patch_size ** 2)
    return flat.unflatten(2, (patch_size, patch_size)).to(kernel.dtype)
