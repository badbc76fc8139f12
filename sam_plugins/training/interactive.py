"""The paper's training: an annotator is simulated, who clicks where the mask is still wrong.

Section references are to arXiv 2304.02643. What the paper leaves open is a field of
`InteractiveSettings`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sam_plugins.modeling.sam import Sam
from sam_plugins.training.drop_path import drop_path
from sam_plugins.training.loop import Objective
from sam_plugins.training.losses import DICE_WEIGHT, FOCAL_WEIGHT, dice_loss, focal_loss, mask_iou
from sam_plugins.training.simulation import error_clicks, noisy_boxes, points_in_masks


@dataclass(frozen=True)
class InteractiveSettings:
    """How prompts are simulated and masks are judged.

    Parameters
    ----------
    box_share : float
        How often the first prompt is a box (§A: at even odds with a point).
    clicks : int
        Corrective clicks after the first prompt (§A: 8).
    empty_rounds : int
        Rounds without a new point, in which only the previous logits are refined (§A: 2, one of
        them at a random place among the clicks, the other one last).
    box_noise : float
        Noise of a box, as a fraction of its sides, at most 20 pixels (§A: 0.1).
    box_noise_kind : str
        ``"normal"`` (the paper's words: a standard deviation) or ``"uniform"``.
    most_masks : int
        Masks of an image that are trained on at once (§A: 64); more are sampled.
    most_area : float
        Masks that cover more of the image are left out (§A: 0.9).
    focal_weight, dice_weight : float
        Of the two mask losses (§A: 20 to 1).
    focal_gamma : float
        Not given in the paper; 2 is the focal loss's own default (arXiv 1708.02002).
    focal_alpha : float, optional
        Weight of the foreground; not given in the paper; None weighs both alike.
    iou_weight : float
        Of the squared error of the predicted IoU (§A: 1).
    judged_ious : str
        ``"best"``: only the candidate that the masks are trained on; ``"all"``: each of them.
    loss_at : str
        ``"low_resolution"`` (the decoder's logits) or ``"frame"`` (resized to the frame).
    drop_path : float
        How often the branches of the encoder's last block are skipped while it learns; see
        `sam_plugins.training.drop_path` (§A: 0.4 for ViT-H and ViT-L, 0.6 for
        ViT-B; 0: never).
    """

    box_share: float = 0.5
    clicks: int = 8
    empty_rounds: int = 2
    box_noise: float = 0.1
    box_noise_kind: Literal["normal", "uniform"] = "normal"
    most_masks: int = 64
    most_area: float = 0.9
    focal_weight: float = FOCAL_WEIGHT
    dice_weight: float = DICE_WEIGHT
    focal_gamma: float = 2.0
    focal_alpha: float | None = None
    iou_weight: float = 1.0
    judged_ious: Literal["best", "all"] = "best"
    loss_at: Literal["low_resolution", "frame"] = "low_resolution"
    drop_path: float = 0.0


@dataclass(eq=False)
class Example:
    """One image with its true masks, as the model sees it.

    Not frozen, because Fabric refuses frozen batches.

    Parameters
    ----------
    image : Tensor of shape (3, h, w), uint8
        RGB, resized to fit the frame.
    masks : Tensor of shape (K, h, w), bool
        Its objects.
    seed : int
        Of all that is random about it: the same example gives the same loss on any process.
    features : tuple of Tensor, optional
        The image's embedding, if it was encoded before: the encoder does not run then.
    """

    image: Tensor
    masks: Tensor
    seed: int
    features: tuple[Tensor, ...] | None = None


def usable_masks(
    masks: Tensor, settings: InteractiveSettings, generator: torch.Generator | None
) -> Tensor:
    """Leave out masks that are empty or too large, and sample from too many.

    Parameters
    ----------
    masks : Tensor of shape (K, h, w), bool
        Of one image.
    settings : InteractiveSettings
        The limits.
    generator : torch.Generator, optional
        Source of randomness.

    Returns
    -------
    Tensor of shape (n, h, w), bool
        n may be 0.
    """
    area = masks.flatten(1).sum(1)
    fit = (area > 0) & (area <= settings.most_area * masks[0].numel()) if len(masks) else area > 0
    masks = masks[fit]
    if len(masks) > settings.most_masks:
        masks = masks[torch.randperm(len(masks), generator=generator)[: settings.most_masks]]
    return masks


def round_plan(settings: InteractiveSettings, generator: torch.Generator | None) -> list[bool]:
    """Tell for each round after the first whether it brings a new click.

    Parameters
    ----------
    settings : InteractiveSettings
        How many rounds of which kind.
    generator : torch.Generator, optional
        Source of randomness.

    Returns
    -------
    list of bool
        True is a click. The last empty round is at the end, the others are anywhere before.

    Examples
    --------
    >>> round_plan(InteractiveSettings(clicks=2, empty_rounds=1), None)
    [True, True, False]
    """
    plan = [True] * settings.clicks
    for _ in range(settings.empty_rounds - 1):
        at = int(torch.randint(len(plan) + 1, (1,), generator=generator))
        plan.insert(at, False)
    return plan + [False] * min(1, settings.empty_rounds)


def candidates_loss(
    logits: Tensor, iou: Tensor, truth: Tensor, settings: InteractiveSettings
) -> Tensor:
    """Judge the candidates of each prompt: only the best one learns (§A).

    Parameters
    ----------
    logits : Tensor of shape (N, P, h, w)
        P candidates for each of N prompts.
    iou : Tensor of shape (N, P)
        Their predicted IoU.
    truth : Tensor of shape (N, h, w)
        What was meant, in 0 .. 1.
    settings : InteractiveSettings
        Weights and kinds of the losses.

    Returns
    -------
    Tensor
        Scalar: the mean over prompts.
    """
    if settings.loss_at == "frame":
        logits = functional.interpolate(logits, truth.shape[-2:], mode="bilinear")
    elif logits.shape[-2:] != truth.shape[-2:]:
        stride = truth.shape[-1] // logits.shape[-1]
        truth = functional.avg_pool2d(truth[:, None], stride)[:, 0]
    logits, truth = logits.float(), truth[:, None]
    focal = focal_loss(logits, truth, gamma=settings.focal_gamma, alpha=settings.focal_alpha)
    losses = settings.focal_weight * focal + settings.dice_weight * dice_loss(logits, truth)
    best, chosen = losses[..., 0].min(dim=1)  # (N,)
    error = (iou.float() - mask_iou(logits, truth)[..., 0]).square()  # (N, P)
    judged = error.gather(1, chosen[:, None]) if settings.judged_ious == "best" else error
    return (best + settings.iou_weight * judged.mean(1)).mean()


class InteractiveObjective(Objective):
    """The paper's objective around any `Sam`, for any number of images.

    Parameters
    ----------
    model : Sam
        What is trained.
    settings : InteractiveSettings
        How.
    """

    model: Sam

    def __init__(self, model: Sam, settings: InteractiveSettings) -> None:
        super().__init__(model)
        self.settings = settings

    def train(self, mode: bool = True) -> InteractiveObjective:
        """Set the training mode, but for batch normalisation.

        Parameters
        ----------
        mode : bool
            Training or evaluation.

        Returns
        -------
        InteractiveObjective
            Itself. Statistics of single images would be poor: the known ones are used.
        """
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, examples: Sequence[Example]) -> tuple[Tensor, dict[str, float]]:
        """Simulate an annotator on each image.

        Parameters
        ----------
        examples : sequence of Example
            At least one; images without a usable mask count as nothing.

        Returns
        -------
        loss : Tensor
            Of shape (): the mean over images.
        scores : dict of str to float
            ``"first"`` and ``"last"``: mean IoU of the mask ranked first after the first round and
            after the last one, over the images.
        """
        losses, firsts, lasts = [], [], []
        for example in examples:
            answer = self._one(example)
            if answer is not None:
                losses.append(answer[0])
                firsts.append(answer[1])
                lasts.append(answer[2])
        if not losses:  # a zero that gradients can pass
            return sum(p.sum() for p in self.model.parameters()) * 0.0, {}  # type: ignore[return-value]
        scores = {"first": sum(firsts) / len(firsts), "last": sum(lasts) / len(lasts)}
        return torch.stack(losses).sum() / len(examples), scores

    def _one(self, example: Example) -> tuple[Tensor, float, float] | None:
        model, settings = self.model, self.settings
        generator = torch.Generator().manual_seed(example.seed)
        masks = usable_masks(example.masks, settings, generator)
        if not len(masks):
            return None
        features = example.features
        if features is None:
            with drop_path(model.image_encoder, settings.drop_path, generator=generator):
                image = example.image[None].to(model.device).float()
                features = model.encode(model.preprocess(image))
        stride = model.low_resolution_stride
        side = model.frame_size
        padding = (0, side - masks.shape[2], 0, side - masks.shape[1])
        truths = functional.pad(masks.float(), padding).to(model.device)  # (K, F, F)
        boxed = torch.rand(len(truths), generator=generator) < settings.box_share
        plan = round_plan(settings, generator)
        losses, first, last = [], 0.0, 0.0
        for by_box in (False, True):
            part = truths[(boxed == by_box).to(truths.device)]
            if len(part):
                loss, ious = self._rounds(features, part, plan, by_box, stride, generator)
                share = len(part) / len(truths)
                losses.append(loss * share)
                first, last = first + share * ious[0], last + share * ious[-1]
        return torch.stack(losses).sum(), first, last

    def _rounds(
        self,
        features: tuple[Tensor, ...],
        truths: Tensor,
        plan: list[bool],
        by_box: bool,
        stride: int,
        generator: torch.Generator,
    ) -> tuple[Tensor, list[float]]:
        """Prompt for N objects in all rounds: mean loss, mean IoU of the best-ranked masks."""
        settings, rows = self.settings, torch.arange(len(truths), device=truths.device)
        small = functional.avg_pool2d(truths[:, None], stride)[:, 0]  # (N, h, w)
        prompts = self._first(truths, by_box, generator)
        losses, ious = [], []
        for number, click in enumerate([False, *plan]):
            if click:
                point, label = error_clicks(
                    prompts["mask_logits"][:, 0], small, stride=stride, generator=generator
                )
                known = "points" in prompts
                prompts["points"] = torch.cat([prompts["points"], point], 1) if known else point
                prompts["labels"] = torch.cat([prompts["labels"], label], 1) if known else label
            # One prompt may mean several things: three masks; more prompts mean one (§3).
            logits, iou = self.model.decode(features, **prompts, multimask=number == 0)
            scaled = logits / self.model.logit_scale
            losses.append(candidates_loss(scaled, iou, truths, settings))
            # The annotator sees the mask with the highest predicted IoU, its logits unthresholded.
            shown = logits.detach()[rows, iou.detach().argmax(1)][:, None].float()
            prompts["mask_logits"] = shown
            ious.append(mask_iou(shown, small[:, None])[:, 0, 0].mean().item())
        return torch.stack(losses).mean(), ious

    def _first(self, truths: Tensor, by_box: bool, generator: torch.Generator) -> dict[str, Tensor]:
        if not by_box:
            points = points_in_masks(truths, generator=generator)
            labels = torch.ones(points.shape[:2], dtype=torch.long, device=points.device)
            return {"points": points, "labels": labels}
        boxes = noisy_boxes(
            _tight_boxes(truths),
            noise=self.settings.box_noise,
            kind=self.settings.box_noise_kind,
            generator=generator,
        )
        return {"boxes": boxes[:, None]}


def _tight_boxes(masks: Tensor) -> Tensor:
    """Boxes (N, 4) around masks (N, H, W) that are not empty; xyxy at the pixels' outer edges."""
    columns, rows = masks.amax(1) > 0, masks.amax(2) > 0  # (N, W), (N, H)

    def ends(line: Tensor) -> tuple[Tensor, Tensor]:
        numbers = torch.arange(line.shape[1], device=line.device)
        low = torch.where(line, numbers, line.shape[1]).amin(1)
        return low, torch.where(line, numbers, -1).amax(1) + 1

    (x0, x1), (y0, y1) = ends(columns), ends(rows)
    return torch.stack([x0, y0, x1, y1], dim=1).float()
