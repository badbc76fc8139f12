"""Stochastic depth for the image encoder, as hooks: the model itself knows nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn


@contextmanager
def drop_path(
    encoder: nn.Module, rate: float, *, generator: torch.Generator | None = None
) -> Iterator[None]:
    """Skip branches of the encoder's blocks at random, deeper ones more often.

    Parameters
    ----------
    encoder : nn.Module
        With ``blocks``, each with the residual branches ``attn`` and ``mlp``.
    rate : float
        How often the last block's branches are skipped; it rises linearly from 0 at the first
        block (paper, §A: 0.4 for ViT-H).
    generator : torch.Generator, optional
        On the CPU; by default the global one of the images' device.

    Yields
    ------
    None
        While the encoder is in training mode inside of the block, branches are skipped for whole
        images, and those that are kept are enlarged, so that the expected sum stays the same.

    Raises
    ------
    ValueError
        If the rate is not in [0, 1), or the encoder has no such blocks.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"the rate of drop path must lie in [0, 1), got {rate}")
    blocks = list(getattr(encoder, "blocks", ())) if rate else []
    if rate and not (blocks and all(hasattr(block, "attn") for block in blocks)):
        raise ValueError(f"a {type(encoder).__name__} has no blocks to skip: set drop path to 0")
    kept: dict[nn.Module, Tensor] = {}
    handles = []
    if blocks:
        draw = partial(_draw, blocks, rate, generator, kept)
        handles.append(encoder.register_forward_pre_hook(draw))
    for block in blocks:
        handles += [
            branch.register_forward_hook(partial(_scale, kept))
            for branch in (block.attn, block.mlp)
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _draw(
    blocks: list[nn.Module],
    rate: float,
    generator: torch.Generator | None,
    kept: dict[nn.Module, Tensor],
    encoder: nn.Module,
    inputs: tuple[Tensor, ...],
) -> None:
    """Draw once an image which branches are kept: a block may see it in several pieces."""
    kept.clear()
    if not encoder.training:
        return
    images = inputs[0]
    device = images.device if generator is None else torch.device("cpu")
    for index, block in enumerate(blocks):
        keep = 1 - rate * index / max(1, len(blocks) - 1)
        for branch in (block.attn, block.mlp):
            mask = torch.rand(len(images), generator=generator, device=device) < keep
            kept[branch] = (mask / keep).to(images.device)  # type: ignore[index]


def _scale(
    kept: dict[nn.Module, Tensor], branch: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> Tensor:
    factor = kept.get(branch)
    if factor is None:
        return output
    return output * factor.to(output.dtype).view(-1, *[1] * (output.ndim - 1))
