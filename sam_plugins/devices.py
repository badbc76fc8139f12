"""Choosing where and in which precision a model runs, and living within the memory there."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

CPU_ONLY = ("int8", "openvino")
PRECISIONS = ("float32", "bfloat16", "float16", *CPU_ONLY)

# What the GNU C library takes at most for small enough to be used again, less its own header.
LARGEST_SMALL_BLOCK = 32 * 2**20 - 2**13

Item = TypeVar("Item")
Result = TypeVar("Result")


def choose_device(device: str = "auto") -> torch.device:
    """Resolve ``"auto"`` to the best device that is present: CUDA, then MPS, then CPU.

    Parameters
    ----------
    device : str
        ``"auto"`` or any name that torch knows, such as ``"cuda:1"``.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If the device is unknown to torch or not present on this machine.
    """
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(
            f"unknown device {device!r}: use 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'"
        ) from error
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (chosen.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(chosen.type, False):
        raise ValueError(f"device {device!r} is not present on this machine: use 'auto' or 'cpu'")
    return chosen


def choose_precision(device: torch.device, precision: str = "auto") -> str:
    """Resolve ``"auto"`` to the precision in which the image encoder runs fastest without harm.

    Parameters
    ----------
    device : torch.device
        Where the encoder runs.
    precision : str
        ``"auto"`` or one of `PRECISIONS`.

    Returns
    -------
    str
        One of `PRECISIONS`.

    Raises
    ------
    ValueError
        If the precision is another word, or not for this device.

    Notes
    -----
    ``"auto"`` is bfloat16 where the hardware multiplies it natively (AVX512-BF16 or AMX on a CPU,
    Ampere or later on CUDA) and float32 elsewhere. A predictor keeps to float32 on a CPU where its
    model gains too little by half precision (`Sam.half_suits_cpu`). Only the image encoder is
    affected, and large products of the mask decoder. ``"int8"`` multiplies by 8-bit weights in the
    encoder of a ViT on a CPU; with ``"openvino"``, OpenVINO runs the encoder there. In all else
    both are as ``"auto"``.
    """
    if precision != "auto":
        if precision not in PRECISIONS:
            raise ValueError(f"unknown precision {precision!r}: use 'auto' or one of {PRECISIONS}")
        if precision in CPU_ONLY and device.type != "cpu":
            raise ValueError(f"the precision {precision!r} is for a CPU: use 'auto'")
        return precision
    return "bfloat16" if _has_native_bfloat16(device) else "float32"


def _has_native_bfloat16(device: torch.device) -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        # Older torch does not tell; then float32, which is always right.
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def in_shrinking_batches(
    items: Sequence[Item],
    run: Callable[[Sequence[Item]], Sequence[Result]],
    *,
    batch_size: int,
) -> list[Result]:
    """Run a function over batches of items; halve the batch whenever the GPU's memory is spent.

    Parameters
    ----------
    items : sequence
        What to work on, in order.
    run : callable
        Takes a sequence of items, gives one result an item.
    batch_size : int
        The batch to begin with, 1 or more. It shrinks for good when a batch does not fit.

    Returns
    -------
    list
        One result an item, in order.

    Raises
    ------
    torch.OutOfMemoryError
        If a single item does not fit.

    Examples
    --------
    >>> in_shrinking_batches([1, 2, 3], lambda batch: [2 * item for item in batch], batch_size=2)
    [2, 4, 6]
    """
    import torch

    results: list[Result] = []
    size = max(1, batch_size)
    while len(results) < len(items):
        batch = items[len(results) : len(results) + size]
        try:
            results.extend(run(batch))
            continue
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
        # Outside the except block: there the traceback would keep the failed tensors alive.
        size = len(batch) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return results


def reuse_memory() -> None:
    """Let blocks of up to 32 MB be used again when they are free, without asking the system anew.

    Notes
    -----
    Of the GNU C library alone. It does so from the time on when a block of that size was freed once
    (mallopt(3), M_MMAP_THRESHOLD), which is at the end of a ViT's first encoding. Without it, the
    system clears 20 MB of fresh memory for each click, which then takes a quarter longer.
    """
    bytes(LARGEST_SMALL_BLOCK)  # zeros from the system that nobody touches: it takes no time


def give_back_memory() -> None:
    """Hand memory that is free, and that the C library keeps for later, to the operating system.

    Notes
    -----
    Of the GNU C library alone, which keeps blocks of up to 32 MB: an image encoder's activations.
    Elsewhere nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
