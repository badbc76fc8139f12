"""What all tests share: models with random weights, and how far apart two results are."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

# Processes that run tests side by side share the cores; torch asks when it is imported.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

import torch
from torch import Tensor, nn

from benchmarks import peers
from sam_plugins.devices import give_back_memory

if TYPE_CHECKING:
    from sam_plugins.modeling.sam import Sam

# Before any test imports a peer.
peers.prepare()

# mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD. The reference computes in matrices of 800 MB; that
# the system clears fresh memory for each would be a third of what its tests take.
if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
    for parameter in (-1, -3):
        ctypes.CDLL(None).mallopt(parameter, 2**31 - 1)

# No deadline: the first call of a compiled kernel takes seconds. HYPOTHESIS_PROFILE=thorough
# searches longer.
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


# Their tests share what is dear: the screen, Label Studio, the reference's models.
TOGETHER = ("tests/gui/", "tests/e2e/", "tests/compat/")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With several processes, the tests of a file stay in one, those of some folders too."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((folder for folder in TOGETHER if file.startswith(folder)), file)

    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Embeddings of earlier runs are not found, and those of the tests not left to the person."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAM_PLUGINS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def own_memory() -> Iterator[None]:
    """What the tests of a file took is there for the others, also in other processes."""
    yield
    give_back_memory()


@pytest.fixture(scope="session")
def what_is_loaded_stays() -> Iterator[None]:
    """Garbage is not looked for in what is imported: napari looks whenever a layer goes."""
    import napari.window  # noqa: F401

    import sam_plugins.embedder  # noqa: F401

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def own_threads() -> Iterator[None]:
    """A test that sets the number of processor threads sets it for itself alone."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_sam() -> Sam:
    """SAM with a narrow encoder of two blocks (one windowed, one global) and a frame of 128.

    The weights are random but the same in every run; tests must not change them. Copies of it
    (``copy.deepcopy``) may be moved and changed.
    """
    from sam_plugins.modeling.build import build_sam
    from sam_plugins.modeling.configs import CONFIGS, ViTConfig

    encoder = ViTConfig(embed_dim=64, depth=2, num_heads=2, global_attention=(1,))
    config = replace(CONFIGS["vit_b"], name="tiny", encoder=encoder, frame_size=128)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_sam(config)
        # Zeros in a fresh model, which would hide mistakes in how positions are used.
        for name, parameter in model.named_parameters():
            if "pos_embed" in name or "rel_pos" in name:
                torch.nn.init.normal_(parameter, std=0.2)
    return model


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
