"""The training loop of the text tower: small enough for one core of a processor."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.datasets.procedural.captions import MIDDLE, SIDE
from sam_plugins.files import atomic_path
from sam_plugins.modeling.text_tower import TextTower, TextTowerConfig
from sam_plugins.phrases import SLOTS, Phrase
from sam_plugins.text.looks import MEASURES, Looks
from sam_plugins.training.text_tower.examples import FEATURES, Example, questions

_log = logging.getLogger(__name__)
LOG_EVERY, SAVE_EVERY = 50, 250


@dataclass(frozen=True)
class Recipe:
    """How the tower is trained.

    Parameters
    ----------
    steps : int
        Updates of the weights.
    scenes, captions : int
        A batch: so many scenes, so many captions each.
    lr, weight_decay, warmup : float
        Of AdamW; the learning rate rises over ``warmup`` steps, then falls as a cosine.
    average : float
        Decay of the running mean of the weights, which is what is kept.
    feature_weight : float
        Of the auxiliary loss that names shape, colour, tone and texture of each candidate.
    seed : int
        Of everything.
    """

    steps: int = 7000
    scenes: int = 10
    captions: int = 6
    lr: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 200
    average: float = 0.998
    feature_weight: float = 1.0
    seed: int = 0


def new_tower() -> TextTower:
    """Build a tower with random weights for the project's own vocabulary.

    Returns
    -------
    TextTower
    """
    return TextTower(TextTowerConfig(slots=tuple(SLOTS.items()), measures=MEASURES))


@dataclass(eq=False)
class Batch:
    """Questions about some scenes.

    Parameters
    ----------
    crops, measures : Tensor
        Of all N candidates of all scenes, one after the other.
    features : Tensor of shape (N, 4), int64
        See `Example`.
    rows : Tensor of shape (Q, K), int64
        Which candidates each question is about; -1 for padding.
    phrases : list of Phrase
        Of each question.
    answers : Tensor of shape (Q, K), float32
        1 where a candidate is meant.
    """

    crops: Tensor
    measures: Tensor
    features: Tensor
    rows: Tensor
    phrases: list[Phrase]
    answers: Tensor


def turned(rng: np.random.Generator, looks: Looks) -> Looks:
    """Vary candidates without a change to any answer: shades, noise, and crops mirrored.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides how.
    looks : Looks
        With crops (M, 4, h, w), uint8.

    Returns
    -------
    Looks
        As many.
    """
    crops = looks.crops
    if rng.random() < 0.5:
        crops = crops[..., ::-1]
    if rng.random() < 0.5:
        crops = crops[..., ::-1, :]
    if rng.random() < 0.5:
        crops = crops.swapaxes(2, 3)
    shade = np.ones((1, 4, 1, 1), dtype=np.float32)
    shade[:, :3] = rng.uniform(0.92, 1.08)
    crops = (crops * shade + rng.normal(0, 2, crops.shape)).clip(0, 255).astype(np.uint8)
    return replace(looks, crops=crops)


def batches(examples: Sequence[Example], recipe: Recipe) -> Iterator[Batch]:
    """Draw batches without end.

    Parameters
    ----------
    examples : sequence of Example
        To draw from.
    recipe : Recipe
        For the sizes and the seed.

    Yields
    ------
    Batch
    """
    rng = np.random.default_rng(recipe.seed)
    while True:
        chosen = [examples[i] for i in rng.integers(len(examples), size=recipe.scenes)]
        looks, rows, phrases, answers, start = [], [], [], [], 0
        for each in chosen:
            asked, meant = questions(rng, each, recipe.captions)
            looks.append(turned(rng, each.looks))
            rows += [np.arange(start, start + len(each.owner))] * len(asked)
            phrases += asked
            answers += list(meant)
            start += len(each.owner)
        most = max(len(row) for row in rows)
        table = np.full((len(rows), most), -1)
        target = np.zeros((len(rows), most), dtype=np.float32)
        for index, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            table[index, : len(row)] = row
            target[index, : len(row)] = answer
        yield Batch(
            torch.from_numpy(np.concatenate([each.crops for each in looks])),
            torch.from_numpy(np.concatenate([each.measures for each in looks])),
            torch.from_numpy(np.concatenate([each.features for each in chosen])),
            torch.from_numpy(table),
            phrases,
            torch.from_numpy(target),
        )


def loss_of(tower: TextTower, batch: Batch, feature_weight: float) -> tuple[Tensor, Tensor]:
    """Compare a tower's answers with the truth.

    Parameters
    ----------
    tower : TextTower
        The tower.
    batch : Batch
        Questions.
    feature_weight : float
        Of the auxiliary loss.

    Returns
    -------
    loss : Tensor of shape ()
    right : Tensor of shape ()
        Share of the questions for which every candidate is on its right side.
    """
    tokens = tower.tokens(batch.crops, batch.measures)
    present, rows = batch.rows >= 0, batch.rows.clamp(min=0)
    numbers = tower.numbers(batch.phrases)
    found = tower(tokens[rows], batch.measures[rows, :2], present, numbers)[present]
    answers = batch.answers[present]
    # Away from 1, where the logarithm of what is left has no gradient.
    rest = torch.log1p(-found.exp().clamp(max=1 - 1e-4))
    loss = -(answers * found + (1 - answers) * rest).mean()
    logits = tower.attribute_logits(tokens)
    named = _naming_loss(tower, logits, batch.features)
    named = named + _placing_loss(tower, logits, batch.measures)
    wrong = torch.zeros_like(present)
    wrong[present] = (found > math.log(0.5)) != (answers > 0.5)
    return loss + feature_weight * named, 1 - wrong.any(dim=1).float().mean()


def _naming_loss(tower: TextTower, logits: Tensor, features: Tensor) -> Tensor:
    """How well each candidate's own words are told: whether it is an object, and its features."""
    is_object = (features[:, 0] >= 0).float()
    loss = functional.binary_cross_entropy_with_logits(logits[:, 0], is_object)
    for column, slot in enumerate(FEATURES):
        known = features[:, column] >= 0
        columns = [tower.attribute[slot, value] for value in tower.slots[slot]]
        truth = functional.one_hot(features[known, column], len(columns)).float()
        loss = loss + functional.binary_cross_entropy_with_logits(logits[known][:, columns], truth)
    return loss


