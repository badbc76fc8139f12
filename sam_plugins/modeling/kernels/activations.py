"""Activations in place."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.cpu import WORTHWHILE, runs_eagerly_on_cpu
from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels.layers import array
from sam_plugins.threads import share

# Numbers that a thread takes at once.
AT_ONCE = 2**16


def own_gelu(x: Tensor) -> Tensor:
    """GELU of a tensor that is not needed any more: on a CPU its memory is used again.

    Parameters
    ----------
    x : Tensor
        Of any shape; may be changed.

    Returns
    -------
    Tensor of the same shape
    """
    if not runs_eagerly_on_cpu(x):
        return functional.gelu(x)
    numbers = _numbers(x)
    if numbers is None:
        return torch.ops.aten.gelu_(x)
    from sam_plugins.modeling.kernels._elementwise import replace_by_gelu

    flat = array(numbers)

    def work(starts: Iterator[int]) -> None:
        for start in starts:
            replace_by_gelu(flat[start : start + AT_ONCE])

    share(range(0, len(flat), AT_ONCE), work)
    return x


def _numbers(x: Tensor) -> Tensor | None:
    """All numbers of a tensor in the order of its memory, if kernels are to go through them."""
    if x.numel() < WORTHWHILE or not processor.takes(x):
        return None
    if x.is_contiguous():
        return x.view(-1)
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).reshape(-1)
    return None
