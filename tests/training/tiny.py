"""A small model and easy images for the tests of training."""

import torch

from sam_plugins.modeling import build_sam
from sam_plugins.modeling.configs import SamConfig, ViTConfig
from sam_plugins.training.interactive import Example, InteractiveObjective, InteractiveSettings

TINY = SamConfig("tiny", ViTConfig(32, 2, 2, (1,)), frame_size=64)


def tiny_model(seed=0):
    torch.manual_seed(seed)
    return build_sam(TINY)


def easy_image(index=0):
    """Two flat rectangles on a dark ground, shifted by the index: image and masks."""
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    shift = index % 4
    masks[0, 6 + shift : 30 + shift, 8:40] = True
    masks[1, 40:60, 20 + shift : 56 + shift] = True
    image = torch.full((3, 64, 64), 30, dtype=torch.uint8)
    image[:, masks[0]] = 240
    image[:, masks[1]] = 130
    return image, masks


def examples(first, per_batch=2, *, rank=0, world=1):
    """Endless batches; of a batch each process takes its share."""
    number = first
    while True:
        numbers = range(number * per_batch, (number + 1) * per_batch)
        whole = [Example(*easy_image(i), seed=i) for i in numbers]
        yield whole[rank::world]
        number += 1


def objective(seed=0, **settings):
    settings = {"clicks": 2, "empty_rounds": 1, **settings}
    return InteractiveObjective(tiny_model(seed), InteractiveSettings(**settings))