def _placing_loss(tower: TextTower, logits: Tensor, measures: Tensor) -> Tensor:
    """How well each candidate's place is told, of which its centre decides."""
    x, y = measures[:, 0], measures[:, 1]
    side = {"left": x < SIDE, "right": x > 1 - SIDE, "upper": y < SIDE, "lower": y > 1 - SIDE}
    side |= {"top": side["upper"], "bottom": side["lower"]}
    side["middle"] = torch.maximum((x - 0.5).abs(), (y - 0.5).abs()) < MIDDLE
    places = tower.slots["place"]
    truth = torch.stack(
        [torch.stack([side[word] for word in place.split()]).all(0) for place in places], dim=1
    )
    columns = [tower.attribute["place", place] for place in places]
    return functional.binary_cross_entropy_with_logits(logits[:, columns], truth.float())


def train_tower(examples: Sequence[Example], out: Path, *, recipe: Recipe | None = None) -> Path:
    """Train a tower, or go on where an interrupted run stopped.

    Parameters
    ----------
    examples : sequence of Example
        What it learns from.
    out : Path
        A folder: the state of the run, and ``tower.safetensors``.
    recipe : Recipe, optional
        How.

    Returns
    -------
    Path
        The file of the averaged weights.
    """
    from sam_plugins.checkpoints.tower import save_tower

    recipe = recipe or Recipe()
    torch.manual_seed(recipe.seed)
    tower, mean = new_tower().train(), new_tower()
    mean.load_state_dict(tower.state_dict())
    optimizer = torch.optim.AdamW(
        tower.parameters(), recipe.lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
    )
    state, start = out / "state.pt", 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        tower.load_state_dict(saved["tower"])
        mean.load_state_dict(saved["mean"])
        optimizer.load_state_dict(saved["optimizer"])
        start = int(saved["step"])
    source = batches(examples, replace(recipe, seed=recipe.seed + start))
    right = torch.zeros(())
    for step in range(start, recipe.steps):
        rise = min(1.0, (step + 1) / recipe.warmup)
        fall = 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * rise * fall
        loss, share = loss_of(tower, next(source), recipe.feature_weight)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        _average(mean, tower, min(recipe.average, (step + 1) / (step + 10)))
        right += (share - right) / min(step - start + 1, LOG_EVERY)
        if (step + 1) % LOG_EVERY == 0 or step + 1 == recipe.steps:
            _log.info("step %d loss %.4f all right %.3f", step + 1, loss.item(), right.item())
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == recipe.steps:
            save_tower(mean, out / "tower.safetensors")
            with atomic_path(state) as temporary:
                torch.save(
                    {
                        "tower": tower.state_dict(),
                        "mean": mean.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "step": step + 1,
                    },
                    temporary,
                )
    return out / "tower.safetensors"


@torch.no_grad()
def _average(mean: TextTower, tower: TextTower, decay: float) -> None:
    for old, new in zip(mean.state_dict().values(), tower.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)
