"""On which processors the kernels are the fastest."""

from __future__ import annotations

from functools import cache

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
