"""On which processors, and for what, the kernels are the fastest."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

import torch
from torch import Tensor

from sam_plugins.modeling.cpu import runs_eagerly_on_cpu

# As LLVM names them: AMD's with two 256-bit multipliers, which MKL and oneDNN leave partly idle,
# and Intel's with tiles, where MKL is as fast, but what lies between products leaves the caches.
PROCESSORS = ("znver2", "znver3", "znver4", "znver5", "sapphirerapids", "emeraldrapids")

# AMD's multiply vectors of bfloat16 pairs as fast as vectors of float32. Intel's take four times as
# long, measured on an Emerald Rapids: half as many products as in float32.
WITH_PAIRS = ("znver4", "znver5")

# Linux on x86-64: a process asks before it uses tiles, whose registers are large (arch_prctl with
# ARCH_REQ_XCOMP_PERM; Documentation/arch/x86/xstate.rst).
ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA = 158, 0x1023, 18


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


@cache
def has_tiles() -> bool:
    """Tell whether this processor multiplies bfloat16 by tiles, and the system lets it.

    Returns
    -------
    bool
    """
    from llvmlite import binding
    from numba import config

    features = binding.get_host_cpu_features()
    return (
        not config.DISABLE_JIT
        and bool(features.get("amx-bf16") and features.get("avx512bf16"))
        and sys.platform == "linux"
        and ctypes.CDLL(None).syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA) == 0
    )


@cache
def has_pairs() -> bool:
    """Tell whether this processor's vectors multiply pairs of bfloat16 as fast as float32.

    Returns
    -------
    bool
    """
    from llvmlite import binding
    from numba import config

    return (
        not config.DISABLE_JIT
        and binding.get_host_cpu_name() in WITH_PAIRS
        and bool(binding.get_host_cpu_features().get("avx512bf16"))
    )


def multiplies_bfloat16() -> bool:
    """Tell whether this is a processor on which the kernels for bfloat16 are the fastest.

    Returns
    -------
    bool
    """
    return has_tiles() or has_pairs()


def can_take_bfloat16(x: Tensor) -> bool:
    """Tell whether the kernels for bfloat16 can take a tensor: on such a CPU, without gradients.

    Parameters
    ----------
    x : Tensor
        Of any shape.

    Returns
    -------
    bool
        False unless the tensor is float32 or bfloat16.
    """
    known = x.dtype in (torch.float32, torch.bfloat16)
    return runs_eagerly_on_cpu(x) and known and multiplies_bfloat16()


def takes_bfloat16(x: Tensor) -> bool:
    """Tell whether the kernels for bfloat16 are for a tensor: as well under autocast to that.

    Parameters
    ----------
    x : Tensor
        Of any shape.

    Returns
    -------
    bool
    """
    return (
        torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and can_take_bfloat16(x)
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
