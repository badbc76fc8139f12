"""AdamW with layer-wise decay of the learning rate, and schedules of the paper (§A)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn


@dataclass(frozen=True)
class OptimizerSettings:
    """How the weights move.

    Parameters
    ----------
    learning_rate : float
        The highest (§A: 8e-4).
    weight_decay : float
        Of AdamW (§A: 0.1).
    betas : tuple of float
        Of AdamW (§A: 0.9, 0.999).
    layer_decay : float
        The encoder's blocks learn by this factor more slowly for each block above them (§A: 0.8
        for ViT-H and ViT-L, 0.6 for ViT-B).
    undecayed : tuple of str
        Weights whose names contain one of these, and all with one axis (biases, norms), have no
        weight decay. Not given in the paper; this is ViTDet's choice.
    warm_up : int
        Steps until the full learning rate (§A: 250).
    decay : str
        ``"step"``: a tenth after each of ``drops``; ``"cosine"``: down to ``least``.
    drops : tuple of float
        As fractions of the run (§A: after 60 000 and 86 666 of 90 000 steps).
    least : float
        What a cosine ends with, as a fraction of the learning rate.
    """

    learning_rate: float = 8e-4
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    layer_decay: float = 0.8
    undecayed: tuple[str, ...] = ("pos_embed", "rel_pos")
    warm_up: int = 250
    decay: Literal["step", "cosine"] = "step"
    drops: tuple[float, ...] = (60_000 / 90_000, 86_666 / 90_000)
    least: float = 0.0


def learning_rate_factor(settings: OptimizerSettings, *, step: int, steps: int) -> float:
    """Tell which share of the learning rate a step has.

    Parameters
    ----------
    settings : OptimizerSettings
        The schedule.
    step : int
        Counted from 0.
    steps : int
        Of the whole run.

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    >>> settings = OptimizerSettings(warm_up=10)
    >>> [round(learning_rate_factor(settings, step=s, steps=90_000), 3) for s in (0, 9, 70_000)]
    [0.1, 1.0, 0.1]
    """
    rise = min(1.0, (step + 1) / settings.warm_up) if settings.warm_up else 1.0
    progress = step / max(1, steps)
    if settings.decay == "cosine":
        wave = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return rise * (settings.least + (1 - settings.least) * wave)
    return rise * 0.1 ** sum(progress >= drop for drop in settings.drops)


def depth_of(name: str, depth: int) -> int:
    """Tell how deep a weight lies, for layer-wise decay.

    Parameters
    ----------
    name : str
        A parameter's name in a `Sam`.
    depth : int
        Blocks of the encoder.

    Returns
    -------
    int
        0 for the patch and position embeddings, i + 1 for block i, depth + 1 for all above: the
        neck, the prompt encoder and the mask decoder.

    Examples
    --------
    >>> depth_of("image_encoder.blocks.3.attn.qkv.weight", 12)
    4
    """
    if "image_encoder." not in name:
        return depth + 1
    block = re.search(r"image_encoder\.blocks\.(\d+)\.", name)
    if block:
        return int(block[1]) + 1
    return 0 if re.search(r"image_encoder\.(patch_embed|pos_embed)", name) else depth + 1


def parameter_groups(model: nn.Module, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Group the trainable weights by learning rate and weight decay.

    Parameters
    ----------
    model : nn.Module
        A `Sam`, or a module around one.
    settings : OptimizerSettings
        The rules.

    Returns
    -------
    list of dict
        With ``params``, ``scale`` (the group's share of the learning rate) and ``weight_decay``.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    blocks = [re.search(r"image_encoder\.blocks\.(\d+)\.", name) for name, _ in named]
    depth = 1 + max((int(block[1]) for block in blocks if block), default=-1)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        scale = settings.layer_decay ** (depth + 1 - depth_of(name, depth))
        exempt = parameter.ndim <= 1 or any(part in name for part in settings.undecayed)
        key = (scale, 0.0 if exempt else settings.weight_decay)
        groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "scale": scale, "weight_decay": decay}
        for (scale, decay), parameters in groups.items()
    ]


def build_optimizer(model: nn.Module, settings: OptimizerSettings) -> torch.optim.AdamW:
    """Build AdamW for a model.

    Parameters
    ----------
    model : nn.Module
        Its weights without gradients stay as they are.
    settings : OptimizerSettings
        The rules.

    Returns
    -------
    torch.optim.AdamW
        `set_learning_rate` sets its learning rates before each step.
    """
    groups = parameter_groups(model, settings)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: OptimizerSettings, *, step: int, steps: int
) -> float:
    """Set the learning rates for a step.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        From `build_optimizer`; changed in place.
    settings : OptimizerSettings
        The schedule.
    step, steps : int
        See `learning_rate_factor`.

    Returns
    -------
    float
        The highest of them.
    """
    rate = settings.learning_rate * learning_rate_factor(settings, step=step, steps=steps)
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    return rate
