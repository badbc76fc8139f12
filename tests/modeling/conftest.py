"""Weights that hide nothing, and how far apart two results are."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks import peers

# Before the test modules import the reference.
peers.prepare()


@pytest.fixture(scope="session")
def randomize() -> Callable[..., nn.Module]:
    """Fill a module with weights none of which is zero or one, the same for the same seed.

    Fresh modules have zeros for positions and biases and ones for norms, and would give the same
    result if those were forgotten or mixed up.
    """

    def fill(module: nn.Module, seed: int = 0) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, tensor in sorted(module.state_dict().items()):
                if not tensor.is_floating_point():
                    continue
                if name.endswith("running_var"):
                    tensor.uniform_(0.5, 2, generator=generator)
                elif "rel_pos" in name or "pos_embed" in name or "gaussian" in name:
                    tensor.normal_(0, 0.5, generator=generator)
                elif tensor.ndim > 1:
                    tensor.normal_(0, tensor[0].numel() ** -0.5, generator=generator)
                elif "norm" in name or ".bn." in name or name.endswith("weight"):
                    tensor.normal_(float(name.endswith("weight")), 0.2, generator=generator)
                else:
                    tensor.normal_(0, 0.2, generator=generator)
        return module.eval()

    return fill


@pytest.fixture(scope="session")
def relative_error() -> Callable[[Tensor, Tensor], float]:
    """Largest difference of two tensors, in terms of the largest value of the second."""

    def measure(ours: Tensor, theirs: Tensor) -> float:
        assert ours.shape == theirs.shape
        assert torch.isfinite(theirs).all()
        # A constant would be easy to agree on.
        assert theirs.numel() < 2 or theirs.float().std() > 0
        difference = (ours.float() - theirs.float()).abs().max()
        return float(difference / theirs.float().abs().max())

    return measure
