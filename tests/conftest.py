"""What all tests share: a small model with random weights, and how hypothesis searches."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from benchmarks import peers

if TYPE_CHECKING:
    from sam_plugins.modeling.sam import Sam

# Before any test imports a peer.
peers.prepare()

# No deadline: the first call of a compiled kernel takes seconds. HYPOTHESIS_PROFILE=thorough
# searches longer.
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def tiny_sam() -> Sam:
    """SAM with a narrow encoder of two blocks (one windowed, one global) and a frame of 128.

    The weights are random but the same in every run; tests must not change them. Copies of it
    (``copy.deepcopy``) may be moved and changed.
    """
    import torch

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
