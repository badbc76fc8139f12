"""What has no weights to learn in a masked autoencoder: masks, positions, patches and the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# The longest wave of the positions, as of the transformer's (arXiv 1706.03762, §3.5).
LONGEST_WAVE = 10_000.0
# Keeps patches of one colour from a division by zero (the released code's value).
VARIANCE_EPS = 1e-6


def random_masks(generators: Sequence[torch.Generator], *, patches: int, visible: int) -> Tensor:
    """Choose the masked patches of each image, all choices being equally likely.

    Parameters
    ----------
    generators : sequence of torch.Generator
        One an image, on the CPU: an image's mask does not depend on the batch it is in. The same
        one several times gives different masks.
    patches : int
        Patches of an image.
    visible : int
        How many of them are not masked.

    Returns
    -------
    Tensor of shape (B, patches), bool
        True where masked; on the CPU.

    Examples
    --------
    >>> masks = random_masks([torch.Generator().manual_seed(0)] * 3, patches=196, visible=49)
    >>> masks.sum(dim=1).tolist()
    [147, 147, 147]
    """
    masks = torch.ones(len(generators), patches, dtype=torch.bool)  # (B, L)
    for mask, generator in zip(masks, generators, strict=True):
        mask[torch.randperm(patches, generator=generator)[:visible]] = False
    return masks


def positions(grid: int, dim: int) -> Tensor:
    """Compute fixed positional embeddings: sines and cosines of the column and of the row.

    Parameters
    ----------
    grid : int
        Patches along each side.
    dim : int
        Width of the tokens, a multiple of 4.

    Returns
    -------
    Tensor of shape (1, 1 + grid * grid, dim), float32
        Zeros for the class token, then the patches row by row. A quarter of the channels each is
        sin(x w), cos(x w), sin(y w) and cos(y w), the frequencies w falling from 1 to nearly
        1 / `LONGEST_WAVE`.
    """
    quarter = dim // 4
    # In double precision, as in the released files.
    frequencies = LONGEST_WAVE ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
    waves = torch.arange(grid, dtype=torch.float64)[:, None] * frequencies  # (grid, dim / 4)
    axis = torch.cat([waves.sin(), waves.cos()], dim=1)  # (grid, dim / 2)
    columns = axis.expand(grid, -1, -1)  # (grid, grid, dim / 2), the same in each row
    rows = columns.transpose(0, 1)  # (grid, grid, dim / 2)
    patches = torch.cat([columns, rows], dim=2).flatten(0, 1)  # (grid * grid, dim)
    return torch.cat([patches.new_zeros(1, dim), patches]).float()[None]


def patches_of(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches.

    Parameters
    ----------
    images : Tensor of shape (B, 3, S, S)
        S is a multiple of the patch.
    patch_size : int
        Pixels to a patch along each axis.

    Returns
    -------
    Tensor of shape (B, L, 3 * patch_size ** 2)
        Patches row by row; in a patch pixels row by row, and a pixel's three values together.
    """
    batch, channels, side, _ = images.shape
    grid = side // patch_size
    cut = images.reshape(batch, channels, grid, patch_size, grid, patch_size)
    return cut.permute(0, 2, 4, 3, 5, 1).reshape(batch, grid * grid, -1)  # (B, L, 3 * p * p)


def reconstruction_loss(predicted: Tensor, patches: Tensor, masked: Tensor) -> Tensor:
    """Compare masked patches with what was predicted for them.

    Parameters
    ----------
    predicted : Tensor of shape (B, L, N)
        For all patches.
    patches : Tensor of shape (B, L, N)
        What was to be predicted, from `patches_of`.
    masked : Tensor of shape (B, L), bool
        Those that count; equally many of each image.

    Returns
    -------
    Tensor of shape (), float32
        Mean squared error over the masked patches' values, after each patch was brought to mean 0
        and variance 1, which gives better encoders than plain pixels (arXiv 2111.06377, §4.1).
    """
    wanted = patches[masked].float()  # (M, N)
    # torch's unbiased variance, as in the released code.
    variance, mean = torch.var_mean(wanted, dim=-1, keepdim=True)  # (M, 1) each
    wanted = (wanted - mean) / (variance + VARIANCE_EPS).sqrt()  # (M, N)
    return (predicted[masked].float() - wanted).square().mean()
