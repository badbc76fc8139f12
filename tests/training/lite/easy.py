"""A small ``lite`` and easy crops for the tests of its training."""

import numpy as np
import torch

from sam_plugins.modeling.configs import LiteConfig, SamConfig
from sam_plugins.training.lite.samples import Batch, pick_objects

TINY = SamConfig(
    "tiny",
    LiteConfig(
        channels=(8, 8, 16, 16, 16),
        blocks=(1, 1, 1, 1),
        embed_dim=32,
        fine_channels=(16, 8, 8),
        decoder_heads=2,
        decoder_mlp_dim=32,
    ),
    frame_size=64,
)


def a_batch(images=2, objects=4, seed=0):
    """Two flat rectangles, the first with a part."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((images, 3, 64, 64), dtype=np.int32)
    labels[:, 1, 8:30, 6:28] = 1
    labels[:, 1, 34:60, 30:58] = 2
    labels[:, 2, 12:24, 10:22] = 1
    pixels = 60 + 70 * labels[:, 1] + 40 * labels[:, 2] + rng.integers(0, 9, labels[:, 1].shape)
    table = torch.from_numpy(
        np.stack([pick_objects(rng, each, objects, (0, 0.7, 0.3)) for each in labels])
    )
    return Batch(
        images=torch.from_numpy(pixels.astype(np.uint8))[:, None].repeat(1, 3, 1, 1),
        labels=torch.from_numpy(labels),
        levels=table[..., 0].long(),
        ids=table[..., 1].long(),
        clicks=table[..., 2:4],
        boxes=table[..., 4:],
    )


def batches(first):
    """Endless batches by their number."""
    while True:
        yield a_batch(seed=first)
        first += 1
