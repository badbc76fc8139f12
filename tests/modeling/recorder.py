"""CUDA's graphs acted out on a CPU: operators are noted down, and done again on the same memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sam_plugins.modeling import graphs

aten = torch.ops.aten

# What waits for the device or brings something from the host, which cannot be recorded.
FORBIDDEN = (
    aten._local_scalar_dense,
    aten.item,
    aten.nonzero,
    aten.equal,
    aten.is_nonzero,
    aten.lift_fresh,
    aten.masked_select,
    aten.unique_dim,
)


class Tape(TorchDispatchMode):
    """Takes the place of ``torch.cuda.CUDAGraph``: notes operators down, then does them again."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        by_mask = func.overloadpacket is aten.index and any(
            x.dtype == torch.bool for x in _tensors(args[1])
        )
        if by_mask or func.overloadpacket in FORBIDDEN:
            raise RuntimeError(f"{func} cannot be recorded")
        found = func(*args, **(kwargs or {}))
        given = {x.untyped_storage().data_ptr() for x in _tensors((args, kwargs))}
        views = all(x.untyped_storage().data_ptr() in given for x in _tensors(found))
        if func._schema.is_mutable or not views:
            self.steps.append((func, args, kwargs or {}, found))
        return found

    def replay(self) -> None:
        """Do all steps again with what lies in the same tensors now."""
        with torch.inference_mode():
            for func, args, kwargs, found in self.steps:
                again = func(*args, **kwargs)
                if not func._schema.is_mutable:
                    for old, new in zip(_tensors(found), _tensors(again), strict=True):
                        old.copy_(new)


def _tensors(tree: Any) -> list[Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


@contextmanager
def _record(tape: Tape, **options: Any) -> Iterator[None]:
    with tape:
        yield


def act_as_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `graphs` record on a CPU, and the models do what they do on a GPU."""

    def without_gradients(tensors: Any) -> bool:
        return not torch.is_grad_enabled()

    monkeypatch.setattr(graphs, "can_record", without_gradients)
    acted: dict[str, Callable[..., Any]] = {
        "CUDAGraph": Tape,
        "graph": _record,
        "graph_pool_handle": lambda: (0, 1),
        "device": lambda device: nullcontext(),
        "stream": lambda stream: nullcontext(),
        "Stream": MagicMock,
        "Event": MagicMock,
        "current_stream": MagicMock,
    }
    for name, value in acted.items():
        monkeypatch.setattr(torch.cuda, name, value)
    parts = ("cpu", "prompt_encoder", "mask_decoder", "relative_attention", "tiny_vit")
    for part in (*parts, "kernels.processor", "kernels.activations"):
        monkeypatch.setattr(f"sam_plugins.modeling.{part}.runs_eagerly_on_cpu", lambda x: False)
