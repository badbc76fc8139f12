"""Layers as the kernels for bfloat16 take them, and an MLP by these."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from sam_plugins.modeling.cpu import Linear
from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels._memory import aligned, filled
from sam_plugins.modeling.kernels.layers import array, norm_parts
from sam_plugins.threads import default_threads, share

# Tokens that are taken through the layers at once, at most: 1.5 MB of ViT-B's hidden layer.
TOKENS = 256
# Panels of a weight that are cut at once.
PANELS = 16


def suits(x: Tensor, norm: nn.Module, first: nn.Module, second: nn.Module) -> bool:
    """Tell whether an MLP can be run by kernels, on a processor where they are the fastest.

    Parameters
    ----------
    x : Tensor of shape (..., D)
        Tokens.
    norm, first, second : nn.Module
        Its layers.

    Returns
    -------
    bool
    """
    if not processor.takes_bfloat16(x):
        return False
    from sam_plugins.modeling.kernels.bfloat16._blocks import STEP

    layers = (first, second)
    return (
        type(norm) is nn.LayerNorm
        and norm.weight.dtype == torch.float32
        and all(type(each) is Linear and each.weight.dtype == torch.float32 for each in layers)
        and not any(size % STEP for each in layers for size in each.weight.shape)  # type: ignore[union-attr]
    )


def padded(x: Tensor) -> np.ndarray:
    """Copy tokens, and zeros behind them up to whole blocks.

    Parameters
    ----------
    x : Tensor of shape (..., D)
        In float32 or bfloat16.

    Returns
    -------
    ndarray of shape (N, D), float32
    """
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK

    count, dim = x.numel() // x.shape[-1], x.shape[-1]
    out = aligned((filled(count, BLOCK), dim))
    torch.from_numpy(out[:count]).view(x.shape).copy_(x)
    out[count:] = 0
    return out


def project(x: np.ndarray, norm: nn.LayerNorm, layer: Linear, out: np.ndarray) -> None:
    """Normalise tokens, and give queries, keys and values.

    Parameters
    ----------
    x : ndarray of shape (N, D), float32
        Tokens, whole blocks.
    norm : nn.LayerNorm
    layer : Linear
        To C channels.
    out : ndarray of shape (C / SIDE, N, SIDE), uint16
        Receives them, SIDE channels after the other.
    """
    from sam_plugins.modeling.kernels.bfloat16 import _rows
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, SIDE, STEP

    of_norm, (weight, bias) = norm_parts(norm), layer_in_panels(layer)

    def work(parts: Iterator[tuple[int, int]]) -> None:
        normal = aligned((x.shape[1] // STEP, TOKENS, STEP), np.uint16)
        sums = aligned((2, BLOCK, SIDE))
        for first, last in parts:
            _rows.project(x, first, last, of_norm, weight, bias, out, normal, sums)

    share(token_parts(len(x)), work)


def with_mlp(x: Tensor, norm: nn.LayerNorm, first: Linear, second: Linear) -> Tensor:
    """Add their MLP to tokens.

    Parameters
    ----------
    x : Tensor of shape (..., D)
        Tokens.
    norm, first, second : nn.Module
        For which `suits` is true; with a GELU between the last two.

    Returns
    -------
    Tensor of the same shape
        In float32.
    """
    from sam_plugins.modeling.kernels.bfloat16 import _rows

    tokens, of_norm = padded(x), norm_parts(norm)
    mlp = (*layer_in_panels(first), *layer_in_panels(second))

    def work(parts: Iterator[tuple[int, int]]) -> None:
        scratch = mlp_scratch(x.shape[-1], len(mlp[1]))
        for start, end in parts:
            _rows.add_mlp(tokens, start, end, of_norm, mlp, scratch)

    share(token_parts(len(tokens)), work)
    return torch.from_numpy(tokens[: x.numel() // x.shape[-1]]).view(x.shape)


def mlp_scratch(dim: int, hidden: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Allocate what a thread needs for an MLP.

    Parameters
    ----------
    dim, hidden : int
        Widths.

    Returns
    -------
    normal : ndarray of shape (dim / STEP, TOKENS, STEP), uint16
    hidden : ndarray of shape (hidden / STEP, TOKENS, STEP), uint16
    block : ndarray of shape (2, BLOCK, SIDE), float32
    """
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK, SIDE, STEP

    return (
        aligned((dim // STEP, TOKENS, STEP), np.uint16),
        aligned((hidden // STEP, TOKENS, STEP), np.uint16),
        aligned((2, BLOCK, SIDE)),
    )


def token_parts(tokens: int) -> list[tuple[int, int]]:
    """Cut tokens into parts of up to `TOKENS`, whole blocks, about as many for each thread.

    Parameters
    ----------
    tokens : int
        How many there are, whole blocks.

    Returns
    -------
    list of tuple of int
        The first of each part, and the one after its last.
    """
    from sam_plugins.modeling.kernels.bfloat16._blocks import BLOCK

    blocks, threads, most = tokens // BLOCK, default_threads(), TOKENS // BLOCK
    count = min(blocks, threads * -(-blocks // (threads * most)))
    edges = [blocks * number // count * BLOCK for number in range(count + 1)]
    return list(pairwise(edges))


def layer_in_panels(layer: Linear) -> tuple[np.ndarray, np.ndarray]:
    """Give the weight of a layer in panels, and its bias.

    Parameters
    ----------
    layer : Linear

    Returns
    -------
    panels : ndarray of shape (out / SIDE, in / PAIR, SIDE), uint32
    bias : ndarray of shape (out,), float32
    """
    from sam_plugins.modeling.kernels.bfloat16._blocks import PAIR, SIDE
    from sam_plugins.modeling.kernels.bfloat16._numbers import pack

    weight = array(layer.weight)
    panels = aligned((len(weight) // SIDE, weight.shape[1] // PAIR, SIDE), np.uint32)

    def work(starts: Iterator[int]) -> None:
        for first in starts:
            pack(weight, first, min(len(panels), first + PANELS), panels)

    share(range(0, len(panels), PANELS), work)
    return panels, array(layer.bias)
