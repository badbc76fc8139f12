"""Computing on a CPU without gradients: the same results from the same weights, in less time.

Two things slow a CPU down: PyTorch multiplies float32 matrices with MKL, which uses half of what a
processor with AVX-512 that is not Intel's could do, and intermediate results of tens of megabytes,
for which the operating system hands out (and clears) fresh memory at every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

# Elements of a matrix from which on the faster multiplication outweighs oneDNN's dearer call.
WORTHWHILE = 2**16


def runs_eagerly_on_cpu(x: Tensor) -> bool:
    """Tell whether a tensor is computed with on a CPU, now, and without gradients.

    Parameters
    ----------
    x : Tensor
        Of any shape.

    Returns
    -------
    bool
        False on another device, with gradients, and while a model is traced or compiled.
    """
    return (
        x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.jit.is_tracing()
        and not torch.compiler.is_compiling()
    )


def above(x: Tensor, threshold: float) -> Tensor:
    """Tell where numbers are above a threshold, as numbers to be added up.

    Parameters
    ----------
    x : Tensor
        Of any shape.
    threshold : float

    Returns
    -------
    Tensor
        0 or 1, of the same shape and dtype.

    Notes
    -----
    On a CPU, with a tensor of bool in between, it would take eight times as long.
    """
    if runs_eagerly_on_cpu(x):
        return torch.gt(x, threshold, out=torch.empty_like(x))
    return (x > threshold).to(x.dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply by a weight, by oneDNN where that is the faster library.

    Parameters
    ----------
    x : Tensor of shape (..., in)
        What is mapped.
    weight : Tensor of shape (out, in)
        Of the same dtype.
    bias : Tensor of shape (out,), optional
        Added if given.

    Returns
    -------
    Tensor of shape (..., out)

    Notes
    -----
    PyTorch gives half-precision matrices to oneDNN by itself. For float32 it has only the operator
    that its own compiler uses. Where that operator is missing, switched off by
    ``torch.backends.mkldnn.enabled`` or of no use, this is `torch.nn.functional.linear`. The
    results differ in the order of summation alone.
    """
    if _suits_onednn(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return functional.linear(x, weight, bias)


class Linear(nn.Linear):
    """`torch.nn.Linear` by way of `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by the weight and add the bias; see `linear`.

        Parameters
        ----------
        x : Tensor of shape (..., in_features)

        Returns
        -------
        Tensor of shape (..., out_features)
        """
        return linear(x, self.weight, self.bias)


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        # First, so that an exporter does not take the size of its example for a condition.
        runs_eagerly_on_cpu(x)
        and x.numel() >= WORTHWHILE
        and x.dim() > 1
        and x.dtype == weight.dtype == torch.float32
        # Neither quantised nor otherwise replaced.
        and type(weight) in (Tensor, nn.Parameter)
        and not torch.is_autocast_enabled("cpu")
        and _has_onednn()
        and bool(torch.backends.mkldnn.enabled)
    )


@cache
def _has_onednn() -> bool:
    return (
        torch.backends.mkldnn.is_available()
        # With AVX2, MKL is the faster one also on processors that are not Intel's.
        and torch.backends.cpu.get_cpu_capability().startswith("AVX512")
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def by_stripes(function: Callable[[Tensor], Tensor], x: Tensor, size: int) -> Tensor:
    """Apply a function to one stripe of rows after the other, on a CPU; else to all at once.

    Parameters
    ----------
    function : callable
        Takes and gives (B, rows, w, C); stripes must not depend on each other.
    x : Tensor of shape (B, h, w, C)
        The grid.
    size : int
        Rows to a stripe.

    Returns
    -------
    Tensor of shape (B, h, w, C)
    """
    if not runs_eagerly_on_cpu(x):
        return function(x)
    out = torch.empty_like(x)
    for source, target in zip(x.split(1), out.split(1), strict=True):
        for rows, result in zip(source.split(size, dim=1), target.split(size, dim=1), strict=True):
            result.copy_(function(rows))
    return out
