"""Layers as the kernels take them, and an MLP by these."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from sam_plugins.modeling.cpu import Linear
from sam_plugins.modeling.kernels import processor
from sam_plugins.modeling.kernels._memory import aligned
from sam_plugins.threads import default_threads, share

# Tokens that are taken through the layers at once, at most: 3 MB of ViT-B's hidden layer; and at
# least, unless there are fewer.
TOKENS, FEWEST = 192, 32
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
    if not processor.takes(x):
        return False
    from sam_plugins.modeling.kernels._tiles import COLUMNS

    layers = (first, second)
    return (
        type(norm) is nn.LayerNorm
        and norm.weight.dtype == torch.float32
        and x[..., 0].numel() >= FEWEST
        and all(type(each) is Linear and each.weight.dtype == torch.float32 for each in layers)
        and not any(len(each.weight) % COLUMNS for each in layers if isinstance(each, Linear))
    )


def project(x: np.ndarray, norm: nn.LayerNorm, layer: Linear, out: np.ndarray) -> None:
    """Normalise tokens, and give the queries, keys and values of each head.

    Parameters
    ----------
    x : ndarray of shape (N, D), float32
        Tokens.
    norm : nn.LayerNorm
    layer : Linear
        To the heads' channels.
    out : ndarray of shape (3 * heads, N, d), float32
        Receives them.
    """
    from sam_plugins.modeling.kernels import _rows

    of_norm, (weight, bias) = norm_parts(norm), layer_in_panels(layer)
    bias = bias.reshape(len(out), -1)  # (3 * heads, d)

    def work(parts: Iterator[tuple[int, int]]) -> None:
        normal = aligned((1, TOKENS, x.shape[1]), np.float32)
        for first, last in parts:
            _rows.project(x, first, last, of_norm, weight, bias, out, normal)

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
    """
    from sam_plugins.modeling.kernels import _rows

    out = x.contiguous().clone()
    tokens = out.view(1, -1, x.shape[-1]).numpy()
    layers = (*layer_in_panels(first), *layer_in_panels(second))
    of_norm, widths = norm_parts(norm), (x.shape[-1], x.shape[-1], len(layers[1]))

    def work(parts: Iterator[tuple[int, int]]) -> None:
        scratch = tuple(aligned((1, TOKENS, width), np.float32) for width in widths)
        for start, end in parts:
            _rows.add_mlp(tokens, start, end, of_norm, layers, scratch)

    share(token_parts(tokens.shape[1]), work)
    return out


def token_parts(tokens: int) -> list[tuple[int, int]]:
    """Cut tokens into equal parts of up to `TOKENS`, as many for each thread.

    Parameters
    ----------
    tokens : int
        How many there are.

    Returns
    -------
    list of tuple of int
        The first of each part, and the one after its last.
    """
    threads = default_threads()
    count = min(threads * -(-tokens // (threads * TOKENS)), max(1, tokens // FEWEST))
    edges = [tokens * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def layer_in_panels(layer: Linear) -> tuple[np.ndarray, np.ndarray]:
    """Give the weight of a layer in panels, and its bias.

    Parameters
    ----------
    layer : Linear

    Returns
    -------
    panels : ndarray of shape (out / COLUMNS, in, COLUMNS), float32
    bias : ndarray of shape (out,), float32
    """
    from sam_plugins.modeling.kernels._products import pack
    from sam_plugins.modeling.kernels._tiles import COLUMNS

    weight = array(layer.weight)
    panels = aligned((len(weight) // COLUMNS, weight.shape[1], COLUMNS), np.float32)

    def work(starts: Iterator[int]) -> None:
        for first in starts:
            pack(weight, first, min(len(panels), first + PANELS), panels)

    share(range(0, len(panels), PANELS), work)
    return panels, array(layer.bias)


def norm_parts(norm: nn.LayerNorm) -> tuple[np.ndarray, np.ndarray, float]:
    """Give a norm's weight, bias and epsilon.

    Parameters
    ----------
    norm : nn.LayerNorm

    Returns
    -------
    weight, bias : ndarray of shape (D,), float32
    eps : float
    """
    return array(norm.weight), array(norm.bias), norm.eps


def array(tensor: Tensor) -> np.ndarray:
    """Give a tensor's numbers without copying them if they lie side by side.

    Parameters
    ----------
    tensor : Tensor
        On the CPU, of any shape.

    Returns
    -------
    ndarray of the same shape
    """
    return tensor.detach().contiguous().numpy()
