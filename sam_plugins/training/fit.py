"""Fitting the small model: rounds of simulated prompts, averaged weights, checkpoints."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.lite import LiteSam
from sam_plugins.training.losses import ambiguous_loss, mask_iou, mask_loss
from sam_plugins.training.recipe import Recipe
from sam_plugins.training.samples import LEAST_AREA, MOST_AREA, Batch
from sam_plugins.training.simulation import corrective_clicks, noisy_boxes

# A previous mask is passed on with logits of at most this size: beyond it nothing changes but
# the gradients of half precision.
MOST_LOGIT = 20.0


@dataclass(frozen=True)
class Scores:
    """What one step tells about the model: means over its prompts.

    Parameters
    ----------
    loss : float
    click_best : float
        IoU of the best of three masks after one click.
    click_chosen : float
        IoU of the one with the highest predicted IoU.
    box : float
        IoU of the single mask after a box.
    last : float
        IoU of the single mask after the last round.
    """

    loss: float
    click_best: float
    click_chosen: float
    box: float
    last: float


@dataclass(eq=False)
class Truths:
    """Truths of B = I * K prompts at the decoder's resolution.

    Parameters
    ----------
    masks : Tensor of shape (B, 3, h, w)
        What lies under the click at each level, in 0 .. 1.
    valid : Tensor of shape (B, 3), bool
        Levels where something is, neither too small nor too large.
    target : Tensor of shape (B,), int64
        The level that was sampled.
    """

    masks: Tensor
    valid: Tensor
    target: Tensor

    @classmethod
    def under_clicks(cls, batch: Batch, stride: int) -> Truths:
        """Collect what lies under each click of a batch, at each level.

        Parameters
        ----------
        batch : Batch
            I crops with K objects each.
        stride : int
            Pixels of a crop to one of the masks; fractions arise where a border cuts a pixel.

        Returns
        -------
        Truths
            Of I * K prompts, those of one crop together.
        """
        images, prompts = batch.levels.shape
        image = torch.arange(images, device=batch.levels.device).repeat_interleave(prompts)
        target = batch.levels.flatten()  # (B,)
        x, y = batch.clicks.flatten(0, 1).long().unbind(-1)
        ids = batch.labels[image, :, y, x].long()  # (B, 3)
        rows = torch.arange(len(target), device=target.device)
        ids[rows, target] = batch.ids.flatten()
        labels = batch.labels[image]  # (B, 3, S, S)
        masks = ((labels == ids[..., None, None]) & (ids > 0)[..., None, None]).float()
        masks = functional.avg_pool2d(masks, stride)  # (B, 3, h, w)
        area = masks.sum((2, 3)) * stride**2
        valid = (area >= LEAST_AREA) & (area <= MOST_AREA * labels.shape[-1] ** 2)
        valid[rows, target] = True
        return cls(masks, valid, target)

    def sampled(self) -> Tensor:
        """The sampled truth of each prompt: (B, h, w)."""
        return self.masks[torch.arange(len(self.target), device=self.target.device), self.target]


class Trainer:
    """One model, its optimizer and its averaged weights.

    Parameters
    ----------
    model : LiteSam
        The model, on its device.
    recipe : Recipe
        How it is trained.
    """

    def __init__(self, model: LiteSam, recipe: Recipe) -> None:
        self.model = model
        self.recipe = recipe
        self.averaged = copy.deepcopy(model).eval()
        matrices = [p for p in model.parameters() if p.ndim > 1]
        vectors = [p for p in model.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas)
        self.steps = 0
        self.images = 0

    def learning_rate(self, progress: float) -> float:
        """Give the learning rate: a linear warm-up, then a cosine down to 3 %.

        Parameters
        ----------
        progress : float
            Fraction of the run that is done, 0 .. 1.

        Returns
        -------
        float
            For all weights.
        """
        rise = min(1.0, (self.steps + 1) / self.recipe.warm_up)
        fall = 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.recipe.learning_rate * rise * fall

    def step(self, batch: Batch, *, rounds: int, progress: float) -> Scores:
        """Learn from one batch.

        Parameters
        ----------
        batch : Batch
            I crops with K objects each.
        rounds : int
            Prompting rounds: the first prompt and the corrective clicks after it.
        progress : float
            Fraction of the run that is done, 0 .. 1; sets the learning rate.

        Returns
        -------
        Scores
            Means over the batch's prompts.

        Raises
        ------
        FloatingPointError
            If the loss is not finite; the weights are then as before.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(progress)
        self.model.train()
        loss, scores = self._loss(batch, rounds)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()} at step {self.steps}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.steps += 1
        self.images += len(batch.images)
        self._average()
        return scores

    @torch.no_grad()
    def _average(self) -> None:
        # A young average forgets faster, or the first weights would stay in it for long.
        decay = min(self.recipe.ema, (1 + self.steps) / (10 + self.steps))
        current = self.model.state_dict()
        for name, value in self.averaged.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name].to(value.dtype), 1 - decay)
            else:
                value.copy_(current[name])

    def _loss(self, batch: Batch, rounds: int) -> tuple[Tensor, Scores]:
        model = self.model
        images = (batch.images.float() - model.pixel_mean) / model.pixel_std
        with self._autocast():
            features = model.encode_level(images)
        # Each crop is said to lie somewhere in the frame; a whole frame lies where it is.
        room = max(0, model.frame_size - images.shape[-1])
        origin = torch.rand(len(images), 2, device=images.device) * room
        # The prompts of one decoder call have one form: some images are clicked, the others boxed.
        share = len(images) * (1 - self.recipe.box_share)
        clicked = min(max(int(share + torch.rand(()).item()), 1), len(images) - 1)
        answers = [
            self._prompted(
                batch.part(part),
                tuple(feature[part] for feature in features),
                origin[part],
                by_box=by_box,
                rounds=rounds,
            )
            for by_box, part in ((False, slice(0, clicked)), (True, slice(clicked, None)))
        ]
        weight = clicked / len(images)
        loss = weight * answers[0].loss + (1 - weight) * answers[1].loss
        if self.recipe.background_weight:
            loss = loss + self.recipe.background_weight * self._background(batch, features, origin)
        return loss, _scores(loss, *answers)

    def _background(self, batch: Batch, features: tuple[Tensor, ...], origin: Tensor) -> Tensor:
        """Click where nothing is: the predicted IoU shall be zero there, whatever the mask."""
        empty = (batch.labels == 0).all(1).flatten(1)  # (I, S * S)
        some = empty.any(1).nonzero()[:, 0]
        if not len(some):
            return features[0].new_zeros(())
        index = torch.multinomial(empty[some].float(), 1)  # (I', 1)
        side = batch.labels.shape[-1]
        points = torch.stack([index % side, index // side], dim=-1).float()  # (I', 1, 2)
        with self._autocast():
            _, iou = self.model.decode_all(
                tuple(feature[some] for feature in features),
                points=points,
                labels=torch.ones_like(index),
                origin=origin[some],
            )
        return iou.float().sigmoid().square().mean()

    def _prompted(
        self,
        batch: Batch,
        features: tuple[Tensor, ...],
        origin: Tensor,
        *,
        by_box: bool,
        rounds: int,
    ) -> Answers:
        """Prompt, look where the answer is wrong, click there, and so on."""
        model, stride = self.model, self.model.low_resolution_stride
        truths = Truths.under_clicks(batch, stride)
        truth = truths.sampled()
        rows = torch.arange(len(truth), device=truth.device)
        points = labels = boxes = previous = None
        if by_box:
            boxes = noisy_boxes(batch.boxes.flatten(0, 1), noise=self.recipe.box_noise)[:, None]
        else:
            points = batch.clicks.flatten(0, 1)[:, None]  # (B, 1, 2)
            labels = torch.ones(len(points), 1, dtype=torch.long, device=points.device)
        loss, seen = truth.new_zeros(()), []
        for index in range(rounds):
            with self._autocast():
                logits, iou = model.decode_all(
                    features,
                    points=points,
                    labels=labels,
                    boxes=boxes,
                    mask_logits=previous,
                    origin=origin,
                )
            first = index == 0
            error, true_iou = self._round_loss(logits, iou, truths, by_box=by_box, first=first)
            loss = loss + error / rounds
            seen.append((true_iou, iou.detach().float()))
            if index + 1 < rounds:
                with torch.no_grad():
                    shown = logits[:, 0].float()
                    if first and not by_box:
                        shown = logits[rows, 1 + iou[:, 1:].argmax(1)].float()
                    point, label = corrective_clicks(shown, truth, stride=stride)
                    points = point if points is None else torch.cat([points, point], dim=1)
                    labels = label if labels is None else torch.cat([labels, label], dim=1)
                    previous = shown.clamp(-MOST_LOGIT, MOST_LOGIT)[:, None]
        return Answers(loss, seen)

    def _round_loss(
        self, logits: Tensor, iou: Tensor, truths: Truths, *, by_box: bool, first: bool
    ) -> tuple[Tensor, Tensor]:
        """Loss of one round's masks, and their true IoU (B, 4) with the sampled truth."""
        rows = torch.arange(len(logits), device=logits.device)
        losses = mask_loss(logits.float(), truths.masks)  # (B, 4, 3)
        true_iou = mask_iou(logits, truths.masks)[rows, :, truths.target]  # (B, 4)
        # Only a first click is ambiguous.
        ambiguous = first and not by_box
        valid = truths.valid if ambiguous else torch.zeros_like(truths.valid)
        all_heads = self.recipe.all_heads
        several = ambiguous_loss(losses[:, 1:], truths.target, valid, all_heads=all_heads)
        single = losses[rows, 0, truths.target]
        iou_error = (iou.float().sigmoid() - true_iou).square().mean(1)
        weight_several, weight_single = (1.0, 0.5) if ambiguous else (0.5 if first else 0.3, 1.0)
        total = weight_several * several + weight_single * single
        return (total + self.recipe.iou_weight * iou_error).mean(), true_iou

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.model.device.type, torch.bfloat16)


@dataclass(frozen=True, eq=False)
class Answers:
    """What became of prompts of one form.

    Parameters
    ----------
    loss : Tensor
        Scalar.
    seen : list of (Tensor, Tensor)
        True and predicted IoU (logits) of the four masks, (B, 4) each, for each round.
    """

    loss: Tensor
    seen: list[tuple[Tensor, Tensor]]


def _scores(loss: Tensor, clicks: Answers, boxes: Answers) -> Scores:
    true_iou, predicted = clicks.seen[0]
    chosen = predicted[:, 1:].argmax(1, keepdim=True)
    last = torch.cat([clicks.seen[-1][0], boxes.seen[-1][0]])
    return Scores(
        loss=loss.item(),
        click_best=true_iou[:, 1:].max(1).values.mean().item(),
        click_chosen=true_iou[:, 1:].gather(1, chosen).mean().item(),
        box=boxes.seen[0][0][:, 0].mean().item(),
        last=last[:, 0].mean().item(),
    )
