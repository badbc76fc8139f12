"""What the small model learns from: rounds of simulated prompts about crops."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.modeling.lite import LiteSam
from sam_plugins.training.lite.recipe import Part
from sam_plugins.training.lite.samples import LEAST_AREA, MOST_AREA, Batch
from sam_plugins.training.loop import Objective
from sam_plugins.training.losses import ambiguous_loss, mask_iou, mask_loss
from sam_plugins.training.simulation import background_clicks, corrective_clicks, noisy_boxes

# A previous mask is passed on with logits of at most this size: beyond it nothing changes but
# the gradients of half precision.
MOST_LOGIT = 20.0


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


class LiteObjective(Objective):
    """Rounds of simulated prompts about crops, half of them clicked first, the others boxed.

    Parameters
    ----------
    model : LiteSam
        What is trained.
    part : Part
        Shares, noise and weights.
    """

    model: LiteSam

    def __init__(self, model: LiteSam, part: Part) -> None:
        super().__init__(model)
        self.part = part

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Prompt about a batch, and compare what is answered with the truth.

        Parameters
        ----------
        batch : Batch
            I crops, two or more, with K objects each.

        Returns
        -------
        loss : Tensor of shape ()
        scores : dict of str to float
            Means over the prompts of the IoU of: the best of three masks after one click
            (``click_best``), the one with the highest predicted IoU (``click_chosen``), the single
            mask after a box (``box``) and after the last round (``last``).

        Raises
        ------
        ValueError
            If there is one crop only.
        """
        if len(batch.images) < 2:
            raise ValueError("a batch needs two crops or more: one to click, one to box")
        rounds = self.part.rounds[int(torch.randint(len(self.part.rounds), ()))]
        return self._loss(batch.to(self.model.device), rounds)

    def _loss(self, batch: Batch, rounds: int) -> tuple[Tensor, dict[str, float]]:
        model = self.model
        images = (batch.images.float() - model.pixel_mean) / model.pixel_std
        with self._autocast():
            features = model.encode_level(images)
        # Each crop is said to lie somewhere in the frame; a whole frame lies where it is.
        room = max(0, model.frame_size - images.shape[-1])
        origin = torch.rand(len(images), 2, device=images.device) * room
        # The prompts of one decoder call have one form: some images are clicked, the others boxed.
        share = len(images) * (1 - self.part.box_share)
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
        if self.part.background_weight:
            loss = loss + self.part.background_weight * self._background(batch, features, origin)
        return loss, _scores(*answers)

    def _background(self, batch: Batch, features: tuple[Tensor, ...], origin: Tensor) -> Tensor:
        """Click where nothing is: the predicted IoU shall be zero there, whatever the mask."""
        points, valid = background_clicks(batch.labels, 1)
        with self._autocast():
            _, iou = self.model.decode_all(
                features,
                points=points,
                labels=torch.ones(len(points), 1, dtype=torch.long, device=points.device),
                origin=origin,
            )
        return (iou.float().sigmoid().square().mean(1) * valid).mean()

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
            boxes = noisy_boxes(batch.boxes.flatten(0, 1), noise=self.part.box_noise)[:, None]
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
        all_heads = self.part.all_heads
        several = ambiguous_loss(losses[:, 1:], truths.target, valid, all_heads=all_heads)
        single = losses[rows, 0, truths.target]
        iou_error = (iou.float().sigmoid() - true_iou).square().mean(1)
        weight_several, weight_single = (1.0, 0.5) if ambiguous else (0.5 if first else 0.3, 1.0)
        total = weight_several * several + weight_single * single
        return (total + self.part.iou_weight * iou_error).mean(), true_iou

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


def _scores(clicks: Answers, boxes: Answers) -> dict[str, float]:
    true_iou, predicted = clicks.seen[0]
    chosen = predicted[:, 1:].argmax(1, keepdim=True)
    last = torch.cat([clicks.seen[-1][0], boxes.seen[-1][0]])
    return {
        "click_best": true_iou[:, 1:].max(1).values.mean().item(),
        "click_chosen": true_iou[:, 1:].gather(1, chosen).mean().item(),
        "box": boxes.seen[0][0][:, 0].mean().item(),
        "last": last[:, 0].mean().item(),
    }
