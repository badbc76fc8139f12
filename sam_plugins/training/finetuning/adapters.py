"""Low-rank adapters: few weights beside frozen ones, merged into them in the end.

LoRA, arXiv 2106.09685: the weight W becomes W + B A * alpha / r, with B zero at the beginning.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """The sum of a weight and a product of two thin matrices.

    Parameters
    ----------
    weight : Tensor of shape (out, in)
        What is adapted.
    rank : int
        Columns of the thin matrices, r.
    alpha : float
        Strength of their product.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        self.down = nn.Parameter(weight.new_empty(rank, weight.shape[1]))
        self.up = nn.Parameter(weight.new_zeros(weight.shape[0], rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.scale = alpha / rank

    def forward(self, weight: Tensor) -> Tensor:
        """Adapt the weight.

        Parameters
        ----------
        weight : Tensor of shape (out, in)
            The frozen one.

        Returns
        -------
        Tensor of shape (out, in)
        """
        return weight + self.scale * self.up @ self.down


def add_adapters(module: nn.Module, *, rank: int = 4, alpha: float = 4.0) -> int:
    """Freeze a module and put an adapter on each of its linear layers.

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    rank : int
        See `LowRank`.
    alpha : float
        See `LowRank`.

    Returns
    -------
    int
        Number of adapters.

    Raises
    ------
    ValueError
        If the module has no linear layer.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ValueError("the module has no linear layer to adapt")
    module.requires_grad_(False)
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank, alpha))
    return len(layers)


@torch.no_grad()
def merge_adapters(module: nn.Module) -> None:
    """Add the adapters to the weights beside them, and remove them.

    Parameters
    ----------
    module : nn.Module
        Changed in place; computes the same as before.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
