"""On which processors, and for what, the kernels are the fastest."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from sam_plugins.modeling.cpu import runs_eagerly_on_cpu

# As LLVM names them: AMD's with two 256-bit multipliers, which MKL and oneDNN leave partly idle.
PROCESSORS = ("znver2", "znver3", "znver4")


@cache
def suited() -> bool:
    """Tell whether this is a processor on which the kernels are faster than PyTorch's libraries.

    Returns
    -------
    bool
    """
    from llvmlite import binding
    from numba import config

    features = binding.get_host_cpu_features()
    return (
        not config.DISABLE_JIT
        and binding.get_host_cpu_name() in PROCESSORS
        and bool(features.get("avx2") and features.get("fma"))
    )


def takes(x: Tensor) -> bool:
    """Tell whether the kernels are for a tensor: plain float32 on such a CPU, without gradients.

    Parameters
    ----------
    x : Tensor
        Of any shape.

    Returns
    -------
    bool
        False under autocast as well, which asks for another precision.
    """
    return (
        runs_eagerly_on_cpu(x)
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and suited()
    )
